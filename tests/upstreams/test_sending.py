"""Connections: kept, bounded, given up in time, and open to nobody but the server that was named."""

import asyncio
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import pytest

from emblem.upstreams.sending import Answer, Bounds, Client, Endless, Lost, Sent, Unreached
from server import free_port
from system import require

T = TypeVar("T")

BOUNDS = Bounds(5.0, 5.0, 4)
SENT = Sent(b"{}", {"authorization": "Bearer sk-secret"}, 10_000, 5.0)
FINE = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"


class Raw:
    """A server that writes bytes as they are. ``answers`` gives those of a connection's requests."""

    def __init__(self, answers: Callable[[int, int], bytes | None]) -> None:
        self.answers = answers
        self.heads: list[bytes] = []
        self.connections = 0
        self.open = 0
        self.most = 0
        self.all_closed = asyncio.Event()
        self.asked_by_all = asyncio.Event()  # on as many connections as there may be
        self.unasked = b""  # what comes behind an answer once that was read
        self.was_read = asyncio.Event()
        self.went_on = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        self.most = max(self.most, self.open)
        self.all_closed.clear()
        connection, request = self.connections, 0
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(2)
                self.heads.append(head)
                if len(self.heads) == BOUNDS.max_connections:
                    self.asked_by_all.set()
                request += 1
                answer = self.answers(connection, request)
                if answer is None:
                    break
                await asyncio.sleep(0)
                writer.write(answer)
                await writer.drain()
                if self.unasked:
                    await self.was_read.wait()
                    writer.write(self.unasked)
                    await writer.drain()
                    self.went_on.set()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.open -= 1
            writer.close()
            if not self.open:
                self.all_closed.set()


@asynccontextmanager
async def serving(
    answers: Callable[[int, int], bytes | None], tls: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[Raw, str]]:
    raw = Raw(answers)
    server = await asyncio.start_server(raw.serve, "127.0.0.1", 0, ssl=tls)
    port = server.sockets[0].getsockname()[1]
    async with server:
        yield raw, f"{'https' if tls else 'http'}://127.0.0.1:{port}/v1/embeddings"


def asking(
    answers: Callable[[int, int], bytes | None],
    work: Callable[[Client, Raw], Awaitable[T]],
    bounds: Bounds = BOUNDS,
) -> T:
    async def run() -> T:
        async with serving(answers) as (raw, url):
            client = Client(url, bounds)
            try:
                return await work(client, raw)
            finally:
                await client.aclose()
                await asyncio.wait_for(raw.all_closed.wait(), 5)

    return asyncio.run(run())


def always(answer: bytes) -> Callable[[int, int], bytes]:
    return lambda connection, request: answer


async def once(client: Client, raw: Raw) -> Answer:
    return await client.send(SENT)


def test_a_connection_is_used_again() -> None:
    async def work(client: Client, raw: Raw) -> int:
        for _ in range(5):
            assert (await client.send(SENT)).content == b"{}"
        return raw.connections

    assert asking(always(FINE), work) == 1


def test_a_connection_that_was_given_up_meanwhile_is_replaced_and_nobody_notices() -> None:
    async def work(client: Client, raw: Raw) -> int:
        for _ in range(3):
            assert (await client.send(SENT)).content == b"{}"
        return raw.connections

    assert asking(lambda connection, request: FINE if request == 1 else None, work) == 3


@pytest.mark.parametrize("unasked", [FINE.replace(b"{}", b"[]"), b"HTTP/1.1 200 OK\r\n\r\n", b"x"])
def test_what_came_while_nobody_waited_for_it_is_the_answer_to_no_request(unasked: bytes) -> None:
    async def work(client: Client, raw: Raw) -> int:
        raw.unasked = unasked
        for _ in range(2):
            assert (await client.send(SENT)).content == b"{}"
            raw.was_read.set()
            await asyncio.wait_for(raw.went_on.wait(), 5)
            for _ in range(10):  # it is on this very machine, and is read as soon as the loop turns
                await asyncio.sleep(0)
            raw.was_read.clear()
            raw.went_on.clear()
        return raw.connections

    assert asking(always(FINE), work) == 2


def test_a_server_that_never_answers_a_connection_is_asked_twice_and_no_more() -> None:
    async def work(client: Client, raw: Raw) -> int:
        with pytest.raises(Lost, match="closed before the answer ended"):
            await client.send(SENT)
        return raw.connections

    assert asking(lambda connection, request: None, work) == 2


def test_no_more_connections_are_open_than_may_be() -> None:
    async def work(client: Client, raw: Raw) -> int:
        await asyncio.gather(*(client.send(SENT) for _ in range(40)))
        return raw.most

    assert 1 < asking(always(FINE), work) <= 4


