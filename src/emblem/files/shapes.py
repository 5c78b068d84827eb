"""Shapes: what kinds of JSON values a column has held so far, folded over all rows.

Pure, and free of pyarrow. ``arrow.py`` makes column types of shapes.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from emblem.errors import InvalidRequest

MAX_KEYS = 2000  # of one object: more are data, not names
MAX_DEPTH = 64

# A float64 holds every whole number up to here.
EXACT_IN_FLOAT = 1 << 53
INT64 = (-(1 << 63), (1 << 63) - 1)
UINT64 = (0, (1 << 64) - 1)

# How far the whole numbers of a column reach is only known up to the next of these.
_REACHES = (INT64[0], -EXACT_IN_FLOAT, 0, EXACT_IN_FLOAT, INT64[1], UINT64[1])

INSTEAD = "a column of .parquet and .lance has one type; .jsonl takes any"


class Word(StrEnum):
    """The kinds of values, as they are called in messages."""

    NOTHING = "nothing but null"
    FLAG = "true or false"
    NUMBER = "a number"
    TEXT = "a text"
    LIST = "a list"
    OBJECT = "an object"


@dataclass(frozen=True, slots=True)
class Seen:
    """A number that was seen, and the first row where."""

    row: int
    value: int | float


@dataclass(frozen=True, slots=True)
class Shape:
    """The kind of all values of a column, or of a part of one, that were not null.

    ``row`` is the first row that had one. Of numbers, ``low`` and ``high`` are what the whole ones
    lie between, ``fraction`` is the first that is not whole, ``long`` the first whole one that a
    float64 may not hold. ``item`` is the shape of a list's items, ``fields`` those of an object.
    """

    word: Word = Word.NOTHING
    row: int = 0
    low: int = 0
    high: int = 0
    fraction: Seen | None = None
    long: Seen | None = None
    item: "Shape | None" = None
    fields: Mapping[str, "Shape"] = field(default_factory=lambda: MappingProxyType({}))


NOTHING = Shape()


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value stands: its row, and the path to it, such as ``meta.tags[]``."""

    row: int
    path: str = ""
    depth: int = 0

    def key(self, name: str) -> "Place":
        """Give the place of an object's value."""
        return Place(self.row, f"{self.path}.{name}" if self.path else name, self.depth + 1)

    def item(self) -> "Place":
        """Give the place of a list's items."""
        return Place(self.row, f"{self.path}[]", self.depth + 1)


def joined(shape: Shape, value: Any, place: Place) -> Shape:
    """Give the shape of all values so far and this one: the same object where it says nothing new.

    Raises InvalidRequest, naming the column and both rows, where one column type cannot hold both.
    """
    if value is None:
        return shape
    word = _WORDS.get(type(value))
    if word is None:
        raise TypeError(f"{type(value).__name__} is not JSON")
    if shape.word is Word.NOTHING:
        shape = replace(shape, word=word, row=place.row)
    elif shape.word is not word:
        raise InvalidRequest(
            f"column `{place.path}` has {shape.word} in row {shape.row} and {word} in row "
            f"{place.row}, and {INSTEAD}"
        )
    join = _JOINS.get(word)
    return join(shape, value, place) if join is not None else shape


def _with_number(shape: Shape, value: float, place: Place) -> Shape:
    if isinstance(value, float):
        if shape.fraction is not None:
            return shape
        shape = replace(shape, fraction=Seen(place.row, value))
    else:
        if shape.low <= value <= shape.high:
            return shape
        shape = _with_whole(shape, value, place)
    if shape.fraction is not None and shape.long is not None:
        raise InvalidRequest(
            f"column `{place.path}` has {shape.fraction.value} in row {shape.fraction.row}, and "
            f"{shape.long.value} in row {shape.long.row}, which a float64 may not hold; "
            f"{INSTEAD} number"
        )
    return shape


def _with_whole(shape: Shape, value: int, place: Place) -> Shape:
    low = max((one for one in _REACHES if one <= min(value, shape.low)), default=value)
    high = min((one for one in _REACHES if one >= max(value, shape.high)), default=value)
    if not any(least <= low and high <= most for least, most in (INT64, UINT64)):
        beyond = "" if INT64[0] <= value <= UINT64[1] else ", beyond 64 bits"
        beside = "" if beyond else f" and {'negative' if value > 0 else 'larger'} ones elsewhere"
        raise InvalidRequest(
            f"column `{place.path}` has the whole number {_short(value)} in row {place.row}"
            f"{beyond}{beside}, which no column of .parquet or .lance holds; .jsonl does"
        )
    long = shape.long
    if long is None and abs(value) > EXACT_IN_FLOAT:
        long = Seen(place.row, value)
    return replace(shape, low=low, high=high, long=long)


def _with_items(shape: Shape, values: list[Any], place: Place) -> Shape:
    inner = _deeper(place.item())
    before = shape.item or NOTHING
    after = before
    for value in values:
        if not _known(after, value):
            after = joined(after, value, inner)
    return shape if after is before else replace(shape, item=after)


def _with_fields(shape: Shape, values: Mapping[str, Any], place: Place) -> Shape:
    _deeper(place)
    changed: dict[str, Shape] = {}
    for name, value in values.items():
        before = shape.fields.get(name, NOTHING)
        if _known(before, value) and name in shape.fields:
            continue
        after = joined(before, value, place.key(name))
        if after is not before or name not in shape.fields:
            changed[name] = after
    if not changed:
        return shape
    fields = MappingProxyType({**shape.fields, **changed})
    if len(fields) > MAX_KEYS:
        where = f"column `{place.path}` has" if place.path else "the rows have"
        raise InvalidRequest(
            f"{where} more than {MAX_KEYS:,} different keys by row {place.row}, and each would be "
            "a column of .parquet or .lance; .jsonl takes any"
        )
    return replace(shape, fields=fields)


def _known(shape: Shape, value: Any) -> bool:
    """Tell, for most values, that nothing is new, without writing down where they stand."""
    word = _WORDS.get(type(value))
    if word is Word.NUMBER:
        return (
            shape.word is word
            and (shape.low <= value <= shape.high)
            and (isinstance(value, int) or shape.fraction is not None)
        )
    return value is None or (shape.word is word and word in _SIMPLE)


def _deeper(place: Place) -> Place:
    if place.depth > MAX_DEPTH:
        raise InvalidRequest(
            f"row {place.row} is nested more than {MAX_DEPTH} deep; .jsonl takes that"
        )
    return place


def _short(value: int) -> str:
    """Write a number that may have thousands of digits."""
    if value.bit_length() <= 256:
        return str(value)
    return f"of {value.bit_length():,} bits"


_WORDS: Mapping[type, Word] = MappingProxyType(
    {
        bool: Word.FLAG,
        int: Word.NUMBER,
        float: Word.NUMBER,
        str: Word.TEXT,
        list: Word.LIST,
        dict: Word.OBJECT,
    }
)
_SIMPLE = frozenset({Word.FLAG, Word.TEXT})
_JOINS: Mapping[Word, Callable[[Shape, Any, Place], Shape]] = MappingProxyType(
    {Word.NUMBER: _with_number, Word.LIST: _with_items, Word.OBJECT: _with_fields}
)
