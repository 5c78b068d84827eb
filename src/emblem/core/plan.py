"""From a request to the windows that a backend runs, and from their vectors back to its texts."""

from collections.abc import Mapping, Sequence
from math import inf

import numpy as np
import numpy.typing as npt

from emblem.core.output import shortened
from emblem.core.pieces import plain
from emblem.core.pool import unit, weighted_mean
from emblem.core.tokenize import Frame, Reading, Text, TooLong, Window, cut, unfit, whole
from emblem.errors import InvalidInput, InvalidRequest, TooManyTokens
from emblem.types import EmbedRequest, Overflow, Tokens, Vectors, value

# No tokenizer in use packs more characters into a token in ordinary text, so a longer input is
# refused without being tokenised.
MAX_CHARACTERS_PER_TOKEN = 64

# Characters tokenised at a time: a large request leaves the threads to others in between.
SLICE_CHARACTERS = 65_536

# Before texts are tokenised, what they will cost is guessed from the bytes of their UTF-8. A long
# text is judged by its first characters: it takes the event loop.
BYTES_PER_TOKEN = 4
MEASURED_CHARACTERS = 4096
SPECIAL_TOKENS = 2  # in each, as most models have them


@value(eq=False)
class Charges:
    """What each text of a request costs; the fields are those of ``Plan``."""

    tokens: Tokens
    overflowed: tuple[int, ...]
    uncut: Tokens | None


@value(eq=False)
class Plan:
    """The windows of a request, (w,) ``owners``: which text each belongs to, and (n,) ``tokens``."""

    windows: list[Window]
    owners: npt.NDArray[np.int32]
    tokens: Tokens
    overflowed: tuple[int, ...]
    uncut: Tokens | None = None  # the tokens that the texts had, where any was cut

    @property
    def lengths(self) -> list[int]:
        """Tokens of each window."""
        return [len(window.ids) for window in self.windows]


