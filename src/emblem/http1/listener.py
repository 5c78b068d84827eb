"""What the connections of a process share: who answers, their number, the time, and their end."""

import asyncio
import socket
import ssl
import time
from email.utils import formatdate
from functools import partial

from starlette.types import ASGIApp

from emblem.http1.connection import Connection
from emblem.http1.exchange import Exchange

LOOK_S = 0.25  # between two looks at whose head is late


class Listener:
    """Has an application answer what comes on a socket, on the event loop that runs now.

    No more than ``most`` connections are taken at a time, and a client may take ``head_s`` seconds
    for the head of a request, and as long between two of them.
    """

    def __init__(self, app: ASGIApp, most: int, head_s: float) -> None:
        self._app = app
        self._most = most
        self._head_s = head_s
        self._connections: set[Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._gone = asyncio.Event()  # that there is no connection
        self._gone.set()
        self._draining = False
        self.loop = asyncio.get_running_loop()
        self.date = b""

    @property
    def full(self) -> bool:
        """Whether there are more connections than there may be."""
        return len(self._connections) > self._most

    async def listen(self, listening: socket.socket, tls: ssl.SSLContext | None) -> asyncio.Server:
        """Begin to accept."""
        self._tick()
        self._look()
        return await self.loop.create_server(
            partial(Connection, self),
            sock=listening,
            backlog=self._most,
            ssl=tls,
            ssl_handshake_timeout=self._head_s if tls else None,
        )

    async def drain(self) -> None:
        """Have every connection end once what has come on it is answered, and wait until all have."""
        self._draining = True
        for one in list(self._connections):
            one.end()
        await self._gone.wait()
        while self._tasks:  # what a request does after its answer
            await asyncio.wait(list(self._tasks))

    def came(self, connection: Connection) -> None:
        """Take note of a connection."""
        self._connections.add(connection)
        self._gone.clear()
        if self._draining:  # it was accepted just before
            self.loop.call_soon(connection.end)

    def left(self, connection: Connection) -> None:
        """Let go of a connection."""
        self._connections.discard(connection)
        if not self._connections:
            self._gone.set()

    def answer(self, exchange: Exchange) -> None:
        """Have a request answered."""
        task = self.loop.create_task(exchange.run(self._app))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _tick(self) -> None:
        self.date = b"date: %b\r\n" % formatdate(time.time(), usegmt=True).encode()
        self.loop.call_later(1, self._tick)

    def _look(self) -> None:
        """Close connections that stall: a look at all is cheaper than a timer for each."""
        self.loop.call_later(LOOK_S, self._look)
        now = self.loop.time()
        for one in list(self._connections):
            one.look(now, self._head_s)
