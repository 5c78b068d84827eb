"""A server of which a test says every byte, and what it has seen of its clients."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from emblem.upstreams.sending import Bounds, Client, Sent

T = TypeVar("T")

PATIENCE_S = 10.0  # nothing takes so long unless it takes for ever
BOUNDS = Bounds(5.0, 5.0, 4)
SENT = Sent(b"{}", {"authorization": "Bearer sk-secret"}, 10_000, PATIENCE_S)


def fine(body: bytes = b"{}", *headers: str) -> bytes:
    """Write an answer as it should be."""
    lines = ("HTTP/1.1 200 OK", *headers, f"content-length: {len(body)}", "", "")
    return "\r\n".join(lines).encode() + body


FINE = fine()


@dataclass(eq=False)
class Talk:
    """A connection, as the server has it. ``number`` counts from 1."""

    number: int
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def asked(self) -> tuple[bytes, bytes]:
        """Read a request: its head and its body. Raises IncompleteReadError where the client left."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        for line in head.lower().split(b"\r\n"):
            name, _, value = line.partition(b":")
            if name == b"content-length":
                return head, await self.reader.readexactly(int(value))
        return head, b""

    async def say(self, *packets: bytes) -> None:
        """Send bytes, with a turn of the loop between two packets."""
        for packet in packets:
            self.writer.write(packet)
            await self.writer.drain()
            await asyncio.sleep(0)

    async def gone(self) -> bool:
        """Wait until the client has left."""
        with contextlib.suppress(ConnectionError):
            while await self.reader.read(1 << 16):
                pass
        return True


@dataclass
class Spoken:
    """The server."""

    url: str
    talk: Callable[[Talk], Awaitable[object]]
    talks: list[Talk] = field(default_factory=list)
    heads: list[bytes] = field(default_factory=list)
    open: int = 0
    most: int = 0
    all_closed: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talk = Talk(len(self.talks) + 1, reader, writer)
        self.talks.append(talk)
        self.open += 1
        self.most = max(self.most, self.open)
        self.all_closed.clear()
        try:
            await self.talk(talk)
        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            pass
        finally:
            self.open -= 1
            writer.close()
            if not self.open:
                self.all_closed.set()


def answering(*answers: bytes) -> Callable[[Talk], Awaitable[None]]:
    """Answer the requests of a connection in turn, each in one packet; then close."""

    async def talk(one: Talk) -> None:
        for answer in answers:
            await one.asked()
            await one.say(answer)
        await one.asked()

    return talk


def always(*packets: bytes) -> Callable[[Talk], Awaitable[None]]:
    """Answer every request with the same packets."""

    async def talk(one: Talk) -> None:
        while True:
            await one.asked()
            await one.say(*packets)

    return talk


def and_leave(*packets: bytes) -> Callable[[Talk], Awaitable[None]]:
    """Answer one request, and close."""

    async def talk(one: Talk) -> None:
        await one.asked()
        await one.say(*packets)

    return talk


@asynccontextmanager
async def speaking(
    talk: Callable[[Talk], Awaitable[object]],
    tls: ssl.SSLContext | None = None,
    host: str = "127.0.0.1",
) -> AsyncIterator[Spoken]:
    spoken = Spoken("", talk)
    server = await asyncio.start_server(spoken.serve, host, 0, ssl=tls)
    port = server.sockets[0].getsockname()[1]
    shown = f"[{host}]" if ":" in host else host
    spoken.url = f"{'https' if tls else 'http'}://{shown}:{port}/v1/embeddings"
    async with server:
        yield spoken
        await asyncio.wait_for(_closed(spoken), PATIENCE_S)


async def _closed(spoken: Spoken) -> None:
    while spoken.open:
        await spoken.all_closed.wait()


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run, and see that no task is left."""

    async def watched() -> T:
        before = asyncio.all_tasks()
        result = await work
        for _ in range(100):  # what is about to end may
            if asyncio.all_tasks() <= before:
                break
            await asyncio.sleep(0.005)
        assert asyncio.all_tasks() <= before
        return result

    return asyncio.run(asyncio.wait_for(watched(), 3 * PATIENCE_S))


def asking(
    talk: Callable[[Talk], Awaitable[object]],
    work: Callable[[Client, Spoken], Awaitable[T]],
    bounds: Bounds = BOUNDS,
    tls: ssl.SSLContext | None = None,
    method: str = "POST",
) -> T:
    """Have a client ask a server, and see that no connection is left."""

    async def whole() -> T:
        async with speaking(talk, tls) as spoken:
            client = Client(spoken.url, bounds, method)
            try:
                return await work(client, spoken)
            finally:
                await client.aclose()

    return run(whole())
