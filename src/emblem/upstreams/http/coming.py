"""An answer that is given as it comes."""

import asyncio
from collections.abc import AsyncGenerator, Mapping

from emblem.upstreams.http.bodies import Unpacking
from emblem.upstreams.http.connection import Connection
from emblem.upstreams.http.failures import CLOSED_HERE, Endless, Lost
from emblem.upstreams.http.heads import Head

HELD_BYTES = 1 << 18  # that nobody takes, after which no more is read


class Coming:
    """An answer of which the head has come. Whoever has it closes it."""

    def __init__(self, connection: Connection, loop: asyncio.AbstractEventLoop) -> None:
        self.status: int
        self.headers: Mapping[str, str]
        self.head_came: asyncio.Future[None] = loop.create_future()
        self._connection = connection
        self._loop = loop
        self._coding: str | None = ""
        self._parts: list[bytes] = []
        self._held_bytes = 0
        self._is_whole = False
        self._lost = (
            ""  # how; an error that is kept would have its traceback, and that would have this
        )
        self._something: asyncio.Future[None] | None = None

    # -- whoever reads it -------------------------------------------------------------------------

    async def parts(self) -> AsyncGenerator[bytes, None]:
        """Give what comes, as it comes. Raises Lost where that ends too early, or is damaged."""
        if self._coding == "":
            while part := await self._part():
                yield part
            return
        try:
            unpacking, came = Unpacking(self._coding), False
            while part := await self._part():
                came = True
                for piece in unpacking.feed(part):
                    yield piece
            if came:
                unpacking.end()
        except Endless as error:
            raise Lost(str(error)) from None

    def close(self) -> None:
        """Let go of it: a connection over which not all of it came is not used again."""
        self._parts.clear()
        if not self._is_whole:
            self._lost = self._lost or CLOSED_HERE
            self._connection.leave(self)
            self._tell()

    async def _part(self) -> bytes:
        """Give all that has come since; b"" at the end."""
        while not self._parts:
            if self._lost:
                raise Lost(self._lost)
            if self._is_whole:
                return b""
            self._something = self._loop.create_future()
            await self._something
        content = b"".join(self._parts)
        self._parts.clear()
        self._held_bytes = 0
        if not self._is_whole and not self._lost:
            self._connection.resume()
        return content

    # -- the connection ---------------------------------------------------------------------------

    def begun(self, head: Head) -> None:
        """Take the head."""
        self.status, self.headers, self._coding = head.status, head.headers, head.coding
        if not self.head_came.done():
            self.head_came.set_result(None)

    def came(self, part: bytes) -> None:
        """Take a part of the body, and have no more come than somebody takes."""
        self._parts.append(part)
        self._held_bytes += len(part)
        if self._held_bytes > HELD_BYTES:
            self._connection.pause()
        self._tell()

    def ended(self) -> None:
        """Take note that all of it came."""
        self._is_whole = True
        self._tell()

    def failed(self, error: Exception) -> None:
        """Take note that no more of it comes, and why."""
        self._lost = str(error)
        head_came = self.head_came
        del self.head_came
        if not head_came.done():
            head_came.set_exception(error)
        self._tell()

    def _tell(self) -> None:
        if self._something is not None and not self._something.done():
            self._something.set_result(None)
