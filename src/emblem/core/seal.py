"""Sealed: an entry of ``core.reuse`` as it lies where others may write, or a disk may fail.

A seal is a digest of the entry and of the key that it is found by. An entry that was damaged, that
belongs to another text, or that is of another width is none.
"""

import hashlib
from collections.abc import Sequence

from emblem.core.reuse import Entry

FORMAT = b"\x01"
SEAL_BYTES = 16
NUMBERS_BYTES = 12  # that an entry has behind its vector

_HEAD = len(FORMAT) + SEAL_BYTES


def names(keys: Sequence[bytes]) -> list[bytes]:
    """Give what entries are called outside of this process: 32 bytes each, without their texts."""
    return [hashlib.sha256(key).digest() for key in keys]


def sealed(name: bytes, entry: Entry) -> bytes:
    """Give an entry with its seal."""
    return FORMAT + _seal(name, entry) + entry


def unsealed(name: bytes, content: bytes, width: int) -> Entry | None:
    """Give the entry of a text with so many numbers; None where this is not what was sealed."""
    entry = content[_HEAD:]
    right = (
        len(entry) == 4 * width + NUMBERS_BYTES
        and content[: len(FORMAT)] == FORMAT
        and content[len(FORMAT) : _HEAD] == _seal(name, entry)
    )
    return entry if right else None


def _seal(name: bytes, entry: Entry) -> bytes:
    return hashlib.blake2b(entry, digest_size=SEAL_BYTES, key=name).digest()
