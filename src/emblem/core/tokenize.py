"""From texts to the token sequences that a model reads: tokenising, special tokens, windows.

Nothing is padded and nothing is cut here without being said: see ``cut``.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from tokenizers import Encoding, Tokenizer
from tokenizers.normalizers import Lowercase, Normalizer
from tokenizers.normalizers import Sequence as Normalizers

from emblem.errors import ModelError
from emblem.types import Overflow, value

Ids = npt.NDArray[np.int32]  # (n,)

# Cuneiform: what a tokenizer makes of it is its token for what it does not know, if it has one.
UNLIKELY = "𒀀"

# Texts of which a tokenizer makes different tokens, even one that knows none of their characters.
_PROBES = ("a", "b a", "1", "中")


@value(eq=False)
class Text:
    """One text in the model's vocabulary, without special tokens.

    ``ids`` is (n,) int32; the first ``prompt`` of them are the prompt's, which alone would be
    ``prompt_alone`` tokens: one more where its last space becomes part of the text's first word.
    ``framed`` is ``ids`` among the special tokens that the model puts around them, where whoever
    read the text has put them there already.
    """

    ids: Ids
    prompt: int = 0
    prompt_alone: int = 0
    framed: Ids | None = None

    @property
    def tokens(self) -> int:
        """Tokens of the text and its prompt."""
        return len(self.ids)

    @property
    def content(self) -> int:
        """Tokens that are the text's own."""
        return len(self.ids) - self.prompt


@dataclass(frozen=True, slots=True, eq=False)
class Located:
    """A text as its tokenizer is given it, without the prompt, and where in it each token is.

    ``starts`` and ``stops`` are (n,) int64, the characters that a token begins at and ends before;
    ``words`` is (n,) int64, the same number for tokens of one word, -1 for one of none. ``prompt``
    counts the tokens of the prompt before it.
    """

    content: str
    starts: npt.NDArray[np.int64]
    stops: npt.NDArray[np.int64]
    words: npt.NDArray[np.int64]
    prompt: int


@dataclass(frozen=True, slots=True)
class TooLong:
    """A text that has more tokens than it may have. They were counted and not kept."""

    tokens: int


Reading = Text | TooLong | str
"""What comes of a text: itself, its length where that is too much, or why it cannot be read."""


