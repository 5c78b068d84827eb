"""SentencePiece's tables of characters in a tokenizer.json, before the tokenizer's library reads them.

That library panics over a broken one: the text goes to standard error whoever catches it.
"""

import base64
import binascii
from collections.abc import Iterator
from typing import Any

from emblem.models.document import Document


def check(tokenizer: Document) -> None:
    """Refuse a table that cannot be one, or raise ModelError."""
    for value in _tables(tokenizer.get("normalizer", dict)):
        if not isinstance(value, str) or not _plausible(value):
            raise tokenizer.error("normalizer", "precompiled_charsmap is no table of characters")


def _tables(step: Any) -> Iterator[Any]:
    """Give the table of a normalizer and those of the steps inside it."""
    if not isinstance(step, dict):
        return
    if step.get("type") == "Precompiled":
        yield step.get("precompiled_charsmap")
    inside = step.get("normalizers")
    for one in inside if isinstance(inside, list) else []:
        yield from _tables(one)


def _plausible(table: str) -> bool:
    """Tell whether a table has what the format asks for.

    It is the size of a trie in bytes (four of them), the trie in units of four bytes, and UTF-8.
    """
    try:
        data = base64.b64decode(table, validate=True)
        size = int.from_bytes(data[:4], "little")
        data[4 + size :].decode()
    except (binascii.Error, ValueError):
        return False
    return size > 0 and size % 4 == 0 and 4 + size <= len(data)
