"""A long text as several short ones, for a deployment that is sent texts and not tokens.

The rule is that of ``core.tokenize.cut``, which cuts tokens. A text can be cut between two of them
only where characters end, and a part of a text may be read as other tokens than it was in the
whole: so a cut moves to the nearest beginning of a word, and every part is read again to see that
it fits. Nothing here waits, asks a deployment or knows how it is asked.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import cast

import numpy as np
import numpy.typing as npt

from emblem.core.pieces import most_tokens, most_tokens_each
from emblem.core.plan import Charges, Plan, assemble
from emblem.core.tokenize import Located, Text, TextTokenizer, Window, even_bounds
from emblem.offer import Prompts
from emblem.types import Kind, Overflow, Vectors

Input = str | tuple[int, ...]

REACH = 16  # a cut moves by so many tokens at most, or an eighth of a window

# Each with more windows, where the parts of a text are more tokens than the text was.
TRIES = 8

_NO_IDS = np.empty(0, dtype=np.int32)


@dataclass(frozen=True, slots=True)
class Manner:
    """How a deployment reads texts.

    ``length`` is the tokens that it reads at once, special ones and prompt included; None where
    any number is read. With ``writes_prompts`` it is sent the prompt before each text, because it
    adds none by itself; ``refuses_long`` says that it never cuts a text in silence, ``takes_ids``
    that it takes token ids of its own vocabulary for texts. ``exact`` is for one that stands beside
    an engine: a long text is sent in the very windows of ``core.tokenize.cut``, or not at all.
    """

    length: int | None
    prompts: Prompts = Prompts()  # noqa: RUF009 - it is frozen
    writes_prompts: bool = False
    refuses_long: bool = False
    takes_ids: bool = False
    exact: bool = False

    def kind(self, kind: Kind | None) -> Kind | None:
        """Give the kind that it is told of: none where the prompt says it already."""
        return None if self.writes_prompts else kind

    def written(self, kind: Kind | None) -> str:
        """Give what is put before each text that it is sent."""
        return self.prompts.of(kind) if self.writes_prompts else ""


@dataclass(frozen=True, slots=True)
class Part:
    """What is sent of one input. ``weight`` counts the tokens of the input that are in it."""

    sent: Input
    weight: int


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """What is sent for all inputs: (p,) ``owners`` says which input each part is of."""

    sent: tuple[Input, ...]
    weights: tuple[int, ...]
    owners: npt.NDArray[np.int32]

    @classmethod
    def of(cls, each: Sequence[Sequence[Part]]) -> "Parts":
        """Lay the parts of all inputs side by side."""
        every = [part for parts in each for part in parts]
        counts = np.array([len(parts) for parts in each], dtype=np.int32)
        return cls(
            tuple([part.sent for part in every]),
            tuple([part.weight for part in every]),
            np.repeat(np.arange(len(each), dtype=np.int32), counts),
        )

    @property
    def whole(self) -> bool:
        """Tell whether no input is sent in several parts."""
        return len(self.sent) == (0 if not len(self.owners) else int(self.owners[-1]) + 1)

    def joined(
        self, vectors: Vectors, charged: Charges, *, normalised: bool, dimensions: int | None
    ) -> Vectors:
        """Make one vector for each input, (n, d) float32, of those of all parts, (p, width)."""
        windows = [Window(_NO_IDS, 0, weight) for weight in self.weights]
        plan = Plan(windows, self.owners, charged.tokens, charged.overflowed, charged.uncut)
        return assemble(vectors, plan, normalised=normalised, dimensions=dimensions)

    def blamed(self, problems: Sequence[tuple[int, str]]) -> list[tuple[int, str]]:
        """Say of inputs what a deployment said of their parts, once of each."""
        found: dict[int, str] = {}
        for place, why in problems:
            found.setdefault(int(self.owners[place]), why)
        return sorted(found.items())


def perhaps_long(
    inputs: Sequence[Input], manner: Manner, kind: Kind | None
) -> Iterator[tuple[int, int]]:
    """Give the inputs that may be longer than is read at once, and the tokens they may have."""
    if manner.length is None:
        return
    prompt = manner.prompts.of(kind)
    before = most_tokens(prompt) if prompt else 0
    each = most_tokens_each(inputs)
    if before + max(each, default=0) <= manner.length:  # as nearly always
        return
    for place, most in enumerate(each):
        if before + most > manner.length:
            yield place, before + most


def parts(
    inputs: Sequence[Input],
    readings: Sequence[Text],
    overflowed: Sequence[int],
    reader: "Reader",
    overflow: Overflow,
) -> Parts | dict[int, str]:
    """Say what is sent for each input, or which of them cannot be cut, and why.

    As token ids, where those are taken and a text has to be cut: then all of them are.
    """
    as_ids = bool(overflowed) and reader.manner.takes_ids
    long = frozenset(overflowed)
    each: list[list[Part]] = []
    wrong: dict[int, str] = {}
    for place, (one, text) in enumerate(zip(inputs, readings, strict=True)):
        if as_ids or not isinstance(one, str):
            found = reader.of_ids(text, overflow, long=place in long)
        elif place in long and reader.manner.exact:
            found = reader.just(one, text, overflow)
        elif place in long:
            found = reader.of_text(one, overflow)
        else:
            found = [Part(reader.before + one, text.content)]
        if not found:
            wrong[place] = "cannot be cut into parts that the model reads"
        each.append(found)
    return wrong or Parts.of(each)


@dataclass(frozen=True, slots=True, eq=False)
class Reader:
    """Cuts the texts of one kind as a deployment's tokenizer reads them."""

    tokenizer: TextTokenizer
    manner: Manner
    kind: Kind | None

    @property
    def prompt(self) -> str:
        """What stands before each text when it is read, whoever puts it there."""
        return self.manner.prompts.of(self.kind)

    @property
    def before(self) -> str:
        """What is sent before each text."""
        return self.manner.written(self.kind)

    def of_ids(self, text: Text, overflow: Overflow, *, long: bool) -> list[Part]:
        """Give the parts of a text as token ids, which are those of ``core.tokenize.cut``."""
        before = text.ids[: text.prompt] if self.manner.writes_prompts else _NO_IDS
        content = text.ids[text.prompt :]
        room = self._room(text.prompt)
        bounds = [0, len(content)]
        if long and overflow is Overflow.TRUNCATE:
            bounds = [0, room]
        elif long:
            bounds = even_bounds(len(content), room).tolist()
        return [
            Part(tuple(np.concatenate([before, content[start:stop]]).tolist()), stop - start)
            for start, stop in pairwise(bounds)
        ]

    def of_text(self, text: str, overflow: Overflow) -> list[Part]:
        """Give the parts of a text that is too long; none where it cannot be cut."""
        found = self.tokenizer.located(text, self.prompt)
        room = self._room(found.prompt)
        if overflow is Overflow.TRUNCATE:
            return self._first(found, room)
        windows = -(-len(found.starts) // room)
        for _ in range(TRIES):
            bounds = near_bounds(found, windows, room)
            contents = [found.content[start:stop] for start, stop in _spans(found, bounds)]
            lengths = self._lengths(contents)
            longest = max(lengths)
            if longest <= self._length and min(lengths) > self._length - room:
                weights = np.diff(bounds).tolist()
                sent = [self.before + one for one in contents]
                return [Part(one, weight) for one, weight in zip(sent, weights, strict=True)]
            windows = max(windows + 1, -(-windows * longest // self._length))
            if windows > len(found.starts):
                break
        return []

    def just(self, text: str, read: Text, overflow: Overflow) -> list[Part]:
        """Give the parts of a long text that are read as the tokens of ``of_ids``; none where none are.

        A part that begins or ends inside of a word may be read as other tokens.
        """
        found, content = self.tokenizer.located(text, self.prompt), read.ids[read.prompt :]
        if len(found.starts) != len(content):
            return []
        room = self._room(read.prompt)
        if overflow is Overflow.TRUNCATE:
            bounds, contents = [0, room], [found.content[: int(found.stops[room - 1])]]
        else:
            bounds = even_bounds(len(content), room).tolist()
            contents = [found.content[start:stop] for start, stop in _spans(found, bounds)]
        again = self.tokenizer.read(contents, self.prompt)
        for one, (start, stop) in zip(again, pairwise(bounds), strict=True):
            if not np.array_equal(one.ids[one.prompt :], content[start:stop]):
                return []
        return [
            Part(self.before + one, stop - start)
            for one, (start, stop) in zip(contents, pairwise(bounds), strict=True)
        ]

    def _first(self, found: Located, room: int) -> list[Part]:
        """Give the longest beginning of a text that is read whole."""
        for tokens in range(min(room, len(found.starts)), 0, -1):
            content = found.content[: int(found.stops[tokens - 1])]
            if self._lengths([content])[0] <= self._length:
                return [Part(self.before + content, tokens)]
        return []

    @property
    def _length(self) -> int:
        """Tokens that are read at once; asked only where a text is longer."""
        return cast("int", self.tokenizer.frame.max_length)

    def _room(self, prompt: int) -> int:
        length = self.tokenizer.frame.max_length
        return 1 << 30 if length is None else length - self.tokenizer.frame.special - prompt

    def _lengths(self, contents: Sequence[str]) -> list[int]:
        """Count the tokens of parts with everything that is added to them."""
        frame = self.tokenizer.frame
        return [frame.length(one) for one in self.tokenizer.read(contents, self.prompt)]


def near_bounds(found: Located, windows: int, room: int) -> list[int]:
    """Bounds that cut a text's n tokens into consecutive windows of about the same size: (w + 1).

    Each has at most ``room`` tokens and begins near to where it would if all were equal: at the
    nearest beginning of a word within reach, or else of a character, or else right there.
    """
    n = len(found.starts)
    clean = np.ones(n + 1, dtype=np.bool_)
    clean[1:-1] = found.starts[1:] >= found.stops[:-1]
    word = clean.copy()
    word[1:-1] &= (found.words[1:] != found.words[:-1]) | (found.words[1:] < 0)
    reach = max(1, min(REACH, room // 8))
    bounds = [0]
    for place in range(1, windows):
        even = n * place // windows
        left = windows - place
        least = max(bounds[-1] + 1, n - left * room)
        most = min(bounds[-1] + room, n - left)
        even = min(max(even, least), most)
        low, high = max(least, even - reach), min(most, even + reach)
        bounds.append(
            _nearest(word, even, low, high)
            or _nearest(clean, even, low, high)
            or _nearest(clean, even, least, most)
            or even
        )
    return [*bounds, n]


def _nearest(good: npt.NDArray[np.bool_], even: int, low: int, high: int) -> int:
    """Give the good place from ``low`` to ``high`` that is nearest; 0 where there is none."""
    places = np.flatnonzero(good[low : high + 1]) + low
    return int(places[np.argmin(np.abs(places - even))]) if len(places) else 0


def _spans(found: Located, bounds: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Give the characters of each window: all between its first token and that of the next."""
    edges = [0, *(int(found.starts[bound]) for bound in bounds[1:-1]), len(found.content)]
    return pairwise(edges)
