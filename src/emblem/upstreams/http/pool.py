"""The connections to one address: kept, bounded in number, and waited for in order."""

import asyncio
from collections import deque
from contextlib import suppress
from math import inf

from emblem.upstreams.http.connecting import Opening
from emblem.upstreams.http.connection import Connection
from emblem.upstreams.http.failures import CLOSED_HERE, Lost, TooSlow, Unreached, why

READ_BYTES = 1 << 20  # at once: what is read in parts is copied once more
CLOSING_S = 1.0  # for connections to end that were told to


class Pool:
    """Opens connections as they are needed. That which was used last is used next.

    ``most`` bounds how many there are. Used on one event loop; whoever creates it closes it.
    """

    def __init__(
        self, opening: Opening, connect_timeout_s: float, idle_s: float, most: float = inf
    ) -> None:
        self._opening = opening
        self._connect_timeout_s = connect_timeout_s
        self._idle_s = idle_s
        self._most = most
        self._loop = asyncio.get_running_loop()
        self._room = memoryview(bytearray(READ_BYTES))
        self._kept: list[Connection] = []
        self._open: set[Connection] = set()
        self._places = 0  # held for connections that are being opened
        # Whoever waits is given a connection, or None: a place in which to open one.
        self._waiting: deque[asyncio.Future[Connection | None]] = deque()
        self._closed = False
        self._emptied = asyncio.Event()

    # -- whoever asks -----------------------------------------------------------------------------

    def take(self) -> Connection | None:
        """Give a connection that is kept; None where there is none."""
        while self._kept:
            connection = self._kept.pop()
            if connection.is_quiet():
                return connection
            connection.abort()
        return None

    async def connection(self, until: float = inf) -> Connection:
        """Give a connection: one that is kept, a new one, or where there are too many the next one.

        Raises Unreached, TooSlow where it takes longer than ``connect_timeout_s``, TimeoutError where
        it takes ``until`` then by the loop's clock, and Lost where the pool is closed.
        """
        before = False
        while not self._closed:
            kept = self.take()
            if kept is not None:
                return kept
            if len(self._open) + self._places < self._most:
                self._places += 1
                return await self._opened(until)
            given = await self._turn(until, first=before)
            if given is None:
                return await self._opened(until)
            if given.is_quiet():
                return given
            given.abort()
            before = True
        raise Lost(CLOSED_HERE)

    async def aclose(self) -> None:
        """Close every connection. Whoever waits for one, or for an answer, gets Lost."""
        self._closed = True
        while self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.done():
                waiting.set_exception(Lost(CLOSED_HERE))
        for connection in tuple(self._open):
            connection.close()
        if self._open:
            with suppress(TimeoutError):
                async with asyncio.timeout(CLOSING_S):
                    await self._emptied.wait()

    # -- the connections --------------------------------------------------------------------------

    def keep(self, connection: Connection) -> None:
        """Take a connection back."""
        if self._closed:
            connection.abort()
        else:
            self._give(connection)

    def left(self, connection: Connection) -> None:
        """Let go of a connection that has ended, and let another one have its place."""
        if connection not in self._open:
            return
        self._open.discard(connection)
        with suppress(ValueError):
            self._kept.remove(connection)
        if self._closed and not self._open:
            self._emptied.set()
        self._places += 1
        self._give(None)

    def _give(self, place: Connection | None) -> None:
        """Give a connection, or a place for one, to who has waited longest."""
        while self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.done():
                waiting.set_result(place)
                return
        if place is None:
            self._places -= 1
        else:
            self._kept.append(place)

    async def _turn(self, until: float, *, first: bool) -> Connection | None:
        """Wait for a connection, or for a place."""
        waiting: asyncio.Future[Connection | None] = self._loop.create_future()
        if first:
            self._waiting.appendleft(waiting)
        else:
            self._waiting.append(waiting)
        try:
            async with asyncio.timeout_at(_limit(until)):
                return await waiting
        except BaseException:
            if waiting.done() and not waiting.cancelled() and waiting.exception() is None:
                self._give(waiting.result())  # it came too late
            else:
                with suppress(ValueError):
                    self._waiting.remove(waiting)
            raise

    async def _opened(self, until: float) -> Connection:
        """Open a connection in the place that is held for it."""
        within = min(until, self._loop.time() + self._connect_timeout_s)
        connection = Connection(self._loop, self, self._idle_s, self._room)
        opened = False
        try:
            async with asyncio.timeout_at(_limit(within)):
                await self._reached(connection)
            opened = not connection.lost
        except TimeoutError:
            if within == until:
                raise
            raise TooSlow("it did not answer in time") from None
        finally:
            if opened:
                self._places -= 1
                self._open.add(connection)
            else:
                connection.abort()
                self._give(None)
        if self._closed:
            connection.abort()
            raise Lost(CLOSED_HERE)
        return connection

    async def _reached(self, connection: Connection) -> None:
        try:
            await self._opening.open(self._loop, connection)
        except (OSError, UnicodeError) as error:
            raise Unreached(why(error)) from None


def _limit(until: float) -> float | None:
    return until if until < inf else None
