"""The use cases, in terms of ports and values: which model a name means, and embedding with it."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from math import inf

from emblem.core.cl100k import Cl100k
from emblem.core.output import Components, cast
from emblem.core.plan import estimated_tokens
from emblem.errors import (
    DeadlineExceeded,
    InvalidInput,
    InvalidRequest,
    TooManyTokens,
    UnknownModel,
)
from emblem.model import Model
from emblem.ports import Embedder
from emblem.types import EmbedRequest, EmbedResult, Kind, Lane, OutputType, Overflow, TokenIds

log = logging.getLogger(__name__)

# A request that a person may be waiting for: about a quarter of a second's work on two cores.
INTERACTIVE_TOKENS = 1024

OVERFLOW_LOG_S = 3600.0


@dataclass(frozen=True, slots=True)
class Options:
    """What a request may ask for, or an alias fix. None means that nothing was said."""

    dimensions: int | None = None
    kind: Kind | None = None
    output: OutputType | None = None
    overflow: Overflow | None = None
    lane: Lane | None = None


# What the options are called on the wire, for messages.
OPTION_NAMES: Mapping[str, str] = {
    "dimensions": "dimensions",
    "kind": "input_type",
    "output": "output_dtype",
    "overflow": "overflow",
    "lane": "priority",
}


@dataclass(frozen=True, slots=True)
class Served:
    """A name that clients may send, and what answers to it."""

    name: str
    model: Model
    embedder: Embedder
    created: int  # seconds since the epoch
    fixed: Options = field(default_factory=Options)
    token_ids: TokenIds = TokenIds.CL100K
    alias_of: str | None = None

    def same_as(self, other: "Served") -> bool:
        """Tell whether two names would give the same answers."""
        return (self.embedder, self.fixed, self.token_ids) == (
            other.embedder,
            other.fixed,
            other.token_ids,
        )


@dataclass(frozen=True, slots=True)
class Limits:
    """The contract's bounds on one request."""

    max_inputs: int = 2048
    max_input_tokens: int = 8192
    max_request_tokens: int = 300_000
    timeout_s: float = 600.0
    empty_input: bool = False  # whether "" is embedded


@dataclass(frozen=True, slots=True)
class Call:
    """One request as the caller wrote it: texts, or arrays of token ids."""

    model: str
    inputs: tuple[str, ...] | tuple[tuple[int, ...], ...]
    options: Options = field(default_factory=Options)


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """What a call gives. ``vectors`` is (n, d) in the asked number format."""

    model: str
    vectors: Components
    tokens: int
    space: str
    overflow: Overflow
    overflowed: tuple[int, ...]


class Names:
    """Every name that is served. Fixed when the server starts."""

    def __init__(self, served: Mapping[str, Served], hint: Callable[[str], str]) -> None:
        """``hint`` says what to do about a model that is not served."""
        self._served = dict(served)
        self._hint = hint

    def __iter__(self):  # noqa: ANN204
        """Iterate over what is served, in the order of the configuration."""
        return iter(self._served.values())

    def resolve(self, name: str) -> Served:
        """Find what answers to a name or to ``NAME@digest``. Raises UnknownModel."""
        if (served := self._served.get(name)) is not None:
            return served
        base, at, digest = name.rpartition("@")
        if at and (served := self._served.get(base)) is not None:
            if digest == served.model.space.digest:
                return served
            raise UnknownModel(
                name, f"`{base}` is served here as `{base}@{served.model.space.digest}`."
            )
        raise UnknownModel(name, self._hint(name))


