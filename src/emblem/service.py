"""The use cases, in terms of ports and values."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from math import inf
from typing import NoReturn

from emblem.accounts import Caller, Observed, Standing
from emblem.allowed import find
from emblem.charging import Bill, Charging
from emblem.core.cl100k import Cl100k
from emblem.core.output import Components, cast
from emblem.core.plan import context_length, unreadable
from emblem.errors import (
    DeadlineExceeded,
    InvalidInput,
    InvalidRequest,
    LimitReached,
    TooManyTokens,
)
from emblem.names import Names, Options, Served, check_options, combine
from emblem.ports import Counting, Embedder, Examining
from emblem.types import (
    EmbedRequest,
    EmbedResult,
    Lane,
    Occupancy,
    OutputType,
    Overflow,
    TokenIds,
)
from emblem.waiting import guarded, within

log = logging.getLogger(__name__)

# The two limits count the ids that are sent, and one of cl100k's may be a hundred of the model's
# own. So what they stand for is bounded too; ordinary text comes nowhere near it.
MODEL_TOKENS_PER_ID = 4

# Arrays with more ids than this are read off the event loop.
IDS_ON_THE_LOOP = 10_000

OVERFLOW_LOG_S = 3600.0


@dataclass(frozen=True, slots=True)
class Limits:
    """The contract's bounds on one request."""

    max_inputs: int = 2048
    max_input_tokens: int = 8192
    max_request_tokens: int = 300_000
    timeout_s: float = 600.0
    empty_input: bool = False  # whether "" is embedded

    def check_items(self, given: int) -> None:
        """Refuse more inputs than a request may have. Raises InvalidRequest."""
        if given > self.max_inputs:
            raise InvalidRequest(
                f"'$.input' is invalid: it has {given} items and may have at most "
                f"{self.max_inputs}. Send them in several requests.",
                param="input",
            )

    def check_ids(self, given: int) -> None:
        """Refuse more token ids than a request may have. Raises TooManyTokens."""
        if given > self.max_request_tokens:
            raise TooManyTokens(str(given), self.max_request_tokens)


@dataclass(frozen=True, slots=True)
class Call:
    """One request as the caller wrote it: texts, or arrays of token ids.

    ``wrong`` has the inputs that are neither, by their index, and why; an empty one is in their
    place. A call with such is always refused. ``reuse`` and ``keep`` are those of EmbedRequest.
    """

    model: str
    inputs: tuple[str, ...] | tuple[tuple[int, ...], ...]
    options: Options = field(default_factory=Options)
    wrong: Mapping[int, str] = field(default_factory=dict)
    reuse: bool = True
    keep: bool = True


async def _nothing() -> None:
    """Have nothing to give back."""


@dataclass(frozen=True, slots=True, eq=False)
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


def _late() -> DeadlineExceeded:
    return DeadlineExceeded("The request was not answered in time.")


