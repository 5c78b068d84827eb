"""The use cases, in terms of ports and values."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import field
from functools import partial
from math import inf
from typing import NoReturn

from emblem.accounts import Caller, Observed, Standing
from emblem.allowed import find
from emblem.charging import Bill, Charging
from emblem.core.cl100k import Cl100k
from emblem.core.output import Components, cast
from emblem.core.plan import unreadable
from emblem.errors import (
    DeadlineExceeded,
    InvalidInput,
    InvalidRequest,
    LimitReached,
    TooManyTokens,
    UnknownModel,
)
from emblem.inputs import Inputs, Reader
from emblem.inputs import Limits as Limits  # for those who make a service, too
from emblem.names import Names, Options, Served, check_options, combine
from emblem.ports import Counting, Deploying, Embedder, Examining
from emblem.types import (
    DeploymentState,
    EmbedRequest,
    EmbedResult,
    Lane,
    Occupancy,
    OutputType,
    Overflow,
    value,
)
from emblem.waiting import guarded, within

log = logging.getLogger(__name__)

OVERFLOW_LOG_S = 3600.0


@value()
class Call:
    """One request as the caller wrote it: texts, or arrays of token ids.

    ``wrong`` has the inputs that are neither, by their index, and why; an empty one is in their
    place. A call with such is always refused. ``reuse`` and ``keep`` are those of EmbedRequest.
    """

    model: str
    inputs: Inputs
    options: Options = field(default_factory=Options)
    wrong: Mapping[int, str] = field(default_factory=dict)
    reuse: bool = True
    keep: bool = True


async def _nothing() -> None:
    """Have nothing to give back."""


@value(eq=False)
class Answer:
    """What a call gives. ``vectors`` is (n, d) in the asked number format.

    ``hits`` counts the inputs that were not computed for this call; None where nothing is cached.
    ``standings`` say how the caller's limits stood once the call was charged. ``withdraw`` gives the
    charge back, where this cannot be given after all.
    """

    model: str
    vectors: Components
    tokens: int
    space: str
    overflow: Overflow
    overflowed: tuple[int, ...]
    hits: int | None = None
    standings: tuple[Standing, ...] = ()
    withdraw: Callable[[], Awaitable[None]] = _nothing
    served_by: str = ""


def _cut(served: Served, request: EmbedRequest) -> int:
    """Give of how many tokens of a text one is charged at least: a text that is cut costs less."""
    rule, most = request.overflow or served.model.space.overflow, served.model.max_length
    if rule is not Overflow.TRUNCATE or most is None:
        return 1
    # Ids are counted without what the model adds to them.
    longest = request.max_input_tokens or 2 * max(map(len, request.inputs))
    return max(1, -(-longest // most))


def _late() -> DeadlineExceeded:
    return DeadlineExceeded("The request was not answered in time.")


def _answer(
    served: Served, options: Options, result: EmbedResult, bill: Bill, tokens: int
) -> Answer:
    """Give what a caller gets of a result."""
    model, output = served.model, options.output or OutputType.FLOAT
    return Answer(
        model=model.name,
        vectors=cast(result.vectors, output),
        tokens=tokens,
        space=model.written(
            dimensions=options.dimensions, overflow=options.overflow, output=output
        ),
        overflow=options.overflow or model.space.overflow,
        overflowed=result.overflowed,
        hits=result.hits,
        standings=bill.standings,
        withdraw=bill.give_back,
        served_by=result.served_by,
    )


class Service:
    """Embeds what callers send. ``embedders`` are by the name of their model.

    They choose the lane of a request that leaves it to its size.

    ``cl100k`` is None where its vocabulary is not at hand; ``running`` says which models are loaded.
    ``charging`` is asked before any work that a limited key wants done. ``holding``, by the name of
    a model, keeps it in memory from when its tokens are counted until it has embedded them.
    ``passing`` are the models that requests for something else are passed on to.
    """

    def __init__(
        self,
        names: Names,
        embedders: Mapping[str, Embedder],
        limits: Limits,
        charging: Charging,
        cl100k: Cl100k | None = None,
        clock: Callable[[], float] = time.monotonic,
        running: Callable[[], Occupancy] = lambda: Occupancy((), 0),
        elsewhere: Callable[[], Sequence[str]] = tuple,
        holding: Mapping[str, Callable[[], AbstractContextManager[object]]] = {},
        passing: Mapping[str, Deploying] = {},
    ) -> None:
        self.names = names
        self._embedders = dict(embedders)
        # To ask this of each request would take a tenth of the time of a remembered answer.
        self._counters = {name: one for name, one in embedders.items() if isinstance(one, Counting)}
        self.limits = limits
        self._charging = charging
        self._reader = Reader(limits, cl100k)
        self.running = running
        self._elsewhere = elsewhere
        self._holding = holding
        self._passing = passing
        self._clock = clock
        self._overflow_logged: dict[str, float] = {}

    def take(self, name: str, embedder: Embedder) -> None:
        """Have one more model embedded, of which ``names`` may tell from now on."""
        self._embedders[name] = embedder
        if isinstance(embedder, Counting):
            self._counters[name] = embedder

    def problems(self) -> list[str]:
        """Say which models cannot answer now, and why, and which other processes; empty where all can."""
        own = [
            f"{name} {problem}"
            for name, embedder in self._embedders.items()
            if (problem := embedder.problem()) is not None
        ]
        return [*own, *self._elsewhere()]

    def deployments(self) -> Mapping[str, tuple[DeploymentState, ...]]:
        """Say how the deployments are of each model that has any elsewhere, by its name."""
        told = {
            name: one.deployments()
            for name, one in (*self._embedders.items(), *self._passing.items())
            if isinstance(one, Deploying)
        }
        return {name: deployments for name, deployments in told.items() if deployments}

    async def embed(self, call: Call, caller: Caller, seen: Observed) -> Answer:
        """Embed every input of a call for a caller, and note in ``seen`` how that went.

        A caller with limits is charged once, before the work, and given back what comes to no
        answer, but for the one request where the fault is his. One that leaves has been charged.
        Raises EmblemError.
        """
        bill = self._charging.bill(caller, seen)
        try:
            return await self._answered(call, caller, seen, bill)
        except LimitReached:
            raise
        except (InvalidRequest, UnknownModel):
            await bill.count_wrong()
            raise
        except Exception:
            await bill.give_back()
            raise

    async def count_wrong(self, caller: Caller, seen: Observed) -> None:
        """Charge a caller for a request that is no call at all. Raises LimitReached."""
        await self._charging.bill(caller, seen).count_wrong()

    async def _answered(self, call: Call, caller: Caller, seen: Observed, bill: Bill) -> Answer:
        served = find(self.names, call.model, caller)
        seen.model = served.model.name
        options = combine(served, call.options)
        check_options(served, options)
        self._charging.refuse_early(caller, served.model.name, sum(map(bool, call.inputs)))
        if call.wrong:
            await self._refuse(served, call, options)
        request = await self._request(served, call, options, caller)
        work = (
            self._paid(served, request, caller, bill)
            if caller.limited
            else self._embedders[served.model.name].embed(request)
        )
        result = await guarded(work, partial(within, self.limits.timeout_s, _late))
        tokens = sum(result.tokens.tolist())  # of a few numbers, in a tenth of numpy's time
        if bill.settle(tokens):
            await bill.lower()
        answer = _answer(served, options, result, bill, tokens)
        seen.space, seen.served_by = answer.space, result.served_by
        seen.hits = answer.hits or 0
        self._log_overflow(served, caller.key.id, result)
        return answer

    async def _paid(
        self, served: Served, request: EmbedRequest, caller: Caller, bill: Bill
    ) -> EmbedResult:
        """Charge a request before it is embedded."""
        name = served.model.name
        embedder = self._embedders[name]
        if not caller.counted:
            return await embedder.embed(await bill.pay(None, request))
        with self._holding.get(name, nullcontext)():
            paid = await bill.pay(self._counters.get(name), request, _cut(served, request))
            return await embedder.embed(paid)

    async def _refuse(self, served: Served, call: Call, options: Options) -> NoReturn:
        """Raise InvalidInput for a call with inputs that are wrong, naming all that are."""
        found = unreadable(call.inputs, self.limits.max_input_tokens)
        embedder = self._embedders[served.model.name]
        try:
            async with asyncio.timeout(self.limits.timeout_s):
                request = await self._request(served, call, options)
                if isinstance(embedder, Examining):
                    await embedder.examine(request, call.wrong)
        except InvalidInput as error:
            found |= dict(error.problems)
        except (TooManyTokens, TimeoutError):
            pass  # that of the whole is said once its parts are mended
        raise InvalidInput(sorted((found | dict(call.wrong)).items()))

    async def _request(
        self, served: Served, call: Call, options: Options, caller: Caller | None = None
    ) -> EmbedRequest:
        lane = options.lane or (caller.key.terms.priority if caller else None)
        taken = await self._reader.take(served, call.inputs)
        return EmbedRequest(
            inputs=taken.inputs,
            kind=options.kind,
            dimensions=options.dimensions,
            overflow=options.overflow,
            lane=lane or Lane.INTERACTIVE,
            deadline=self._clock() + self.limits.timeout_s,
            fair_share=caller.key.id if caller else "",
            max_input_tokens=taken.max_input_tokens,
            max_total_tokens=taken.max_total_tokens,
            reuse=call.reuse,
            keep=call.keep,
            lane_by_size=lane is None,
        )

    def _log_overflow(self, served: Served, key: str, result: EmbedResult) -> None:
        """Say that texts were too long, once for each key and hour."""
        if not result.overflowed:
            return
        now = self._clock()
        if now - self._overflow_logged.get(key, -inf) < OVERFLOW_LOG_S:
            return
        # Keys come and go, so whoever could be named again is forgotten.
        self._overflow_logged = {
            one: then for one, then in self._overflow_logged.items() if now - then < OVERFLOW_LOG_S
        }
        self._overflow_logged[key] = now
        log.warning(
            "key %s sent texts longer than %s reads at once; the answers say which "
            "(x-embedding-overflow). This is said once an hour.",
            key,
            served.model.name,
        )
