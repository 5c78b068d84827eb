"""What a model's tokenizer makes of texts, for whoever wants to look at it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from threading import Lock

from tokenizers import Encoding, Tokenizer

from emblem.core.tokenize import TextTokenizer
from emblem.model import Tokenization
from emblem.models import tokenizer


@dataclass(frozen=True, slots=True)
class Token:
    """One token of a text. ``start`` and ``stop`` are bytes of its UTF-8, None for a special one."""

    id: int
    text: str
    special: bool
    start: int | None = None
    stop: int | None = None


class Tokens:
    """Tokenises as models do, each with a tokenizer that is opened when it is first asked for.

    Safe to use from several threads. ``models`` are by their names.
    """

    def __init__(self, models: Mapping[str, Tokenization]) -> None:
        self._models = models
        self._open: dict[str, Tokenizer] = {}
        self._lock = Lock()

    def __contains__(self, model: str) -> bool:
        """Tell whether a model's tokenizer is here."""
        return model in self._models

    def read(
        self, model: str, texts: Sequence[str], *, prompt: str = "", special: bool = True
    ) -> list[list[Token]]:
        """Give the tokens of each text with the prompt before it. Raises ModelError."""
        opened = self._opened(model)
        own = self._models[model]
        whole = [prompt + text for text in texts]
        prepared = [text.strip() for text in whole] if own.strip else whole
        encoded = opened.encode_batch(prepared, add_special_tokens=special and own.special_tokens)
        return [
            _tokens(text, len(text) - len(text.lstrip()) if own.strip else 0, one)
            for text, one in zip(whole, encoded, strict=True)
        ]

    def _opened(self, model: str) -> Tokenizer:
        with self._lock:
            if model not in self._open:
                own = self._models[model]
                opened = tokenizer.load(own)
                # It is made to read as the model's own does.
                TextTokenizer(
                    opened,
                    max_length=own.max_length,
                    strip=own.strip,
                    lowercase=own.lowercase,
                    special_tokens=own.special_tokens,
                    keep_unknown=own.keep_unknown,
                )
                self._open[model] = opened
            return self._open[model]


def _tokens(text: str, stripped: int, encoding: Encoding) -> list[Token]:
    """Give the tokens of one text, of which so many characters were left out at its beginning."""
    at = [0, *accumulate(len(one.encode()) for one in text)]
    found = []
    rows = zip(
        encoding.ids, encoding.tokens, encoding.offsets, encoding.special_tokens_mask, strict=True
    )
    for token, name, (start, stop), special in rows:
        if special:
            found.append(Token(token, name, special=True))
            continue
        start, stop = start + stripped, stop + stripped
        found.append(Token(token, text[start:stop], special=False, start=at[start], stop=at[stop]))
    return found
