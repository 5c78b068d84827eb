"""Cached: a text that was embedded lately is not embedded again."""

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from emblem.core.reuse import (
    Entry,
    Known,
    Name,
    entries,
    joined,
    known,
    narrowed,
    part,
    rule,
    shortens,
    wanted,
)
from emblem.errors import InvalidRequest, InvalidResult
from emblem.ports import Beyond, Embedder
from emblem.types import EmbedRequest, EmbedResult, Kind, Overflow, Tokens, value
from emblem.wrappers.around import NUMBERS_ON_THE_LOOP, SURE, Around, Aside
from emblem.wrappers.recent import Recent

# What is longer is known by its SHA-256, so that it takes no more room than its vector.
MAX_KEY_BYTES = 1024


@value(eq=False)
class _Counted:
    """A request as ``count`` gave it, and the keys of its inputs in the era that it began in.

    ``result`` is the whole answer where all of it was known, and it is small.
    """

    request: EmbedRequest
    keys: list[bytes]
    era: int
    result: EmbedResult | None = None


class Cached(Around):
    """Answers from ``recent`` as far as it goes, and has the embedder do the rest.

    An entry is found by the space, the kind, the rule for long texts and the text itself, or its
    token ids, and holds the vector at full width, from which every number of dimensions is made.
    What a request has to keep is asked of it as if nothing were known: its limits, its rule, its
    deadline. Where that is in doubt the embedder gets the request as it came.

    It must wrap nothing that is not Checked, and the embedder must give for fewer ``dimensions``
    what it gives at full width, shortened; ``shortening`` is false where it refuses them. ``name``
    is what the embedder's results say they are served by, if that is not the name of its space.
    ``beyond`` is asked for what ``recent`` does not know, and told what was computed; whoever made
    it closes it. What was remembered before the embedder found itself wrong (``ports.Dated``) is not
    found any more. Used on one event loop; ``clock`` is the monotonic clock, in seconds.
    """

    def __init__(
        self,
        embedder: Embedder,
        recent: Recent,
        clock: Callable[[], float] = time.monotonic,
        *,
        shortening: bool = True,
        name: str = "",
        beyond: Beyond | None = None,
    ) -> None:
        super().__init__(embedder)
        self._beyond = beyond
        self._name = name or embedder.space.name
        self._recent = recent
        self._clock = clock
        self._shortening = shortening
        self._prefixes: dict[tuple[Kind | None, Overflow, int], bytes] = {}
        self._aside = Aside()
        self._counted: _Counted | None = None  # by the last ``count``
        self._closing = False

    async def embed(self, request: EmbedRequest) -> EmbedResult:
        """Embed what is not known; see ``ports.Embedder``."""
        counted = self._just_counted(request)
        keys = self._keys(request) if counted is None else counted.keys
        if keys is None:
            return await self._plainly(request)
        found: list[Entry | None] = self._recent.find(keys) if request.reuse else [None] * len(keys)
        if counted is not None and counted.result is not None and None not in found:
            return counted.result
        missing = [place for place, entry in enumerate(found) if entry is None]
        if missing and self._beyond is not None and request.reuse:
            missing = await self._fetch(self._beyond, keys, found, request)
        if len(missing) == len(keys):
            return await self._all(keys, request)
        hits, served_by = len(keys) - len(missing), self._name
        if missing:
            try:
                computed = await self._embedder.embed(part(request, missing))
            except (InvalidRequest, InvalidResult):
                return await self._plainly(request)  # which names the texts by their own places
            hits += computed.hits or 0
            served_by = computed.served_by
            parts = await self._kept([keys[place] for place in missing], computed, request)
            for place, entry in zip(missing, parts, strict=True):
                found[place] = entry
        made = self._made(found, request, served_by, hits)
        result = await self._aside.do(made, self._numbers(len(keys)))
        return result or await self._plainly(request)

    async def count(self, request: EmbedRequest) -> tuple[EmbedRequest, Tokens]:
        """Say what the inputs will cost, and read only those that are not known."""
        keys = self._keys(request) if request.reuse else None
        if keys is None:
            return await self.counter().count(request)
        era, parts = self.era(), self._recent.look(keys)
        if self._beyond is not None and None in parts:
            await self._fetch(self._beyond, keys, parts, request)
        if None not in parts and self._numbers(len(keys)) <= NUMBERS_ON_THE_LOOP:
            # To make the answer takes no longer than to add up what it costs.
            result = self._made(parts, request, self._name, len(keys))()
            if result is not None:
                self._counted = _Counted(request, keys, era, result)
                return request, result.tokens
        found = known(parts, request, self._space) if any(parts) else None
        if found is None or _too_many(found, request):
            read, counted = await self.counter().count(request)
            self._counted = _Counted(read, keys, era)
            return read, counted
        costs = dict(found.tokens)
        tokens = np.array([costs.get(place, 0) for place in range(len(keys))], np.int32)
        if found.missing:
            left, most = part(request, found.missing), request.max_total_tokens
            if most is not None:
                left = replace(left, max_total_tokens=most - found.uncut)
            try:
                read, tokens[found.missing] = await self.counter().count(left)
            except InvalidRequest:
                return await self.counter().count(request)  # which names them by their own places
            readings: list[object] = [None] * len(tokens)
            if read.readings:  # one that counts without reading has none
                for place, one in zip(found.missing, read.readings, strict=True):
                    readings[place] = one
                request = request.with_readings(tuple(readings))
        self._counted = _Counted(request, keys, era)
        return request, tokens

    async def aclose(self) -> None:
        """Close the embedder, which answers everything from now on, as one that is closed does."""
        self._closing = True
        await super().aclose()
        self._aside.close()

    async def _fetch(
        self, beyond: Beyond, keys: list[bytes], found: list[Entry | None], request: EmbedRequest
    ) -> list[int]:
        """Fill in what is known farther away, and give the places of what is not."""
        missing = [place for place, entry in enumerate(found) if entry is None]
        given = await beyond.find([keys[place] for place in missing], self._space.width)
        for place, entry in zip(missing, given, strict=True):
            found[place] = entry
        if request.keep:
            near = {keys[place]: entry for place in missing if (entry := found[place]) is not None}
            self._recent.put([*near], [*near.values()])
        return [place for place in missing if found[place] is None]

    async def _all(self, keys: list[bytes], request: EmbedRequest) -> EmbedResult:
        """Answer a request of which nothing is known."""
        full = request if request.dimensions is None else replace(request, dimensions=None)
        computed = await self._embedder.embed(full)
        if request.keep:
            await self._kept(keys, computed, request)
        made = partial(narrowed, computed, request, self._space, hits=computed.hits or 0)
        if not shortens(request, self._space):
            return made()
        return await self._aside.do(made, self._numbers(len(keys)))

    async def _kept(
        self, keys: list[bytes], computed: EmbedResult, request: EmbedRequest
    ) -> list[Entry]:
        """Give the entries of what was computed, and remember them if that may be."""
        made = partial(entries, computed, len(keys), self._space)
        parts = await self._aside.do(made, self._numbers(len(keys)))
        if request.keep:
            self._recent.put(keys, parts)
            if self._beyond is not None:
                self._beyond.put(keys, parts)
        return parts

    def _made(
        self, found: Sequence[Entry | None], request: EmbedRequest, served_by: str, hits: int
    ) -> Callable[[], EmbedResult | None]:
        """Give what makes the result of a request of its entries, all of which are there."""
        have = [entry for entry in found if entry is not None]
        return partial(joined, have, request, self._space, served_by=served_by, hits=hits)

    async def _plainly(self, request: EmbedRequest) -> EmbedResult:
        """Have the embedder do all of it."""
        result = await self._embedder.embed(request)
        return replace(result, hits=result.hits or 0)

    def _numbers(self, texts: int) -> int:
        return texts * self._space.width

    def _just_counted(self, request: EmbedRequest) -> _Counted | None:
        """Give what ``count`` knew of a request: what it gave comes right behind as a rule."""
        counted, self._counted = self._counted, None
        if counted is None or counted.request is not request or self._closing:
            return None
        return counted if counted.era == self.era() else None

    def _keys(self, request: EmbedRequest) -> list[bytes] | None:
        """Give the key of each input; None where the request is for the embedder alone."""
        if self._closing or request.deadline <= self._clock():
            return None
        names = wanted(request, self._space, self._shortening)
        if names is None:
            return None
        prefix = self._prefix(request)
        return [_key(prefix, one) for one in names]

    def _prefix(self, request: EmbedRequest) -> bytes:
        """Give what tells the vectors of one text apart, in 16 bytes of a digest.

        ``error`` refuses texts and changes no vector, so it finds those of ``mean``.
        """
        asked = rule(request, self._space)
        given = Overflow.TRUNCATE if asked is Overflow.TRUNCATE else Overflow.MEAN
        question = (request.kind, given, era := self.era())
        if (prefix := self._prefixes.get(question)) is None:
            whole = f"{self.space.identity} {request.kind} {given}" + (
                "" if era == SURE else f" {era}"
            )
            prefix = hashlib.sha256(whole.encode()).digest()[:16]
            self._prefixes[question] = prefix
        return prefix


def _too_many(found: Known, request: EmbedRequest) -> bool:
    """Tell whether the known inputs leave no room in the request for any token more."""
    most = request.max_total_tokens
    return most is not None and found.uncut + bool(found.missing) > most


def _key(prefix: bytes, one: Name) -> bytes:
    """Give the key of a text or of token ids. No two that differ have the same."""
    form, content = (
        (b"i", one) if isinstance(one, bytes) else (b"t", one.encode("utf-8", "surrogatepass"))
    )
    if len(content) > MAX_KEY_BYTES:
        form, content = form.upper(), hashlib.sha256(content).digest()
    return prefix + form + content
