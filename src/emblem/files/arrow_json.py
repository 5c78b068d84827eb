"""Columns of Arrow as values that JSON has. The rules where JSON has no such type:

- NaN and the infinities become null;
- dates, times and timestamps become ISO 8601 texts, with all their digits; a timestamp with a time
  zone is given in UTC, with Z; a duration is a number of seconds such as PT1.5S;
- decimals become texts, so that no digit is lost;
- binary becomes base64; a UUID its usual text;
- a map becomes a list of objects with ``key`` and ``value``, in its order;
- a dictionary's values stand for their codes, and an extension type is written as what it is
  stored in.
"""

import uuid
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pybase64

from emblem.errors import InvalidRequest

Values = list[Any]

_FRACTIONS = {"s": 0, "ms": 3, "us": 6, "ns": 9}


def plain(array: pa.Array, name: str) -> Values:
    """Give a column as a list of values that JSON has; ``name`` is for messages.

    Raises InvalidRequest for text that is not UTF-8, and for a type without a rule.
    """
    for holds, convert in _RULES:
        if holds(array.type):
            try:
                return convert(array, name)
            except UnicodeDecodeError:
                raise InvalidRequest(
                    f"column `{name}` has text that is not UTF-8, which .jsonl cannot hold; "
                    ".parquet can"
                ) from None
    raise InvalidRequest(f"column `{name}` is {array.type}, which has no form in .jsonl")


def _as_is(array: pa.Array, _: str) -> Values:
    values: Values = array.to_pylist()
    return values


def _dictionary(array: pa.Array, name: str) -> Values:
    return plain(array.dictionary_decode(), name)


def _run_ends(array: pa.Array, name: str) -> Values:
    return plain(pc.run_end_decode(array), name)


def _extension(array: pa.Array, name: str) -> Values:
    if array.type == pa.uuid():
        return [None if one is None else str(uuid.UUID(bytes=one)) for one in _stored(array)]
    return plain(array.storage, name)


def _stored(array: pa.Array) -> Values:
    values: Values = array.storage.to_pylist()
    return values


def _binary(array: pa.Array, _: str) -> Values:
    return [None if one is None else pybase64.b64encode_as_string(one) for one in array.to_pylist()]


def _decimal(array: pa.Array, _: str) -> Values:
    return [None if one is None else format(one, "f") for one in array.to_pylist()]


def _moment(array: pa.Array, _: str) -> Values:
    kind = array.type
    if pa.types.is_timestamp(kind) and kind.tz is not None:
        array = array.cast(pa.timestamp(kind.unit, "UTC"))
    written: Values = pc.replace_substring(array.cast(pa.string()), " ", "T").to_pylist()
    return written


def _duration(array: pa.Array, _: str) -> Values:
    digits = _FRACTIONS[array.type.unit]
    return [None if one is None else _iso(one, digits) for one in array.cast("int64").to_pylist()]


def _iso(count: int, digits: int) -> str:
    whole, fraction = divmod(abs(count), 10**digits)
    after = f".{fraction:0{digits}}" if digits else ""
    return f"{'-' if count < 0 else ''}PT{whole}{after}S"


def _list(array: pa.Array, name: str) -> Values:
    if pa.types.is_map(array.type):
        pair = pa.struct([("key", array.type.key_type), ("value", array.type.item_type)])
        array = array.cast(pa.list_(pair))
    lengths = pc.fill_null(pc.list_value_length(array), 0).to_pylist()
    valid = array.is_valid().to_pylist()
    items = iter(plain(array.flatten(), f"{name}[]"))  # those of null lists are not among them
    return [
        list(islice(items, length)) if there else None
        for length, there in zip(lengths, valid, strict=True)
    ]


def _struct(array: pa.Array, name: str) -> Values:
    names = [array.type.field(index).name for index in range(array.type.num_fields)]
    if len(set(names)) < len(names):
        raise InvalidRequest(f"column `{name}` has two fields of one name: {', '.join(names)}")
    fields = [
        plain(inner, f"{name}.{one}") for one, inner in zip(names, array.flatten(), strict=True)
    ]
    return [
        {one: values[row] for one, values in zip(names, fields, strict=True)} if there else None
        for row, there in enumerate(array.is_valid().to_pylist())
    ]


def _any(*tests: Callable[[pa.DataType], bool]) -> Callable[[pa.DataType], bool]:
    return lambda kind: any(test(kind) for test in tests)


_TYPES = pa.types
_RULES: Sequence[tuple[Callable[[pa.DataType], bool], Callable[[pa.Array, str], Values]]] = (
    (lambda kind: isinstance(kind, pa.BaseExtensionType), _extension),
    (_any(_TYPES.is_null, _TYPES.is_boolean, _TYPES.is_integer, _TYPES.is_floating), _as_is),
    (_any(_TYPES.is_string, _TYPES.is_large_string, _TYPES.is_string_view), _as_is),
    (_TYPES.is_dictionary, _dictionary),
    (_TYPES.is_run_end_encoded, _run_ends),
    (_any(_TYPES.is_binary, _TYPES.is_large_binary, _TYPES.is_binary_view), _binary),
    (_TYPES.is_fixed_size_binary, _binary),
    (_TYPES.is_decimal, _decimal),
    (_any(_TYPES.is_date32, _TYPES.is_time, _TYPES.is_timestamp), _moment),
    (_TYPES.is_date64, lambda array, name: _moment(array.cast(pa.date32()), name)),
    (_TYPES.is_duration, _duration),
    (_any(_TYPES.is_list, _TYPES.is_large_list, _TYPES.is_fixed_size_list), _list),
    (_any(_TYPES.is_list_view, _TYPES.is_large_list_view, _TYPES.is_map), _list),
    (_TYPES.is_struct, _struct),
)
