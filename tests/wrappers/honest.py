"""An embedder that keeps every rule of an engine, at once or when told to, and remembers its work."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any
from zlib import crc32

import numpy as np

from emblem.core.output import shortened
from emblem.core.plan import context_length, refuse_unread
from emblem.errors import InvalidInput, InvalidRequest, TooManyTokens
from emblem.space import Space
from emblem.types import EmbedRequest, EmbedResult, Overflow, Tokens, Vectors

WIDTH = 6
READS = 8  # tokens at once, two of them special ones
PATIENCE_S = 30.0  # nothing waits so long unless it waits for ever
LATE = "late"  # its vector is zero but for the last number
SPACE = Space("honest", "a" * 64, "b" * 64, WIDTH, normalised=True)


class Honest:
    """Gives each text, kind and rule a vector of its own; a word is a token.

    ``gate`` holds its work back, ``error`` lets it fail. ``asked`` are the requests that came this
    far, ``computed`` their inputs; ``cancelled`` counts those that were given up.
    """

    def __init__(self, space: Space = SPACE, *, shortening: bool = True) -> None:
        self.space = space
        self.shortening = shortening
        self.asked: list[EmbedRequest] = []
        self.computed: list[str | tuple[int, ...]] = []
        self.error: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.cancelled = 0
        self.closed = False

    async def embed(self, request: EmbedRequest) -> EmbedResult:
        self.asked.append(request)
        if request.dimensions is not None and not self.shortening:
            raise InvalidRequest("no fewer dimensions", param="dimensions")
        tokens, uncut = self._read(request)
        self.computed += request.inputs
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.error:
            raise self.error
        over = tuple(int(place) for place in np.flatnonzero(uncut > READS))
        rule = request.overflow or self.space.overflow
        vectors = np.stack([self._vector(one, request) for one in request.inputs])
        if request.dimensions is not None:
            vectors = shortened(vectors, request.dimensions, normalised=True)
        cuts = rule is Overflow.TRUNCATE and over
        return EmbedResult(vectors, tokens, over, "honest", uncut if cuts else None)

    def problem(self) -> str | None:
        return "is closed" if self.closed else None

    async def aclose(self) -> None:
        self.closed = True

    def _read(self, request: EmbedRequest) -> tuple[Tokens, Tokens]:
        """Give what the texts cost and what they had before they were cut, or refuse them."""
        unread = refuse_unread(request)
        uncut = np.array([2 + len(_words(one)) for one in request.inputs], np.int32)
        wrong = dict(unread)
        for place, length in enumerate(uncut.tolist()):
            if request.max_input_tokens is not None and length > request.max_input_tokens:
                wrong.setdefault(place, context_length(request.max_input_tokens, str(length)))
            elif length > READS and (request.overflow or self.space.overflow) is Overflow.ERROR:
                wrong.setdefault(place, f"is {length} tokens")
        if wrong:
            raise InvalidInput(sorted(wrong.items()))
        if request.max_total_tokens is not None and uncut.sum() > request.max_total_tokens:
            raise TooManyTokens(str(uncut.sum()), request.max_total_tokens)
        cuts = (request.overflow or self.space.overflow) is Overflow.TRUNCATE
        return (np.minimum(uncut, READS) if cuts else uncut.copy()), uncut

    def _vector(self, one: str | tuple[int, ...], request: EmbedRequest) -> Vectors:
        words = _words(one)
        if (request.overflow or self.space.overflow) is Overflow.TRUNCATE:
            words = words[: READS - 2]
        seed = crc32(f"{self.space.identity[:20]}{request.kind}{words}{type(one)}".encode())
        if one == LATE:
            return np.eye(1, self.space.width, self.space.width - 1, dtype=np.float32)[0]
        vector = np.random.default_rng(seed).normal(size=self.space.width)
        return (vector / np.linalg.norm(vector)).astype(np.float32)


def _words(one: str | tuple[int, ...]) -> list[Any]:
    return one.split() if isinstance(one, str) else list(one)


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a test on an event loop of its own; who waits for ever in it fails."""

    async def patient() -> None:
        async with asyncio.timeout(PATIENCE_S):
            await test()

    asyncio.run(patient())


async def until(condition: Callable[[], object]) -> None:
    """Let others run until something is true."""
    while not condition():  # noqa: ASYNC110 - nothing sets an event for it
        await asyncio.sleep(0)


def same(one: EmbedResult, other: EmbedResult) -> bool:
    """Tell whether two results say the same, to the last bit."""
    uncut = [result.tokens if result.uncut is None else result.uncut for result in (one, other)]
    return (
        one.vectors.dtype == other.vectors.dtype == np.float32
        and one.vectors.shape == other.vectors.shape
        and one.vectors.tobytes() == other.vectors.tobytes()
        and one.vectors.flags.c_contiguous
        and one.tokens.dtype == other.tokens.dtype == np.int32
        and one.tokens.tolist() == other.tokens.tolist()
        and uncut[0].tolist() == uncut[1].tolist()
        and one.overflowed == other.overflowed
    )
