"""From a request to the windows that a backend runs, and from their vectors back to its texts."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from emblem.core.output import shortened
from emblem.core.pool import unit, weighted_mean
from emblem.core.tokenize import Frame, Text, Window, cost, cut, unfit
from emblem.errors import InvalidInput, InvalidRequest, TooManyTokens
from emblem.types import EmbedRequest, Overflow, Tokens, Vectors

# No tokenizer in use packs more characters into a token in ordinary text, so a longer input is
# refused without being tokenised.
MAX_CHARACTERS_PER_TOKEN = 64

# Characters tokenised at a time: a large request leaves the threads to others in between.
SLICE_CHARACTERS = 65_536

# Before texts are tokenised, what they will cost is guessed from their characters.
CHARACTERS_PER_TOKEN = 4
SPECIAL_TOKENS = 2  # in each, as most models have them


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """The windows of a request, (w,) ``owners``: which text each belongs to, and (n,) ``tokens``."""

    windows: list[Window]
    owners: npt.NDArray[np.int32]
    tokens: Tokens
    overflowed: tuple[int, ...]

    @property
    def lengths(self) -> npt.NDArray[np.intp]:
        """Tokens of each window: (w,)."""
        return np.array([len(window.ids) for window in self.windows], dtype=np.intp)


def estimated_tokens(request: EmbedRequest) -> int:
    """Guess what a request will cost, without tokenising it."""
    return sum(
        SPECIAL_TOKENS + (len(one) if isinstance(one, tuple) else len(one) // CHARACTERS_PER_TOKEN)
        for one in request.inputs
    )


def refuse_unread(request: EmbedRequest) -> None:
    """Refuse what is empty, or too large to be worth tokenising. Raises InvalidRequest."""
    if not request.inputs:
        raise InvalidRequest("There is nothing to embed.", param="input")
    sizes = [len(one) for one in request.inputs]
    if (most := request.max_input_tokens) is not None:
        problems = [
            (index, context_length(most, f"{size} characters, too many to read"))
            for index, size in enumerate(sizes)
            if size > most * MAX_CHARACTERS_PER_TOKEN
        ]
        if problems:
            raise InvalidInput(problems)
    if (most := request.max_total_tokens) is not None and sum(sizes) > (
        most * MAX_CHARACTERS_PER_TOKEN
    ):
        raise TooManyTokens(f"more than {most}", most)


def context_length(maximum: int, requested: str) -> str:
    """Say that an input is too long, in the words that OpenAI's clients look for."""
    return (
        f"is too long: This model's maximum context length is {maximum} tokens, however you "
        f"requested {requested}"
    )


def slices(inputs: Sequence[str | tuple[int, ...]]) -> Iterator[list[str | tuple[int, ...]]]:
    """Cut the inputs into runs that are tokenised at a time, in order."""
    part: list[str | tuple[int, ...]] = []
    size = 0
    for one in inputs:
        part.append(one)
        size += len(one)
        if size >= SLICE_CHARACTERS:
            yield part
            part, size = [], 0
    if part:
        yield part


def plan(
    readings: Sequence[Text | str], frame: Frame, request: EmbedRequest, overflow: Overflow
) -> Plan:
    """Cut every text into its windows. Raises InvalidInput, naming every text that cannot be.

    Where a reading is not a text, it says why there is none.
    """
    problems = [
        (index, why)
        for index, reading in enumerate(readings)
        if (why := _problem(reading, frame, request.max_input_tokens, overflow))
    ]
    if problems:
        raise InvalidInput(problems)
    texts = [reading for reading in readings if isinstance(reading, Text)]
    parts = [cut(text, frame, overflow) for text in texts]
    return Plan(
        windows=[window for part in parts for window in part],
        owners=np.repeat(np.arange(len(parts), dtype=np.int32), [len(part) for part in parts]),
        tokens=np.array([cost(text, frame, overflow) for text in texts], dtype=np.int32),
        overflowed=tuple(index for index, text in enumerate(texts) if frame.overflows(text)),
    )


def _problem(
    reading: Text | str, frame: Frame, maximum: int | None, overflow: Overflow
) -> str | None:
    if isinstance(reading, str):
        return reading
    length = frame.length(reading)
    if maximum is not None and length > maximum:
        return context_length(maximum, f"{length} tokens")
    return unfit(reading, frame, overflow)


def assemble(windows: Vectors, plan: Plan, *, normalised: bool, dimensions: int | None) -> Vectors:
    """Make one vector for each text, (n, d) float32, from the vectors of its windows, (w, width)."""
    vectors = windows
    n = len(plan.tokens)
    if len(windows) != n:
        weights = np.array([window.content for window in plan.windows], dtype=np.int32)
        vectors = weighted_mean(windows, weights, plan.owners, n)
        if normalised:
            vectors = unit(vectors)
        # A text that fits is its only window, to the last bit.
        single = np.bincount(plan.owners, minlength=n) == 1
        vectors[single] = windows[single[plan.owners]]
    if dimensions is not None:
        vectors = shortened(vectors, dimensions, normalised=normalised)
    return vectors
