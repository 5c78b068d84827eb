"""A listener on an event loop in a thread, and a client that sees every byte of what it answers."""

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from starlette.types import ASGIApp, Receive, Scope, Send

from emblem.http1.listener import Listener

PATIENCE_S = 20.0  # nothing takes so long unless it takes for ever
Headers = Sequence[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer as it came. ``headers`` are by their names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Client:
    """A connection to a listener, over which bytes go as they are."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._file: BinaryIO = sock.makefile("rb")

    def send(self, *data: bytes) -> "Client":
        """Send bytes, each in a packet of its own where the system lets it."""
        for one in data:
            self.sock.sendall(one)
        return self

    def line(self) -> bytes:
        """Read a line without its end."""
        line = self._file.readline()
        assert line.endswith(b"\r\n"), line
        return line[:-2]

    def reply(self, *, to: str = "GET") -> Reply:
        """Read one answer, which ends where its head says so."""
        version, status, *_ = self.line().split(b" ")
        assert version == b"HTTP/1.1"
        pairs = []
        while line := self.line():
            name, _, value = line.decode("latin-1").partition(": ")
            pairs.append((name.lower(), value))
        headers = dict(pairs)
        assert len(headers) == len(pairs), f"a header was sent twice: {pairs}"
        return Reply(int(status), headers, self._body(int(status), headers, to))

    def _body(self, status: int, headers: Mapping[str, str], to: str) -> bytes:
        if to == "HEAD" or status < 200 or status in (204, 304):
            return b""
        if headers.get("transfer-encoding") == "chunked":
            assert "content-length" not in headers
            return self.rest_of_chunks()
        if "content-length" in headers:
            return self.rest_of(int(headers["content-length"]))
        return self.rest()

    def rest_of(self, size: int) -> bytes:
        """Read a body of so many bytes."""
        body = self._file.read(size)
        assert len(body) == size
        return body

    def rest_of_chunks(self) -> bytes:
        """Read a body that comes in chunks."""
        parts = []
        while size := int(self.line(), 16):
            parts.append(self.rest_of(size))
            assert self.line() == b""
        assert self.line() == b""
        return b"".join(parts)

    def rest(self) -> bytes:
        """Read until the server closes."""
        return self._file.read()

    def ended(self) -> bool:
        """Tell whether the server closes without another byte."""
        with contextlib.suppress(ConnectionResetError):
            return self.rest() == b""
        return True

    def close(self) -> None:
        self._file.close()
        self.sock.close()


@dataclass
class Listening:
    """A listener that runs. ``errors`` are what nobody has caught on its loop."""

    listener: Listener
    server: asyncio.Server
    address: tuple[str, int]
    clients: list[Client] = field(default_factory=list)
    errors: list[Mapping[str, Any]] = field(default_factory=list)

    def connect(self, *, tls: ssl.SSLContext | None = None, receives: int = 0) -> Client:
        """Connect; with ``receives``, as a client whose system keeps few bytes for it."""
        sock = socket.socket()
        if receives:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receives)
        sock.settimeout(PATIENCE_S)
        sock.connect(self.address)
        if tls is not None:
            sock = tls.wrap_socket(sock, server_hostname="localhost")
        client = Client(sock)
        self.clients.append(client)
        return client

    def call(self, work: Callable[[], Any]) -> Any:
        """Call something on the loop, and give what it gives."""

        async def called() -> Any:
            return work()

        return self.run(called())

    def start(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Begin work on the loop."""
        return asyncio.run_coroutine_threadsafe(work, self.listener.loop)

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Have work done on the loop."""
        return self.start(work).result(PATIENCE_S)

    async def stop(self) -> None:
        """Stop as ``emblem serve`` does."""
        self.server.close()
        await self.listener.drain()


@contextmanager
def listening(
    app: ASGIApp, *, most: int = 1000, head_s: float = PATIENCE_S, tls: ssl.SSLContext | None = None
) -> Iterator[Listening]:
    """Have an application answer; leaving asserts that nothing was left, and nothing went wrong."""
    loop = asyncio.new_event_loop()
    errors: list[Mapping[str, Any]] = []
    loop.set_exception_handler(lambda _, context: errors.append(context))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def begin() -> Listening:
        listener = Listener(app, most, head_s)
        sock = socket.create_server(("127.0.0.1", 0))
        server = await listener.listen(sock, tls)
        return Listening(listener, server, sock.getsockname(), errors=errors)

    served = asyncio.run_coroutine_threadsafe(begin(), loop).result(PATIENCE_S)
    try:
        try:
            yield served
        finally:
            for client in served.clients:
                client.close()
            served.run(served.stop())
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(PATIENCE_S)
        loop.close()
    assert not errors


def head(method: str, path: str, *headers: str) -> bytes:
    """Give the bytes of a request's head."""
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: x", *headers, "", ""]).encode()


def posted(path: str, body: bytes, *headers: str) -> bytes:
    """Give the bytes of a request that has a body of a length."""
    return head("POST", path, f"Content-Length: {len(body)}", *headers) + body


async def read(receive: Receive) -> bytes | None:
    """Read a body; None where the client leaves before its end."""
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message["body"]
        if not message["more_body"]:
            return body


async def respond(send: Send, body: bytes, status: int = 200, headers: Headers = ()) -> None:
    """Send a whole answer."""
    every = [(b"content-length", b"%d" % len(body)), *headers]
    await send({"type": "http.response.start", "status": status, "headers": every})
    await send({"type": "http.response.body", "body": body})


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with the method, the path, and the body; where the path says "early", without the body."""
    body = b"" if scope["path"].startswith("/early") else await read(receive)
    if body is not None:
        what = f"{scope['method']} {scope['path']} ".encode() + body
        await respond(send, what)
