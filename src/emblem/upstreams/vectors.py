"""The vectors in an answer, as numbers. Pure: what stands in JSON in, or an error.

Several in base64 are read in one go where that is sure to give the same numbers.
"""

from binascii import Error as Base64Error
from collections.abc import Sequence
from typing import Any

import numpy as np
import pybase64

from emblem.types import Vectors

# In base64, or its characters as bytes, or as numbers: null is for what is no number.
Written = str | bytes | list[float | None]

_FLOAT32 = np.dtype("<f4")


class Malformed(Exception):
    """An answer that is not what was asked for; the text says in what."""


def matrix(given: Sequence[Written], width: int | None) -> Vectors:
    """Read vectors, (n, width) float32 and C-contiguous. ``width`` is None where it is found out.

    Raises Malformed where one is no vector, or has another width.
    """
    found = None if width is None else _at_once(given, width)
    return _stacked([*map(_row, range(len(given)), given)], width) if found is None else found


def _at_once(given: Sequence[Written], width: int) -> Vectors | None:
    """Read vectors in base64 from one text; None where it is to be looked at each of them.

    A text of whole groups of four characters, none of which fills it up, says the same alone and
    between others: "=" is refused everywhere but at the end, where it would make the last too short.
    """
    size, kinds = 4 * width, {*map(type, given)}
    if size % 3 or {*map(len, given)} != {size // 3 * 4} or kinds not in ({bytes}, {str}):
        return None
    together: Any = kinds.pop()().join(given)
    try:
        content = pybase64.b64decode_as_bytearray(together, validate=True)
    except (Base64Error, ValueError):
        return None
    return _numbers(content, len(given)) if len(content) == size * len(given) else None


def _row(index: int, given: Written) -> Vectors:
    """Read one vector, (width,) float32."""
    if isinstance(given, list):
        with np.errstate(over="ignore"):  # becomes infinite, and that is refused
            return np.array(given, dtype=np.float32)
    try:
        content = pybase64.b64decode_as_bytearray(given, validate=True)
    except (Base64Error, ValueError):
        raise Malformed(f"vector {index} is not base64") from None
    if len(content) % 4:
        raise Malformed(f"{len(content)} bytes in vector {index}, which are no float32 numbers")
    return _numbers(content, 1).reshape(-1)


def _numbers(content: bytearray, rows: int) -> Vectors:
    numbers = np.frombuffer(content, dtype=_FLOAT32).reshape(rows, -1)
    # On most machines the numbers are in their own order already.
    own: Vectors = numbers if numbers.dtype == np.float32 else numbers.astype(np.float32)
    return own


def _stacked(rows: Sequence[Vectors], width: int | None) -> Vectors:
    """Lay vectors out as (n, width) float32."""
    width = len(rows[0]) if width is None and rows else width
    for index, one in enumerate(rows):
        if one.shape != (width,) or not width:
            raise Malformed(
                f"{one.size} numbers in vector {index} where {width or 'some'} were due"
            )
    together: Vectors = np.concatenate(rows).reshape(len(rows), -1)
    return together