@value(eq=False)
class Window:
    """One sequence for the backend, special tokens and prompt included.

    ``skip`` counts the leading tokens that a pooling without the prompt leaves out, 0 where there
    is none; ``content`` counts those that are the text's own.
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
    special: int = field(init=False)  # tokens that are special, in every sequence

    def __post_init__(self) -> None:
        """Count the special tokens, once."""
        object.__setattr__(self, "special", len(self.prefix) + len(self.suffix))

    def length(self, text: Text | TooLong) -> int:
        """Tokens of a text with everything that the model adds to it, once."""
        return text.tokens + self.special

    def overflows(self, text: Text) -> bool:
        """Tell whether a text is longer than the model reads at once."""
        return self.max_length is not None and self.length(text) > self.max_length


class TextTokenizer:
    """Reads texts as one model does. Safe to use from several threads.

    ``strip`` and ``lowercase`` are what sentence-transformers does before tokenising; lowercase is
    for a normalizer, which leaves a special token such as [SEP] that a text spells as it is. The
    tokenizer is changed: to that, and to no padding and no truncation, for with either set one
    shared by threads fails with "Already borrowed". Without ``keep_unknown`` the token for what is
    not known is left out of every text. Raises ModelError for a tokenizer that does not put its
    special tokens around a text.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        *,
        max_length: int | None,
        strip: bool = False,
        lowercase: bool = False,
        special_tokens: bool = True,
        keep_unknown: bool = True,
    ) -> None:
        tokenizer.no_padding()
        tokenizer.no_truncation()
        self._left_out = None if keep_unknown else _unknown(tokenizer)
        if lowercase:
            tokenizer.normalizer = _lowercasing(tokenizer.normalizer)
        self._tokenizer = tokenizer
        self._strip = strip
        prefix, suffix = added_tokens(tokenizer) if special_tokens else ((), ())
        self.frame = Frame(prefix, suffix, max_length)
        self.added = tokenizer.get_added_tokens_decoder()  # tokens that are found in a text as such
        special = {token for token, one in self.added.items() if one.special}
        self._not_content = special.difference(_ids(tokenizer, UNLIKELY))
        self.vocabulary = 1 + max(tokenizer.get_vocab(with_added_tokens=True).values(), default=-1)

    def read(self, texts: Sequence[str], prompt: str = "") -> list[Text]:
        """Tokenise texts, each with the prompt before it."""
        return self._texts(self._encoded(texts, prompt), prompt)

    def readings(
        self, inputs: Sequence[str | tuple[int, ...]], prompt: str, most: int | None = None
    ) -> list[Reading]:
        """Read texts and native token ids; what cannot be read gives the reason instead.

        Of a text of more than ``most`` tokens, special ones included, only their number is given.
        """
        texts = [one for one in inputs if isinstance(one, str) and _is_unicode(one)]
        if len(texts) < len(inputs):
            return [self._reading(one, prompt, most) for one in inputs]
        encoded = self._encoded(texts, prompt)
        if most is None or max(map(len, encoded), default=0) + self.frame.special <= most:
            return [*self._texts(encoded, prompt)]
        return [self._bounded(one, prompt, most) for one in encoded]

    def located(self, text: str, prompt: str = "") -> Located:
        """Say where in a text its tokens are, those that ``readings`` gives of it."""
        end, _ = self._prompt(prompt)
        whole = self._prepare(prompt + text)
        one = self._tokenizer.encode(whole, add_special_tokens=False)
        before = _tokens_within(one, end) if end else 0
        kept = np.array([token != self._left_out for token in one.ids], dtype=np.bool_)
        spans = np.array(one.offsets, dtype=np.int64).reshape(-1, 2)
        words = np.array([-1 if word is None else word for word in one.word_ids], dtype=np.int64)
        own = np.flatnonzero(kept[before:]) + before
        starts, stops = np.maximum(spans[own] - end, 0).T
        return Located(whole[end:], starts, stops, words[own], int(kept[:before].sum()))

    def _encoded(self, texts: Sequence[str], prompt: str) -> list[Encoding]:
        """Tokenise, outside the GIL. With a prompt the encodings have offsets, without one none."""
        if not prompt:
            prepared = [text.strip() for text in texts] if self._strip else [*texts]
            return self._tokenizer.encode_batch_fast(prepared, add_special_tokens=False)
        # Only the slower call keeps offsets, and only they tell where the prompt ends: a prompt
        # tokenised alone may end otherwise than the same prompt before a text.
        prepared = [self._prepare(prompt + text) for text in texts]
        return self._tokenizer.encode_batch(prepared, add_special_tokens=False)

    def _texts(self, encoded: Sequence[Encoding], prompt: str) -> list[Text]:
        end, alone = self._prompt(prompt)
        if self._left_out is not None:
            return [self._text(one, end, alone) for one in encoded]
        # One array for all of them: that of a text is a part of it.
        prefix, suffix = self.frame.prefix, self.frame.suffix
        flat: list[int] = []
        ends = [0]
        for one in encoded:
            flat += prefix
            flat += one.ids
            flat += suffix
            ends.append(len(flat))
        ids = np.array(flat, dtype=np.int32)
        first, last = len(prefix), len(suffix)
        if not prompt:
            return [Text(ids[a + first : b - last], 0, 0, ids[a:b]) for a, b in pairwise(ends)]
        spans = zip(encoded, pairwise(ends), strict=True)
        return [
            Text(ids[a + first : b - last], _tokens_within(one, end), alone, ids[a:b])
            for one, (a, b) in spans
        ]

    def _text(self, one: Encoding, end: int, alone: int) -> Text:
        """Give one text without the token for what is not known."""
        ids = one.ids
        before = ids[: _tokens_within(one, end)] if end else ()
        return Text(self._kept(ids), len(self._kept(before)), alone)

    def _bounded(self, one: Encoding, prompt: str, most: int) -> Text | TooLong:
        if self._left_out is None and len(one) + self.frame.special > most:
            return TooLong(len(one))
        return self._texts([one], prompt)[0]

    def _prompt(self, prompt: str) -> tuple[int, int]:
        """Say where a prompt ends, in characters, and how many tokens it is alone."""
        if not prompt:
            return 0, 0
        end = len(self._prepare(prompt + "x")) - 1
        alone = self._tokenizer.encode(self._prepare(prompt), add_special_tokens=False)
        return end, len(self._kept(alone.ids))

    def _reading(self, one: str | tuple[int, ...], prompt: str, most: int | None) -> Reading:
        if isinstance(one, str):
            if not _is_unicode(one):
                return "holds one half of a surrogate pair, which is no character"
            return self.readings([one], prompt, most)[0]
        try:
            return self.native(one, prompt)
        except ValueError as error:
            return str(error)

    def native(self, ids: Sequence[int], prompt: str = "") -> Text:
        """Take token ids of the model's own vocabulary as they are.

        Raises ValueError, saying why, for an id that the vocabulary does not have or that is a
        special token, since those are the model's to add. The one that stands for what is unknown
        is taken.
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
        joined = np.concatenate([before, self._kept(ids)])
        return Text(joined, len(before), len(before))

    def _kept(self, ids: Sequence[int]) -> Ids:
        """Give the ids that take part."""
        found = np.array(ids, dtype=np.int32)
        return found if self._left_out is None else found[found != self._left_out]

    def _prepare(self, text: str) -> str:
        return text.strip() if self._strip else text


def _lowercasing(normalizer: Normalizer | None) -> Normalizer:
    """Put lowercase before a normalizer, unless it has it."""
    if normalizer is None:
        return Lowercase()
    parts = [normalizer]
    if isinstance(normalizer, Normalizers):
        parts = [normalizer[index] for index in range(len(normalizer))]
    has_it = any(isinstance(part, Lowercase) for part in parts)
    return normalizer if has_it else Normalizers([Lowercase(), *parts])


def _is_unicode(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _unknown(tokenizer: Tokenizer) -> int | None:
    """Find the token that stands for what a tokenizer does not know; None where it has none."""
    model = json.loads(tokenizer.to_str())["model"]
    if (number := model.get("unk_id")) is not None:  # of a unigram model; others name the token
        return int(number)
    token = model.get("unk_token")
    return None if token is None else tokenizer.token_to_id(token)


def _tokens_within(one: Encoding, end: int) -> int:
    """Count the leading tokens that end within the first ``end`` characters."""
    # One by one, for a list of them all is a tuple for each token, made under the GIL.
    for index in range(len(one)):
        span = one.token_to_chars(index)
        if span is not None and span[1] > end:
            return index
    return len(one)


def _ids(tokenizer: Tokenizer, text: str) -> list[int]:
    """Tokenise without special tokens. Raises ModelError where the tokenizer cannot."""
    try:
        ids: list[int] = tokenizer.encode(text, add_special_tokens=False).ids
    except Exception as error:  # noqa: BLE001 - the library raises nothing narrower
        raise ModelError(str(error)) from None
    return ids


def added_tokens(tokenizer: Tokenizer) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Find what the tokenizer's own template puts before and after a single text.

    Raises ModelError, which names no file, where it is not the same around two different texts.
    """
    # Without its template, for one may repeat a text even where special tokens are left away.
    template, tokenizer.post_processor = tokenizer.post_processor, None
    bare = [_ids(tokenizer, text) for text in _PROBES]
    tokenizer.post_processor = template
    if not bare[0]:
        raise ModelError(f"the model gives no token for the text {_PROBES[0]}")
    other = next((index for index, ids in enumerate(bare) if ids != bare[0]), 0)
    if not other:
        raise ModelError(f"the model does not tell the texts {', '.join(_PROBES)} apart")
    found = _around(tokenizer, _PROBES[0], bare[0])
    if found != _around(tokenizer, _PROBES[other], bare[other]):
        raise ModelError("post_processor does not put the same tokens around every text")
    return found


