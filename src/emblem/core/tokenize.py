"""From texts to the token sequences that a model reads: tokenising, special tokens, windows.

Nothing is padded and nothing is cut here without being said: see ``cut``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from emblem.errors import InvalidInput, ModelError
from emblem.types import Overflow

Ids = npt.NDArray[np.int32]  # (n,)


@dataclass(frozen=True, slots=True, eq=False)
class Text:
    """One text in the model's vocabulary, without special tokens.

    ``ids`` is (n,) int32; the first ``prompt`` of them are the prompt's.
    """

    ids: Ids
    prompt: int = 0

    @property
    def content(self) -> int:
        """Tokens that are the text's own."""
        return len(self.ids) - self.prompt


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """One sequence for the backend, special tokens and prompt included.

    ``skip`` counts the leading tokens that are not the text's own when there is a prompt, else 0;
    ``content`` counts those that are.
    """

    ids: Ids
    skip: int
    content: int


@dataclass(frozen=True, slots=True)
class Frame:
    """What a model puts around every sequence, and how long a sequence may be in all."""

    prefix: tuple[int, ...]
    suffix: tuple[int, ...]
    max_length: int | None

    @property
    def special(self) -> int:
        """Special tokens in every sequence."""
        return len(self.prefix) + len(self.suffix)

    def length(self, text: Text) -> int:
        """Tokens of a text with everything that the model adds to it, once."""
        return len(text.ids) + self.special

    def overflows(self, text: Text) -> bool:
        """Tell whether a text is longer than the model reads at once."""
        return self.max_length is not None and self.length(text) > self.max_length


class TextTokenizer:
    """Reads texts as one model does. Safe to use from several threads.

    ``strip`` and ``lowercase`` are what sentence-transformers does before tokenising. The tokenizer
    is switched to no padding and no truncation, once: with either set, one shared by threads fails
    with "Already borrowed".
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        *,
        max_length: int | None,
        strip: bool = False,
        lowercase: bool = False,
        special_tokens: bool = True,
    ) -> None:
        tokenizer.no_padding()
        tokenizer.no_truncation()
        self._tokenizer = tokenizer
        self._strip = strip
        self._lowercase = lowercase
        prefix, suffix = _special_tokens(tokenizer) if special_tokens else ((), ())
        self.frame = Frame(prefix, suffix, max_length)
        self._not_content = frozenset(
            token for token, added in tokenizer.get_added_tokens_decoder().items() if added.special
        )
        self.vocabulary = 1 + max(tokenizer.get_vocab(with_added_tokens=True).values(), default=-1)

    def read(self, texts: Sequence[str], prompt: str = "") -> list[Text]:
        """Tokenise texts, each with the prompt before it."""
        prepared = [self._prepare(prompt + text) for text in texts]
        if not prompt:
            encoded = self._tokenizer.encode_batch_fast(prepared, add_special_tokens=False)
            return [Text(np.array(one.ids, dtype=np.int32)) for one in encoded]
        # Only the slower call keeps offsets, and only they tell where the prompt ends: a prompt
        # tokenised alone may end otherwise than the same prompt before a text.
        end = len(self._prepare(prompt + "x")) - 1
        encoded = self._tokenizer.encode_batch(prepared, add_special_tokens=False)
        return [
            Text(np.array(one.ids, dtype=np.int32), _first_after(one.offsets, end))
            for one in encoded
        ]

    def native(self, ids: Sequence[int], prompt: str = "") -> Text:
        """Take token ids of the model's own vocabulary as they are.

        Raises ValueError, saying why, for an id that the vocabulary does not have or that is a
        special token, since those are the model's to add.
        """
        for token in ids:
            if not 0 <= token < self.vocabulary:
                raise ValueError(f"has the id {token}; the model's ids are 0…{self.vocabulary - 1}")
            if token in self._not_content:
                name = self._tokenizer.id_to_token(token)
                raise ValueError(
                    f"has the id {token} ({name}), a special token; the model adds those itself"
                )
        before = self.read([""], prompt)[0].ids if prompt else np.empty(0, np.int32)
        return Text(np.concatenate([before, np.array(ids, dtype=np.int32)]), len(before))

    def _prepare(self, text: str) -> str:
        if self._strip:
            text = text.strip()
        return text.lower() if self._lowercase else text


def _first_after(offsets: Sequence[tuple[int, int]], end: int) -> int:
    """Count the leading tokens that end within the first ``end`` characters."""
    for index, (_, stop) in enumerate(offsets):
        if stop > end:
            return index
    return len(offsets)


def _special_tokens(tokenizer: Tokenizer) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Find what the tokenizer's own template puts before and after a single text."""
    bare = tokenizer.encode("a", add_special_tokens=False).ids
    framed = tokenizer.encode("a", add_special_tokens=True)
    if any(framed.type_ids):
        raise ModelError(
            "tokenizer.json: post_processor gives a single text a type id other than 0"
        )
    for start in range(len(framed.ids) - len(bare) + 1):
        if framed.ids[start : start + len(bare)] == bare:
            return tuple(framed.ids[:start]), tuple(framed.ids[start + len(bare) :])
    raise ModelError("tokenizer.json: post_processor changes a text's own tokens")


def cut(text: Text, frame: Frame, overflow: Overflow) -> list[Window]:
    """Give the sequences in which a text is run: one, unless it is too long for the model.

    ``mean`` gives k = ⌈n / L⌉ consecutive windows of equal size ± 1 content tokens, where L is what
    special tokens and prompt leave of ``max_length``; both stand in each window. ``truncate`` keeps
    the first ``max_length`` tokens, as sentence-transformers does. ``error`` raises InvalidInput.
    """
    if not frame.overflows(text):
        return [_window(text, frame, text.prompt, len(text.ids))]
    assert frame.max_length is not None  # noqa: S101 - overflows() implies it
    if overflow is Overflow.ERROR:
        raise InvalidInput([(0, too_long(frame, text))])
    room = frame.max_length - frame.special
    if overflow is Overflow.TRUNCATE:
        return [_window(text, frame, min(text.prompt, room), room)]
    bounds = even_bounds(text.content, room - text.prompt) + text.prompt
    return [_window(text, frame, start, stop) for start, stop in pairwise(bounds.tolist())]


def too_long(frame: Frame, text: Text) -> str:
    """Say that a text is longer than the model reads at once."""
    return (
        f"is {frame.length(text)} tokens and the model reads {frame.max_length}: shorten it, "
        'or let overflow be "mean" or "truncate"'
    )


def even_bounds(n: int, largest: int) -> npt.NDArray[np.int64]:
    """Bounds that cut n items into ⌈n / largest⌉ consecutive parts of equal size ± 1: (k + 1,)."""
    parts = -(-n // largest)
    return np.arange(parts + 1, dtype=np.int64) * n // parts


def _window(text: Text, frame: Frame, start: int, stop: int) -> Window:
    """Frame the prompt and the ids from ``start`` to ``stop``."""
    prompt = min(text.prompt, start)
    ids = np.concatenate(
        [
            np.array(frame.prefix, dtype=np.int32),
            text.ids[:prompt],
            text.ids[start:stop],
            np.array(frame.suffix, dtype=np.int32),
        ]
    )
    skip = len(frame.prefix) + prompt if text.prompt else 0
    return Window(ids, skip, stop - start)


def cost(text: Text, frame: Frame, overflow: Overflow) -> int:
    """Tokens that a text is charged: all of it, or what ``truncate`` leaves of it."""
    length = frame.length(text)
    if overflow is Overflow.TRUNCATE and frame.max_length is not None:
        return min(length, frame.max_length)
    return length