def test_whoever_leaves_takes_his_connection_with_him() -> None:
    begun = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{"

    async def work(client: Client, raw: Raw) -> None:
        tasks = [asyncio.create_task(client.send(SENT)) for _ in range(4)]
        await asyncio.wait_for(raw.asked_by_all.wait(), 5)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.wait_for(raw.all_closed.wait(), 5)
        raw.answers = always(FINE)
        await client.send(SENT)

    asking(always(begun), work)


@pytest.mark.parametrize(
    "begun",
    [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{"],
    ids=["nothing", "headers", "the body"],
)
def test_what_never_ends_is_given_up_in_time_wherever_it_stops(begun: bytes) -> None:
    async def work(client: Client, raw: Raw) -> None:
        with pytest.raises(TimeoutError):
            await client.send(Sent(b"{}", {}, 1000, 0.1))

    asking(always(begun), work)


@pytest.mark.parametrize(
    ("answer", "error", "said"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{}", None, ""),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n{}", Lost, "no HTTP|closed"),
        (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", Lost, "what came is no HTTP"),
        (b"HTTP/1.1 200 OK\r\nx: " + b"y" * 100_000 + b"\r\n\r\n", Lost, "what came is no HTTP"),
        (
            b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 2\r\n\r\n{}",
            Endless,
            "cannot be unpacked",
        ),
        (
            b"HTTP/1.1 200 OK\r\ncontent-length: 20000\r\n\r\n" + b" " * 20_000,
            Endless,
            "does not end after 10,000 bytes",
        ),
    ],
    ids=["too short", "chunks", "ssh", "headers", "gzip", "too long"],
)
def test_what_is_no_answer_is_said_to_be_none(
    answer: bytes, error: type[Exception] | None, said: str
) -> None:
    async def work(client: Client, raw: Raw) -> None:
        if error is None:  # the rest of it never comes
            with pytest.raises(TimeoutError):
                await client.send(Sent(b"{}", {}, 1000, 0.1))
            return
        with pytest.raises(error, match=said):
            await client.send(SENT)

    asking(always(answer), work)


def test_a_redirect_is_an_answer_and_is_not_followed() -> None:
    async def work(client: Client, raw: Raw) -> None:
        moved = b"HTTP/1.1 307 x\r\nlocation: http://127.0.0.1:%d/\r\ncontent-length: 0\r\n\r\n"
        async with serving(always(FINE)) as (other, url):
            raw.answers = always(moved % int(url.split(":")[2].split("/")[0]))
            answer = await client.send(SENT)
            assert (answer.status, other.heads) == (307, [])
            assert answer.headers["Location"].startswith("http://127")

    asking(always(FINE), work)


def test_cookies_are_not_kept() -> None:
    set_cookie = FINE.replace(b"\r\n\r\n", b"\r\nset-cookie: session=1; path=/\r\n\r\n")

    async def work(client: Client, raw: Raw) -> list[bytes]:
        for _ in range(2):
            await client.send(SENT)
        return raw.heads

    assert not any(b"cookie" in head.lower() for head in asking(always(set_cookie), work))


def test_nothing_is_said_but_what_has_to_be() -> None:
    async def work(client: Client, raw: Raw) -> bytes:
        await client.send(SENT)
        return raw.heads[0]

    lines = asking(always(FINE), work).decode().lower().split("\r\n")
    names = {line.partition(":")[0] for line in lines[1:] if line}
    assert names == {"host", "authorization", "content-length", "content-type"}


def test_proxies_of_the_environment_are_used_only_where_that_is_meant(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    assert asking(always(FINE), once).content == b"{}"

    async def run() -> None:
        async with serving(always(FINE)) as (_, url):
            client = Client(url, Bounds(5.0, 5.0, 4, environment_proxies=True))
            try:
                await client.send(SENT)
            finally:
                await client.aclose()

    with pytest.raises(Unreached, match="Connection refused"):
        asyncio.run(run())


def test_a_certificate_that_nobody_vouches_for_is_not_trusted(tmp_path: Path) -> None:
    require("openssl")
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    made = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")
    names = ("-subj", "/CN=here", "-addext", "subjectAltName=IP:127.0.0.1")
    subprocess.run(
        ["openssl", "req", "-x509", *made, *names, "-keyout", str(key), "-out", str(cert)],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(cert, key)

    async def run() -> None:
        async with serving(always(FINE), tls) as (raw, url):
            client = Client(url, BOUNDS)
            try:
                with pytest.raises(Unreached, match="its certificate is not trusted: self"):
                    await client.send(SENT)
                assert raw.heads == []
            finally:
                await client.aclose()

    asyncio.run(run())


def test_a_name_that_nobody_knows_is_said_without_the_address() -> None:
    async def run() -> None:
        client = Client("http://nowhere.invalid/v1/embeddings", BOUNDS)
        try:
            await client.send(SENT)
        finally:
            await client.aclose()

    with pytest.raises(Unreached) as caught:
        asyncio.run(run())
    assert "invalid" not in str(caught.value)


def test_what_is_sent_is_shown_without_the_key_and_the_texts() -> None:
    assert "sk-secret" not in repr(SENT)
    assert "{}" not in repr(SENT)