def _around(
    tokenizer: Tokenizer, text: str, bare: list[int]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Give the tokens that are put before and after those of one text."""
    framed = tokenizer.encode(text, add_special_tokens=True)
    if any(framed.type_ids):
        raise ModelError("post_processor gives a single text a type id other than 0")
    for start in range(len(framed.ids) - len(bare) + 1):
        if framed.ids[start : start + len(bare)] == bare:
            return tuple(framed.ids[:start]), tuple(framed.ids[start + len(bare) :])
    raise ModelError("post_processor changes a text's own tokens")


def cut(text: Text, frame: Frame, overflow: Overflow) -> list[Window]:
    """Give the sequences in which a text is run: one, unless it is too long for the model.

    ``mean`` gives k = ⌈n / L⌉ consecutive windows of equal size ± 1 content tokens, where L is what
    special tokens and prompt leave of ``max_length``; both stand in each window. ``truncate`` keeps
    the first ``max_length`` tokens, as sentence-transformers does. The text is one of which
    ``unfit`` says nothing.
    """
    if frame.max_length is None or not frame.overflows(text):
        return [whole(text, frame)]
    room = frame.max_length - frame.special
    if overflow is Overflow.TRUNCATE:
        return [_window(text, frame, slice(min(text.prompt, room), room), _skip(text, frame))]
    skip = len(frame.prefix) + text.prompt if text.prompt else 0
    bounds = even_bounds(text.content, room - text.prompt) + text.prompt
    return [
        _window(text, frame, slice(start, stop), skip) for start, stop in pairwise(bounds.tolist())
    ]


def unfit(text: Text, frame: Frame, overflow: Overflow) -> str | None:
    """Say why a text cannot be cut, or None where it can."""
    if frame.length(text) == 0:
        return "has no token that the model knows"
    if frame.max_length is None or not frame.overflows(text):
        return None
    if overflow is Overflow.ERROR:
        return too_long(frame, text)
    if text.prompt + frame.special >= frame.max_length:
        return "is left no room by the model's prompt"
    return None


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


def whole(text: Text, frame: Frame) -> Window:
    """Give the one sequence of a text that is not too long for the model."""
    if text.framed is not None:
        return Window(text.framed, _skip(text, frame), len(text.ids) - text.prompt)
    return _window(text, frame, slice(text.prompt, len(text.ids)), _skip(text, frame))


def _skip(text: Text, frame: Frame) -> int:
    """Count what sentence-transformers leaves out of the pooling: the prompt as it is alone."""
    return len(frame.prefix) + text.prompt_alone if text.prompt else 0


def _window(text: Text, frame: Frame, content: slice, skip: int) -> Window:
    """Frame the prompt and some of the text's own tokens."""
    parts = [
        np.array(frame.prefix, dtype=np.int32),
        text.ids[: min(text.prompt, content.start)],
        text.ids[content],
        np.array(frame.suffix, dtype=np.int32),
    ]
    return Window(np.concatenate(parts), skip, content.stop - content.start)