def estimated_tokens(request: EmbedRequest) -> int:
    """Guess what a request will cost, without tokenising it."""
    inputs = request.inputs
    special = SPECIAL_TOKENS * len(inputs)
    if plain(inputs):
        return special + sum([size // BYTES_PER_TOKEN for size in map(len, inputs)])
    return special + sum(
        [
            (len(one) if one.isascii() else _bytes(one)) // BYTES_PER_TOKEN
            if isinstance(one, str)
            else len(one)
            for one in inputs
        ]
    )


def estimated_longest(request: EmbedRequest, most: int | None) -> int:
    """Guess how many tokens the longest sequence has that comes of a request."""
    guess = SPECIAL_TOKENS + max(map(len, request.inputs)) // BYTES_PER_TOKEN
    return guess if most is None else min(guess, most)


def _bytes(text: str) -> int:
    """Guess how many bytes a text has in UTF-8; exact for a short one."""
    part = text[:MEASURED_CHARACTERS]
    return len(part.encode("utf-8", "surrogatepass")) * len(text) // len(part)


def unreadable(inputs: Sequence[str | tuple[int, ...]], maximum: int) -> dict[int, str]:
    """Say which inputs are too large to be worth tokenising, by their index, and why."""
    return {
        index: context_length(maximum, f"{len(one)} characters, too many to read")
        for index, one in enumerate(inputs)
        if len(one) > maximum * MAX_CHARACTERS_PER_TOKEN
    }


def refuse_unread(request: EmbedRequest) -> dict[int, str]:
    """Refuse what is empty, or too large to be worth tokenising. Raises InvalidRequest.

    Where some inputs are too large and others may be read, to tell what is wrong with those too,
    gives the former by their index, with the reason.
    """
    inputs, each, most = request.inputs, request.max_input_tokens, request.max_total_tokens
    if not inputs:
        raise InvalidRequest("There is nothing to embed.", param="input")
    size = sum(map(len, inputs))
    unread: dict[int, str] = {}
    if each is not None and size > each * MAX_CHARACTERS_PER_TOKEN:  # or none of them can be
        unread = unreadable(inputs, each)
        size -= sum(len(inputs[index]) for index in unread)
    too_many = most is not None and size > most * MAX_CHARACTERS_PER_TOKEN
    if unread and (too_many or len(unread) == len(inputs)):
        raise InvalidInput([*unread.items()])
    if most is not None and too_many:
        raise TooManyTokens(f"more than {most}", most)
    return unread


def context_length(maximum: int, requested: str) -> str:
    """Say that an input is too long, in the words that OpenAI's clients look for."""
    return (
        f"is too long: This model's maximum context length is {maximum} tokens, however you "
        f"requested {requested}"
    )


def slices(
    inputs: Sequence[str | tuple[int, ...]], unread: Mapping[int, str]
) -> list[list[str | tuple[int, ...]]]:
    """Cut the inputs into runs that are tokenised at a time, in order.

    In the place of what is not to be read there is an empty text.
    """
    read = [*inputs]
    for index in unread:
        read[index] = ""
    if sum(map(len, read)) < SLICE_CHARACTERS:
        return [read] if read else []
    parts = []
    start = size = 0
    for index, one in enumerate(read, 1):
        size += len(one)
        if size >= SLICE_CHARACTERS:
            parts.append(read[start:index])
            start, size = index, 0
    return [*parts, read[start:]] if start < len(read) else parts


def read_tokens(readings: Sequence[Reading], frame: Frame) -> int:
    """Add up the tokens of what was read, with everything that the model adds to each text."""
    return sum(_lengths(readings, frame))


def problems(
    readings: Sequence[Reading], frame: Frame, request: EmbedRequest, overflow: Overflow
) -> list[tuple[int, str]]:
    """Say which texts cannot be embedded, and why. The readings may be those of the first texts."""
    return _problems(readings, _lengths(readings, frame), frame, request, overflow)


def plan(
    readings: Sequence[Reading], frame: Frame, request: EmbedRequest, overflow: Overflow
) -> Plan:
    """Cut every text into its windows. Raises InvalidInput, naming every text that cannot be.

    Where a reading is not a text, it says why there is none.
    """
    charged = charges(readings, frame, request, overflow)
    texts = [reading for reading in readings if isinstance(reading, Text)]
    windows, owners = _windows(texts, charged.overflowed, frame, overflow)
    return Plan(
        windows=windows,
        owners=owners,
        tokens=charged.tokens,
        overflowed=charged.overflowed,
        uncut=charged.uncut,
    )


def charges(
    readings: Sequence[Reading], frame: Frame, request: EmbedRequest, overflow: Overflow
) -> Charges:
    """Say what each text costs that was read. Raises InvalidInput as ``plan`` does."""
    lengths = _lengths(readings, frame)
    if wrong := _problems(readings, lengths, frame, request, overflow):
        raise InvalidInput(wrong)
    most = frame.max_length
    overflowed: tuple[int, ...] = ()
    if most is not None and max(lengths, default=0) > most:
        overflowed = tuple([n for n, size in enumerate(lengths) if size > most])
    uncut = charged = np.array(lengths, dtype=np.int32)
    if most is not None and overflowed and overflow is Overflow.TRUNCATE:
        charged = np.minimum(uncut, np.int32(most))
    return Charges(charged, overflowed, None if charged is uncut else uncut)


def _windows(
    texts: Sequence[Text], overflowed: Sequence[int], frame: Frame, overflow: Overflow
) -> tuple[list[Window], npt.NDArray[np.int32]]:
    """Give the windows of all texts, in order, and (w,) which text each belongs to."""
    if not overflowed:
        return [whole(text, frame) for text in texts], np.arange(len(texts), dtype=np.int32)
    windows: list[Window] = []
    counts = np.ones(len(texts), dtype=np.int32)
    start = 0
    for index in overflowed:
        windows += [whole(text, frame) for text in texts[start:index]]
        parts = cut(texts[index], frame, overflow)
        windows += parts
        counts[index] = len(parts)
        start = index + 1
    windows += [whole(text, frame) for text in texts[start:]]
    return windows, np.repeat(np.arange(len(texts), dtype=np.int32), counts)


def _lengths(readings: Sequence[Reading], frame: Frame) -> list[int]:
    """Count the tokens of each text with everything that the model adds; 0 where there is none."""
    special = frame.special
    return [0 if isinstance(one, str) else one.tokens + special for one in readings]


def _problems(
    readings: Sequence[Reading],
    lengths: Sequence[int],
    frame: Frame,
    request: EmbedRequest,
    overflow: Overflow,
) -> list[tuple[int, str]]:
    """Say what is wrong with readings of those lengths."""
    each, most = request.max_input_tokens, frame.max_length
    largest = min(inf if each is None else each, inf if most is None else most)
    return [
        (index, why)
        for index, length in enumerate(lengths)
        if not 0 < length <= largest  # or there is nothing that could be wrong with it
        and (why := _problem(readings[index], frame, each, overflow))
    ]


def _problem(reading: Reading, frame: Frame, maximum: int | None, overflow: Overflow) -> str | None:
    if isinstance(reading, str):
        return reading
    length = frame.length(reading)
    if maximum is not None and length > maximum:
        return context_length(maximum, f"{length} tokens of its own vocabulary")
    if isinstance(reading, TooLong):
        raise TypeError("a text was counted and left unread that is not too long")
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
