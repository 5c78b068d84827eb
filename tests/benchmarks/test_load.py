"""The load generator reads answers of any size and shape, and tells of connections that break."""

import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from benchmarks.compare import load

REQUEST = load.post("127.0.0.1", "/", {}, b"{}")


def with_length(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-LENGTH: %d\r\nX: y\r\n\r\n%b" % (len(body), body)


def in_chunks(*chunks: bytes) -> bytes:
    written = b"".join(b"%x\r\n%b\r\n" % (len(one), one) for one in (*chunks, b""))
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + written


@contextmanager
def answering(connections: Sequence[Sequence[bytes]]) -> Iterator[tuple[str, int]]:
    """Serve one connection after the other: each request gets the next piece, then it is closed."""

    def serve() -> None:
        for pieces in connections:
            link, _ = listener.accept()
            with link:
                for piece in pieces:
                    link.recv(1 << 16)
                    link.sendall(piece)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()
        thread.join(20)
        assert not thread.is_alive()


def asked(address: tuple[str, int], times: int) -> list[tuple[int, bytes]]:
    stream = load.Stream([REQUEST] * times, 1)
    load.run(address, [stream])
    return [(one.status, bytes(one.body)) for one in stream.answers]


def test_answers_of_every_size_come_whole_one_after_the_other() -> None:
    sizes = (0, 1, load.CHUNK - 1, 2 * load.CHUNK + 1, 5_000_000, 3)
    bodies = [bytes([65 + at]) * size for at, size in enumerate(sizes)]
    with answering([[with_length(body) for body in bodies]]) as address:
        assert asked(address, len(bodies)) == [(200, body) for body in bodies]


def test_answers_in_chunks_are_joined_even_where_there_are_none() -> None:
    answers = [in_chunks(b"abc", b"de"), in_chunks(), with_length(b"{}"), in_chunks(b"0\r\n\r\n1")]
    with answering([answers]) as address:
        assert asked(address, 4) == [
            (200, b"abcde"),
            (200, b""),
            (200, b"{}"),
            (200, b"0\r\n\r\n1"),
        ]


def test_a_connection_that_breaks_within_a_body_is_an_error_and_the_next_answer_is_its_own() -> (
    None
):
    broken = with_length(b"a" * 1_000_000)[:-1]

    with answering([[broken], [with_length(b"whole")]]) as address:
        assert asked(address, 2) == [(0, b""), (200, b"whole")]