def _answer(served: Served, options: Options, result: EmbedResult, bill: Bill) -> Answer:
    """Give what a caller gets of a result."""
    model, output = served.model, options.output or OutputType.FLOAT
    return Answer(
        model=model.name,
        vectors=cast(result.vectors, output),
        tokens=int(result.tokens.sum()),
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
    ``charging`` is asked before any work that a limited key wants done.
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
    ) -> None:
        self.names = names
        self._embedders = embedders
        # To ask this of each request would take a tenth of the time of a remembered answer.
        self._counters = {name: one for name, one in embedders.items() if isinstance(one, Counting)}
        self.limits = limits
        self._charging = charging
        self._cl100k = cl100k
        self.running = running
        self._elsewhere = elsewhere
        self._clock = clock
        self._overflow_logged: dict[str, float] = {}

    def problems(self) -> list[str]:
        """Say which models cannot answer now, and why, and which other processes; empty where all can."""
        own = [
            f"{name} {problem}"
            for name, embedder in self._embedders.items()
            if (problem := embedder.problem()) is not None
        ]
        return [*own, *self._elsewhere()]

    async def embed(self, call: Call, caller: Caller, seen: Observed) -> Answer:
        """Embed every input of a call for a caller, and note in ``seen`` how that went.

        A caller with limits is charged once, before the work, and given back what comes to no
        answer. One that leaves has been charged. Raises EmblemError.
        """
        served = find(self.names, call.model, caller)
        seen.model = served.model.name
        options = combine(served, call.options)
        check_options(served, options)
        self._charging.refuse_early(caller, served.model.name, sum(map(bool, call.inputs)))
        if call.wrong:
            await self._refuse(served, call, options)
        request = await self._request(served, call, options, caller)
        bill = self._charging.bill(caller, served.model.name, seen)
        try:
            result = await guarded(
                self._embed(served, request, bill),
                partial(within, self.limits.timeout_s, _late),
            )
            answer = _answer(served, options, result, bill)
        except LimitReached:
            raise
        except Exception:
            await bill.give_back()
            raise
        bill.settle(answer.tokens)
        seen.space, seen.served_by = answer.space, result.served_by
        seen.hits = answer.hits or 0
        self._log_overflow(served, caller.key.id, result)
        return answer

    async def _embed(self, served: Served, request: EmbedRequest, bill: Bill) -> EmbedResult:
        name = served.model.name
        request = await bill.pay(self._counters.get(name), request)
        return await self._embedders[name].embed(request)

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
        self.limits.check_items(len(call.inputs))
        lane = options.lane or (caller.key.terms.priority if caller else None)
        texts, times = await self._texts(served, call.inputs)
        return EmbedRequest(
            inputs=texts,
            kind=options.kind,
            dimensions=options.dimensions,
            overflow=options.overflow,
            lane=lane or Lane.INTERACTIVE,
            deadline=self._clock() + self.limits.timeout_s,
            fair_share=caller.key.id if caller else "",
            max_input_tokens=None if times is None else times * self.limits.max_input_tokens,
            max_total_tokens=None if times is None else times * self.limits.max_request_tokens,
            reuse=call.reuse,
            keep=call.keep,
            lane_by_size=lane is None,
        )

    async def _texts(
        self, served: Served, inputs: tuple[str, ...] | tuple[tuple[int, ...], ...]
    ) -> tuple[tuple[str | tuple[int, ...], ...], int | None]:
        """Give the inputs as an embedder takes them, and how many times the limits they may have.

        That is None where the tokens that the model will read are counted already.
        """
        texts = tuple(one for one in inputs if isinstance(one, str))
        if len(texts) == len(inputs):
            return texts, 1
        ids = tuple(one for one in inputs if not isinstance(one, str))
        if texts:
            raise InvalidRequest(
                "'$.input' is invalid: it mixes texts and arrays of token ids.", param="input"
            )
        if served.token_ids is TokenIds.REFUSE:
            raise InvalidRequest(
                f"`{served.name}` takes texts, not arrays of token ids. With LangChain's "
                "OpenAIEmbeddings set check_embedding_ctx_length=False.",
                param="input",
            )
        given = sum(len(one) for one in ids)
        self.limits.check_ids(given)
        if served.token_ids is TokenIds.NATIVE:
            return self._read(ids, lambda one: one), None
        decode = self._vocabulary().decode
        if given <= IDS_ON_THE_LOOP:
            return self._read(ids, decode), MODEL_TOKENS_PER_ID
        return await asyncio.to_thread(self._read, ids, decode), MODEL_TOKENS_PER_ID

    def _read(
        self,
        ids: tuple[tuple[int, ...], ...],
        read: Callable[[tuple[int, ...]], str | tuple[int, ...]],
    ) -> tuple[str | tuple[int, ...], ...]:
        """Read arrays of token ids, each within the limit. Raises InvalidInput."""
        most = self.limits.max_input_tokens
        texts, problems = [], []
        for index, one in enumerate(ids):
            if len(one) > most:
                problems.append((index, context_length(most, f"{len(one)} tokens")))
                continue
            try:
                texts.append(read(one))
            except ValueError as error:
                problems.append((index, str(error)))
        if problems:
            raise InvalidInput(problems)
        return tuple(texts)

    def _vocabulary(self) -> Cl100k:
        if self._cl100k is None:
            raise InvalidRequest(
                "Arrays of token ids cannot be read here: the cl100k_base vocabulary could not be "
                "fetched when the server started. Send texts.",
                param="input",
            )
        return self._cl100k

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
