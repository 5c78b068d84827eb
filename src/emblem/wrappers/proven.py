"""Proven: a deployment that answers only while its vectors are shown to be those of its space.

What it is held to are vectors of known texts (``core/canaries.py``), kept since the first time that
anybody proved to be in that space. It is proven at the start and every few minutes from then on:
what was computed since the last proof that passed is only as good as the deployment is honest.
"""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from math import inf

import numpy as np

from emblem.core.canaries import SHORT, Canary, Verdict, canaries, compare, name_of
from emblem.core.check import refuse_wrong
from emblem.errors import (
    DeadlineExceeded,
    DeploymentFailed,
    InvalidRequest,
    InvalidResult,
    ModelError,
    Overloaded,
)
from emblem.ports import Doubting, Embedder, References
from emblem.space import Space
from emblem.types import (
    DeploymentState,
    EmbedRequest,
    EmbedResult,
    Health,
    Kind,
    Lane,
    Overflow,
    Reference,
    Vectors,
)
from emblem.wrappers.around import Around

log = logging.getLogger(__name__)

LEAST = 0.999
EVERY_S = 300.0
PROOF_S = 120.0  # that a proof may take
AT_ONCE = 4  # texts that are embedded at the same time for it
TRIES = 3  # of a request for it that fails
SOON_S = 2.0  # after a proof that could not be made, and twice as long after each further one

# Why a proof cannot be made now, which says nothing against the deployment.
_NOT_NOW = (Overloaded, DeadlineExceeded, DeploymentFailed, ModelError)


@dataclass(frozen=True, slots=True)
class Demands:
    """What a deployment is held to: the least cosine to the reference, and how often it is proven.

    Once is enough for what is in this process and cannot change: ``every_s`` is inf there.
    ``founds`` tells whether its vectors become the reference where there is none; where a model is
    here itself, only its own do. ``kinds`` are those that the model embeds differently.
    """

    least: float = LEAST
    every_s: float = EVERY_S
    founds: bool = True
    kinds: tuple[Kind, ...] = ()


DEMANDS = Demands()


