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
Written = str | memoryview | list[float | None]

TOGETHER = 1 << 20  # bytes of vectors that are read from one text: a longer one costs new pages

_FLOAT32 = np.dtype("<f4")
_BETWEEN: dict[type, Any] = {str: "", memoryview: b""}  # what joins those that may be joined


class Malformed(Exception):
    """An answer that is not what was asked for; the text says in what."""


def matrix(given: Sequence[Written], width: int | None) -> Vectors:
    """Read vectors, (n, width) float32 and C-contiguous. ``width`` is None where it is found out.

    Raises Malformed where one is no vector, or has another width.
    """
    found = None if width is None else _at_once(given, width)
    return _stacked([*map(_row, range(len(given)), given)], width) if found is None else found


def _at_once(given: Sequence[Written], width: int) -> Vectors | None:
    """Read vectors in base64 from few texts; None where it is to be looked at each of them.

    A text of whole groups of four characters, none of which fills it up, says the same alone and
    between others: "=" is refused everywhere but at the end, where it would make the last too short.
    """
    size, kinds = 4 * width, {*map(type, given)}
    between = _BETWEEN.get(kinds.pop()) if len(kinds) == 1 else None
    if between is None or size % 3 or {*map(len, given)} != {size // 3 * 4}:
        return None
    step = max(1, TOGETHER // size)
    if len(given) <= step:
        return _joined(between.join(given), len(given), size)
    every = np.empty((len(given), width), np.float32)
    for start in range(0, len(given), step):
        some = given[start : start + step]
        numbers = _joined(between.join(some), len(some), size)
        if numbers is None:
            return None
        every[start : start + step] = numbers
    return every


def _joined(given: Any, rows: int, size: int) -> Vectors | None:
    try:
        content = pybase64.b64decode_as_bytearray(given, validate=True)
    except (Base64Error, ValueError):
        return None
    return _numbers(content, rows) if len(content) == size * rows else None


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