class Service:
    """Embeds what callers send. ``cl100k`` is None where its vocabulary is not at hand."""

    def __init__(
        self,
        names: Names,
        limits: Limits,
        cl100k: Cl100k | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.names = names
        self._limits = limits
        self._cl100k = cl100k
        self._clock = clock
        self._overflow_logged: dict[str, float] = {}

    async def embed(self, call: Call, key: str) -> Answer:
        """Embed every input of a call for the key with this id. Raises EmblemError."""
        served = self.names.resolve(call.model)
        options = combine(served, call.options)
        check_options(served, options)
        request = replace(self._request(served, call.inputs, options), fair_share=key)
        try:
            async with asyncio.timeout(self._limits.timeout_s):
                result = await served.embedder.embed(request)
        except TimeoutError:
            raise DeadlineExceeded("The request was not answered in time.") from None
        self._log_overflow(served, key, result)
        space = served.embedder.space
        return Answer(
            model=served.model.name,
            vectors=cast(result.vectors, options.output or OutputType.FLOAT),
            tokens=int(result.tokens.sum()),
            space=space.written(
                dimensions=options.dimensions,
                overflow=options.overflow,
                output=options.output or OutputType.FLOAT,
            ),
            overflow=options.overflow or space.overflow,
            overflowed=result.overflowed,
        )

    def _request(
        self,
        served: Served,
        inputs: tuple[str, ...] | tuple[tuple[int, ...], ...],
        options: Options,
    ) -> EmbedRequest:
        if len(inputs) > self._limits.max_inputs:
            raise InvalidRequest(
                f"'$.input' is invalid: it has {len(inputs)} items and may have at most "
                f"{self._limits.max_inputs}. Send them in several requests.",
                param="input",
            )
        texts, counted = self._texts(served, inputs)
        request = EmbedRequest(
            inputs=texts,
            kind=options.kind,
            dimensions=options.dimensions,
            overflow=options.overflow,
            deadline=self._clock() + self._limits.timeout_s,
            max_input_tokens=None if counted else self._limits.max_input_tokens,
            max_total_tokens=None if counted else self._limits.max_request_tokens,
        )
        small = estimated_tokens(request) <= INTERACTIVE_TOKENS
        return replace(request, lane=options.lane or (Lane.INTERACTIVE if small else Lane.BULK))

    def _texts(
        self, served: Served, inputs: tuple[str, ...] | tuple[tuple[int, ...], ...]
    ) -> tuple[tuple[str | tuple[int, ...], ...], bool]:
        """Give the inputs as an embedder takes them, and whether their tokens are counted yet."""
        texts = [one for one in inputs if isinstance(one, str)]
        if texts:
            empty = [(i, "is an empty string") for i, text in enumerate(texts) if not text]
            if empty and not self._limits.empty_input:
                raise InvalidInput(empty)
            return tuple(texts), False
        ids = tuple(one for one in inputs if not isinstance(one, str))
        self._refuse_long(ids)
        if served.token_ids is TokenIds.REFUSE:
            raise InvalidRequest(
                f"`{served.name}` takes texts, not arrays of token ids. With LangChain's "
                "OpenAIEmbeddings set check_embedding_ctx_length=False.",
                param="input",
            )
        if served.token_ids is TokenIds.NATIVE:
            return ids, True
        return self._decoded(ids), True

    def _refuse_long(self, ids: tuple[tuple[int, ...], ...]) -> None:
        most = self._limits.max_input_tokens
        problems = [
            (
                index,
                f"is too long: This model's maximum context length is {most} tokens, however you "
                f"requested {len(one)} tokens",
            )
            for index, one in enumerate(ids)
            if len(one) > most
        ]
        if problems:
            raise InvalidInput(problems)
        total = sum(len(one) for one in ids)
        if total > self._limits.max_request_tokens:
            raise TooManyTokens(str(total), self._limits.max_request_tokens)

    def _decoded(self, ids: tuple[tuple[int, ...], ...]) -> tuple[str, ...]:
        if self._cl100k is None:
            raise InvalidRequest(
                "Arrays of token ids cannot be read here: the cl100k_base vocabulary is missing. "
                "Send texts, or have it fetched with: emblem pull cl100k_base",
                param="input",
            )
        texts, problems = [], []
        for index, one in enumerate(ids):
            try:
                texts.append(self._cl100k.decode(one))
            except ValueError as error:
                problems.append((index, str(error)))
        if problems:
            raise InvalidInput(problems)
        return tuple(texts)

    def _log_overflow(self, served: Served, key: str, result: EmbedResult) -> None:
        """Say that texts were too long, once for each key and hour."""
        if not result.overflowed:
            return
        now = self._clock()
        if now - self._overflow_logged.get(key, -inf) < OVERFLOW_LOG_S:
            return
        self._overflow_logged[key] = now
        log.warning(
            "key %s sent texts longer than %s reads at once; the answers say which "
            "(x-embedding-overflow). This is said once an hour.",
            key,
            served.model.name,
        )


def combine(served: Served, asked: Options) -> Options:
    """Put together what a name fixes and what a request asks for; they must not contradict."""
    merged = {}
    for attribute, wire in OPTION_NAMES.items():
        fixed, wanted = getattr(served.fixed, attribute), getattr(asked, attribute)
        if fixed is not None and wanted is not None and fixed != wanted:
            raise InvalidRequest(
                f"`{served.name}` stands for {wire}={fixed}, and the request asks for "
                f"{wire}={wanted}. Leave {wire} out, or use `{served.alias_of or served.name}`.",
                param=wire,
            )
        merged[attribute] = wanted if fixed is None else fixed
    return Options(**merged)


def check_options(served: Served, options: Options) -> None:
    """Refuse what the model cannot give. Raises InvalidRequest."""
    model = served.model
    width = model.width
    if options.dimensions is not None and options.dimensions > width:
        raise InvalidRequest(_too_wide(served, options.dimensions), param="dimensions")
    if options.kind is not None and not model.prompts:
        raise InvalidRequest(
            f"`{model.name}` embeds queries and documents alike: it has no prompts. "
            "Leave input_type out.",
            param="input_type",
        )
    if options.output in (None, OutputType.FLOAT):
        return
    if options.output in (OutputType.INT8, OutputType.UINT8) and not model.space.normalised:
        raise InvalidRequest(
            f"`{model.name}` does not give unit vectors, so {options.output}, whose scale is fixed, "
            'would cut them off. Use "float".',
            param="output_dtype",
        )
    dimensions = options.dimensions or width
    if options.output in (OutputType.BINARY, OutputType.UBINARY) and dimensions % 8:
        raise InvalidRequest(
            f"{options.output} packs eight numbers into a byte, and {dimensions} is no multiple "
            "of 8.",
            param="dimensions",
        )


OPENAI_WIDTHS: Mapping[str, int] = {
    "text-embedding-3-small": 1536,
    "text-embedding-3-large": 3072,
    "text-embedding-ada-002": 1536,
}


def _too_wide(served: Served, dimensions: int) -> str:
    width = served.model.width
    if (openai := OPENAI_WIDTHS.get(served.name)) is not None:
        return (
            f"{served.name} is served here by {served.model.name} ({width} numbers, not OpenAI's "
            f"{openai}), so dimensions may be 1 to {width}, and {dimensions} was asked for. Leave "
            f"dimensions out and give your index {width} dimensions. Never mix these vectors with "
            "an index that OpenAI filled."
        )
    return (
        f"`{served.name}` gives vectors of {width} numbers, so dimensions may be 1 to {width}, "
        f"and {dimensions} was asked for. Vectors are never padded."
    )
