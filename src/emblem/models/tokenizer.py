"""Opens a model's tokenizer, whatever its library makes of a broken file."""

from tokenizers import Tokenizer

from emblem.core.tokenize import UNLIKELY, added_tokens
from emblem.errors import ModelError
from emblem.model import Tokenization

_PROBES = ("a", "é 中 1", UNLIKELY)


def load(tokenization: Tokenization) -> Tokenizer:
    """Open a tokenizer that has read a few texts, with no padding and no truncation.

    Raises ModelError, naming the file, for one that cannot be opened, fails on such a text, or does
    not put the same special tokens around every text where the model has any.
    """
    try:
        tokenizer = Tokenizer.from_file(str(tokenization.file))
        tokenizer.no_padding()
        tokenizer.no_truncation()
        for text in _PROBES:
            tokenizer.encode(text)
        if tokenization.special_tokens:
            added_tokens(tokenizer)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # noqa: BLE001 - a panic of the library is no Exception
        why = " ".join(str(error).split()) or type(error).__name__
        raise ModelError(f"{tokenization.file}: {why}") from None
    return tokenizer