class Proven(Around):
    """Passes requests on to a deployment while it is proven, and raises DeploymentFailed else.

    ``name`` is what it is called. ``space`` is what it is proven to be in, that of the deployment
    unless given. ``begin`` has it proven the first time. One that had served, here or before this
    process began, begins a new era when it is found wrong, so that nothing is remembered of before. A proof that cannot be made, because
    nothing answers, changes nothing: what was proven stays so, and what was not does not answer.

    Used on one event loop. ``clock`` is the monotonic clock, in seconds, ``dice`` gives 0…1,
    ``pause`` waits seconds.
    """

    def __init__(
        self,
        embedder: Embedder,
        references: References,
        name: str,
        space: Space | None = None,
        demands: Demands = DEMANDS,
        *,
        clock: Callable[[], float] = time.monotonic,
        dice: Callable[[], float] = random.random,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        super().__init__(embedder)
        self._space = space or embedder.space
        self._references = references
        self._name = name
        self._demands = demands
        self._clock = clock
        self._dice = dice
        self._pause = pause
        self._texts = canaries(demands.kinds)
        self._verdict: Verdict | None = None  # of the last proof that could be made
        self._proven_at = -inf
        self._put_off: str | None = None  # why the last one could not be made
        self._misses = 0  # proofs in a row that could not be made
        self._next_at = -inf  # when the next one begins
        self._rounds: asyncio.Task[None] | None = None
        self._doubting = references if isinstance(references, Doubting) else None
        self._doubts = self._doubting.doubts(self._space) if self._doubting else 0
        self.era = lambda: self._doubts

    async def embed(self, request: EmbedRequest) -> EmbedResult:
        """Embed, if this is proven when it begins and when it ends; see ``ports.Embedder``."""
        self._refuse()
        result = await self._embedder.embed(request)
        self._refuse()
        if self._space != self._embedder.space:
            refuse_wrong(request, result, self._space)
        return result

    def problem(self) -> str | None:
        """Say why it is not proven, or what it says of itself."""
        if (why := self._doubt()) is None:
            return super().problem()
        if self._verdict is None:
            return f"is not proven to give vectors of {self._space}: {why}"
        return f"is quarantined, for it does not give vectors of {self._space}: {why}"

    def deployments(self) -> tuple[DeploymentState, ...]:
        """Say how it is, itself."""
        verdict, doubt = self._verdict, self._doubt()
        problem = super().problem() if doubt is None else doubt
        health = Health.SERVING if problem is None else Health.CLOSED
        if doubt is not None:
            health = Health.UNPROVEN if verdict is None else Health.QUARANTINED
        passed = None if self._proven_at == -inf else self._clock() - self._proven_at
        left = 0.0 if doubt is None else self._next_at - self._clock()
        state = DeploymentState(
            self._name,
            health=health,
            problem=problem,
            worst_cosine=verdict.worst if verdict else None,
            proven_s=passed,
            retry_s=left if left > 0 else None,
        )
        return (state,)

    async def begin(self) -> None:
        """Prove it, and again every few minutes until it is closed. Never raises on purpose."""
        await self.prove()
        if self._rounds is None:
            self._rounds = asyncio.create_task(self._go_on())

    async def prove(self) -> Verdict | None:
        """Hold it to the reference and give the verdict; None where no proof can be made now.

        Only then is anything said of it, and only where that is news, in the log.
        """
        try:
            verdict = await self._judged()
        except _NOT_NOW as error:
            self._miss(str(error))
            return None
        except InvalidResult as error:
            verdict = Verdict(None, f"it gave {error.what}")
        # The process before this one may have served it until a moment ago, and remembered that.
        trusted = self._verdict is None or self._verdict.problem is None
        self._judge(verdict)
        await self._date(wrong=trusted and verdict.problem is not None)
        return verdict

    async def aclose(self) -> None:
        """End the proofs, and close the deployment."""
        if self._rounds is not None:
            self._rounds.cancel()
            await asyncio.wait([self._rounds])
            self._rounds = None
        await super().aclose()

    def _doubt(self) -> str | None:
        """Say why it is not to be trusted now; None where it is proven."""
        if self._verdict is None:
            return self._put_off or "no proof was made yet"
        return self._verdict.problem

    def _refuse(self) -> None:
        if self._doubt() is not None:
            raise DeploymentFailed(f"{self._name} {self.problem()}")

    async def _go_on(self) -> None:
        while (seconds := self._next_s()) < inf:
            self._next_at = self._clock() + seconds
            await self._pause(seconds)
            try:
                await self.prove()
            except Exception as error:
                log.exception("%s could not be proven", self._name)
                self._miss(type(error).__name__)

    def _next_s(self) -> float:
        """Give the seconds until the next proof, a tenth more or less: others have theirs, too."""
        every = self._demands.every_s
        if self._misses:
            every = min(every, SOON_S * 2.0 ** min(self._misses - 1, 32))
        return every * (0.9 + 0.2 * self._dice())

    def _miss(self, why: str) -> None:
        if not self._misses:
            log.warning("%s cannot be proven now: %s", self._name, why)
        self._misses += 1
        self._put_off = why

    async def _date(self, *, wrong: bool) -> None:
        """Begin an era where it was found ``wrong``, or follow another process into one.

        Nothing is answered any more that was remembered before: here at once, elsewhere soon.
        """
        known, self._doubts = self._doubts, self._doubts + wrong
        if self._doubting is None:
            return
        try:
            if wrong:
                now = await asyncio.to_thread(self._doubting.doubt, self._space, known)
            else:
                now = await asyncio.to_thread(self._doubting.doubts, self._space)
        except ModelError as error:
            log.error("what is remembered may be in doubt: %s", error)  # noqa: TRY400
        else:
            self._doubts = max(self._doubts, now)

    def _judge(self, verdict: Verdict) -> None:
        before, self._verdict = self._verdict, verdict
        self._misses, self._put_off = 0, None
        well = verdict.problem is None
        if well:
            self._proven_at = self._clock()
        if before is not None and (before.problem is None) is well:
            return
        if not well:
            log.error("%s %s", self._name, self.problem())
        else:
            log.info(
                "%s gives vectors of %s: worst cosine %.6f", self._name, self._space, verdict.worst
            )

    async def _judged(self) -> Verdict:
        """Embed the texts and compare. Raises what says that it cannot be done now."""
        texts = name_of(self._texts, refusing=self._space.overflow is Overflow.ERROR)
        kept = await asyncio.to_thread(self._references.get, self._space, texts)
        if kept is None and not self._demands.founds:
            raise DeploymentFailed("there is nothing yet to compare it with: another comes first")
        found, unasked = await self._found(texts)
        if kept is None:
            kept = await asyncio.to_thread(self._references.put, self._space, found)
            if kept.by == self._name and kept.made == found.made:
                log.info("%s is what others in %s are held to", self._name, self._space)
        return compare(self._texts, kept, found, self._demands.least, unasked)

    async def _found(self, name: str) -> tuple[Reference, frozenset[int]]:
        """Have every text embedded that is not refused; those that it cannot be asked for are named."""
        deadline = self._clock() + PROOF_S
        slots = asyncio.Semaphore(AT_ONCE)
        try:
            async with asyncio.TaskGroup() as together:
                groups = [
                    together.create_task(self._group(places, deadline, slots))
                    for places in _groups(self._texts)
                ]
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None  # the others were given up for it
        given = {place: row for group in groups for place, row in group.result().items()}
        unasked = frozenset(place for place, row in given.items() if row is None)
        rows = {place: row for place, row in given.items() if row is not None}
        if not any(self._texts[place].tokens <= SHORT for place in rows):
            raise DeploymentFailed("it refuses even short texts")
        vectors = np.zeros((len(self._texts), self._space.width), np.float32)
        for place, row in rows.items():
            vectors[place] = row
        refused = tuple(place for place in range(len(self._texts)) if place not in given)
        return Reference(name, vectors, refused, self._name, time.time()), unasked

    async def _group(
        self, places: Sequence[int], deadline: float, slots: asyncio.Semaphore
    ) -> dict[int, Vectors | None]:
        """Embed some of the texts together, or one by one where one of them is refused.

        None stands for a text that the deployment cannot be asked for.
        """
        request = EmbedRequest(
            tuple(self._texts[place].text for place in places),
            kind=self._texts[places[0]].kind,
            lane=Lane.BULK,
            deadline=deadline,
            reuse=False,
            keep=False,
        )
        try:
            async with slots:
                result = await self._tried(request)
        except DeploymentFailed as error:
            if not error.unasked:
                raise
            return dict.fromkeys(places)  # long ones, which are alone
        except InvalidRequest:
            if len(places) == 1:
                return {}
            each = [await self._group([place], deadline, slots) for place in places]
            return {place: row for one in each for place, row in one.items()}
        refuse_wrong(request, result, self._space)
        return dict(zip(places, result.vectors, strict=True))

    async def _tried(self, request: EmbedRequest) -> EmbedResult:
        """Embed, and again at once where that fails: one who fails now and then is to be proven, too.

        Nor is a text refused that is so once: what is found may be what others are held to for ever.
        """
        for _ in range(TRIES - 1):
            try:
                return await self._embedder.embed(request)
            except DeploymentFailed as error:
                if error.unasked:
                    raise
            except InvalidRequest:
                if len(request.inputs) > 1:
                    raise
        return await self._embedder.embed(request)


def _groups(texts: Sequence[Canary]) -> list[list[int]]:
    """Put short texts of one kind together, which shows who mixes texts up; others are alone."""
    groups: dict[tuple[Kind | None, int], list[int]] = {}
    for place, one in enumerate(texts):
        alone = place if one.tokens > SHORT else -1
        groups.setdefault((one.kind, alone), []).append(place)
    return list(groups.values())
