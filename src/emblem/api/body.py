"""Reading a request's body within bounds of size, time and memory."""

import asyncio
from collections.abc import Awaitable, Sequence
from contextlib import suppress
from functools import partial
from typing import NoReturn

from starlette.types import Receive

from emblem.api.problems import Problem, body_timeout, broken_off, too_large, unsupported
from emblem.errors import Overloaded
from emblem.waiting import guarded, within

RawHeaders = Sequence[tuple[bytes, bytes]]


# How long a client that sends too much is listened to, so that it hears why it is refused: many
# read no answer until they have sent all.
DRAIN_S = 2.0


class BodyReader:
    """Reads bodies of at most ``max_bytes`` within ``timeout_s`` seconds.

    All bodies of requests in progress hold at most ``max_held_bytes``. Of a body that is too large
    as much again is thrown away. Used on the event loop only.
    """

    def __init__(self, max_bytes: int, timeout_s: float, max_held_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._late = partial(within, timeout_s, partial(body_timeout, timeout_s))
        self._max_held_bytes = max_held_bytes
        self._held = 0

    def read(self, headers: RawHeaders, receive: Receive) -> "_Reading":
        """Give a JSON body, as an asynchronous context manager: its bytes count as held inside.

        Entering it raises Problem or Overloaded.
        """
        return _Reading(self, headers, receive)

    def take(self, headers: RawHeaders, receive: Receive, taken: list[int]) -> Awaitable[bytes]:
        """Read a body and count its bytes as held; ``taken`` says how many, also if this raises."""
        _check(headers)
        if (length := announced(headers)) > self._max_bytes:
            # Whoever asks first (Expect: 100-continue) has sent nothing yet.
            sent = all(name != b"expect" for name, _ in headers)
            return self._refuse(receive, drain=sent and length <= 2 * self._max_bytes)
        return guarded(self._read(receive, taken), self._late)

    async def _refuse(self, receive: Receive, *, drain: bool) -> NoReturn:
        if drain:
            await self._drain(receive)
        raise too_large(self._max_bytes)

    def let_go(self, size: int) -> None:
        """Count so many bytes as held no more."""
        self._held -= size

    async def _read(self, receive: Receive, taken: list[int]) -> bytes:
        chunks: list[bytes] = []
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise broken_off()  # the server says the same of a client that is gone
            chunk: bytes = message.get("body", b"")
            more = message.get("more_body")
            taken[0] += len(chunk)
            self._held += len(chunk)
            if taken[0] > self._max_bytes:
                chunks.clear()
                if more:
                    await self._drain(receive)
                raise too_large(self._max_bytes)
            if self._held > self._max_held_bytes:
                raise Overloaded(
                    "Too many large requests are in progress. Please try again later.", 1
                )
            if not more and not chunks:
                return chunk
            chunks.append(chunk)
            if not more:
                return b"".join(chunks)

    async def _drain(self, receive: Receive) -> None:
        """Throw away what still comes of a body, within bounds."""
        left = self._max_bytes
        with suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_S):
                while left > 0:
                    message = await receive()
                    if not message.get("more_body"):
                        return
                    left -= len(message.get("body", b""))


class _Reading:
    """A body that is read on entering and let go of on leaving."""

    __slots__ = ("_headers", "_reader", "_receive", "_taken")

    def __init__(self, reader: BodyReader, headers: RawHeaders, receive: Receive) -> None:
        self._reader = reader
        self._headers = headers
        self._receive = receive
        self._taken = [0]

    async def __aenter__(self) -> bytes:
        try:
            return await self._reader.take(self._headers, self._receive, self._taken)
        except BaseException:
            self._reader.let_go(self._taken[0])
            raise

    async def __aexit__(self, *_: object) -> None:
        self._reader.let_go(self._taken[0])


def _check(headers: RawHeaders) -> None:
    """Refuse by the headers alone what cannot be read."""
    for name, value in headers:
        if name == b"content-type" and (problem := _not_json(value)):
            raise problem
        if name == b"content-encoding" and value.strip().lower() not in (b"", b"identity"):
            given = value.decode("latin-1")
            raise unsupported("Content-Encoding", given, "the body as it is")


def announced(headers: RawHeaders) -> int:
    """Give the bytes that a body is said to have; 0 where nothing is said that counts."""
    length = b""
    for name, value in headers:
        if name == b"content-length":
            length = length or value
        elif name == b"transfer-encoding":
            return 0
    if not length.isdigit():
        return 0
    digits = length.lstrip(b"0")[:19]  # Python refuses to read a number of thousands of digits
    return int(digits or b"0")


def _not_json(value: bytes) -> Problem | None:
    if value == b"application/json":
        return None
    media = value.split(b";")[0].strip().lower()
    if not media or media == b"application/json" or media.endswith(b"+json"):
        return None
    return unsupported("Content-Type", value.decode("latin-1"), "application/json")
