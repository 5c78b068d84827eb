"""What callers send to be embedded, as an embedder takes it: texts, and arrays of token ids read."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from emblem.core.cl100k import Cl100k
from emblem.core.plan import context_length
from emblem.errors import InvalidInput, InvalidRequest, TooManyTokens
from emblem.names import Served
from emblem.types import TokenIds, value

# The two limits count the ids that are sent, and one of cl100k's may be a hundred of the model's
# own. So what they stand for is bounded too; ordinary text comes nowhere near it.
MODEL_TOKENS_PER_ID = 4

# Arrays with more ids than this are read off the event loop.
IDS_ON_THE_LOOP = 10_000

Inputs = tuple[str, ...] | tuple[tuple[int, ...], ...]


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


@value(eq=False)
class Taken:
    """Inputs as an embedder takes them, and the limits of their tokens that it is to keep.

    Those are None where the tokens that the model will read are counted already.
    """

    inputs: tuple[str | tuple[int, ...], ...]
    max_input_tokens: int | None = None
    max_total_tokens: int | None = None


class Reader:
    """Reads inputs. ``cl100k`` is None where its vocabulary is not at hand. Used on the event loop."""

    def __init__(self, limits: Limits, cl100k: Cl100k | None = None) -> None:
        self._limits = limits
        self._cl100k = cl100k

    async def take(self, served: Served, inputs: Inputs) -> Taken:
        """Take texts as they are, and read arrays of token ids as a name has them read.

        Raises InvalidRequest.
        """
        self._limits.check_items(len(inputs))
        ids = tuple([one for one in inputs if not isinstance(one, str)])
        if not ids:
            return self._bounded(inputs, 1)
        self._check(served, ids, mixed=len(ids) < len(inputs))
        if served.token_ids is TokenIds.NATIVE:
            return Taken(self._read(ids, lambda one: one))
        decode = self._vocabulary().decode
        if sum(map(len, ids)) <= IDS_ON_THE_LOOP:
            return self._bounded(self._read(ids, decode), MODEL_TOKENS_PER_ID)
        read = await asyncio.to_thread(self._read, ids, decode)
        return self._bounded(read, MODEL_TOKENS_PER_ID)

    def _bounded(self, inputs: tuple[str | tuple[int, ...], ...], times: int) -> Taken:
        limits = self._limits
        return Taken(inputs, times * limits.max_input_tokens, times * limits.max_request_tokens)

    def _check(self, served: Served, ids: tuple[tuple[int, ...], ...], *, mixed: bool) -> None:
        """Refuse token ids among texts, for a name that takes none, or too many of them."""
        if mixed:
            raise InvalidRequest(
                "'$.input' is invalid: it mixes texts and arrays of token ids.", param="input"
            )
        if served.token_ids is TokenIds.REFUSE:
            raise InvalidRequest(
                f"`{served.name}` takes texts, not arrays of token ids. With LangChain's "
                "OpenAIEmbeddings set check_embedding_ctx_length=False.",
                param="input",
            )
        self._limits.check_ids(sum(map(len, ids)))

    def _read(
        self,
        ids: tuple[tuple[int, ...], ...],
        read: Callable[[tuple[int, ...]], str | tuple[int, ...]],
    ) -> tuple[str | tuple[int, ...], ...]:
        """Read arrays of token ids, each within the limit. Raises InvalidInput."""
        most = self._limits.max_input_tokens
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
