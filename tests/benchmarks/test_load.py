"""The load generator reads answers of any size and shape, and tells of connections that break."""

import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest
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


@pytest.mark.parametrize("times", [1, 5, 6, 7, 13, 100])
def test_of_many_bodies_so_many_are_kept_and_spread_evenly(times: int) -> None:
    answers = [with_length(b"%d" % at) for at in range(times)]
    with answering([answers]) as address:
        stream = load.Stream([REQUEST] * times, 1, kept=3)
        load.run(address, [stream])
    assert [one.status for one in stream.answers] == [200] * times
    kept = [one.request for one in stream.answers if one.kept]
    assert kept == list(range(0, times, kept[1] if times > 1 else 1))
    assert min(3, times) <= len(kept) <= 6
    assert [one.body for one in stream.answers] == [
        b"%d" % at if at in kept else b"" for at in range(times)
    ]


def test_what_is_no_success_is_always_kept() -> None:
    refusal = b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 4\r\n\r\nwait"
    with answering([[refusal] * 20]) as address:
        stream = load.Stream([REQUEST] * 20, 1, kept=2)
        load.run(address, [stream])
    assert [(one.kept, one.body) for one in stream.answers] == [(True, b"wait")] * 20
