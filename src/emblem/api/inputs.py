"""``input``, in the four forms that OpenAI has: a text, texts, token ids, arrays of token ids.

What nobody may send is refused by counting bytes, before millions of Python objects are made of it:
that would hold up every other request.
"""

import re
from typing import Any

import msgspec

from emblem.api.problems import invalid, kind_of, unparsed
from emblem.errors import InvalidInput
from emblem.service import Limits

Inputs = tuple[str, ...] | tuple[tuple[int, ...], ...]

_STRINGS = {str}
_ABSENT = msgspec.Raw()

# Arrays and objects that are worth decoding to say which items are wrong.
MAX_NESTED = 10_000

_START = re.compile(rb"\s*(\[?)\s*(.)", re.DOTALL)
_TEXT = msgspec.json.Decoder(str)
_TEXTS = msgspec.json.Decoder(list[str])
_IDS = msgspec.json.Decoder(list[int])
_ARRAYS = msgspec.json.Decoder(list[list[int]])
_ANYTHING = msgspec.json.Decoder()
_DECODERS: dict[bytes, Any] = {b'"': _TEXT, b'["': _TEXTS, b"[0": _IDS, b"[[": _ARRAYS}


def read_inputs(
    given: str | list[str] | msgspec.Raw, limits: Limits
) -> tuple[Inputs, dict[int, str]]:
    """Read ``input``: texts, or its JSON, which is empty where it was left out.

    Gives the inputs, and of those that are no text or no array of ids the index and why; in their
    place is an empty one. Raises Problem or EmblemError.
    """
    value = _read(bytes(given), limits) if isinstance(given, msgspec.Raw) else given
    if isinstance(value, str):
        value = [value]
    if not isinstance(value, list):
        what = "missing" if given == _ABSENT else kind_of(value)
        raise invalid(
            f"'$.input' is invalid: it must be a string, an array of strings, an array of token "
            f"ids or an array of such arrays, and is {what}.",
            "input",
        )
    if not value:
        raise invalid("'$.input' is invalid: it is an empty array.", "input")
    if type(value[0]) is int:
        return _one_array(value, limits), {}
    return _items(value, limits)


def _read(raw: bytes, limits: Limits) -> Any:
    first = _first(raw)
    _count(raw, first, limits)
    return _decoded(raw, first)


def _first(raw: bytes) -> bytes:
    """Tell the form by its first characters: ``"``, ``["``, ``[[``, ``[0``, or b"" for none."""
    if (start := raw[:1]) == b'"':
        return start
    found = _START.match(raw)
    if found is None:
        return b""
    if found[1] and (found[2].isdigit() or found[2] == b"-"):
        return b"[0"
    return bytes(found[1] + found[2])


def _count(raw: bytes, first: bytes, limits: Limits) -> None:
    """Refuse what has too many token ids or arrays of them, without decoding it."""
    if first in (b"[0", b"[[") and b'"' not in raw:
        limits.check_items(max(1, raw.count(b"[") - 1))
        limits.check_ids(raw.count(b",") + 1)


def _decoded(raw: bytes, first: bytes) -> Any:
    if not raw:
        return None
    decoder = _DECODERS.get(first, _ANYTHING)
    try:
        if decoder is not _ANYTHING:
            return decoder.decode(raw)
    except msgspec.ValidationError:
        pass  # something in it is of another type, and everything that is shall be named
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise unparsed(error, raw, "input") from None
    if raw.count(b"[") + raw.count(b"{") > MAX_NESTED:
        raise invalid(
            "'$.input' is invalid: it holds something other than texts or token ids.", "input"
        )
    try:
        return _ANYTHING.decode(raw)
    except msgspec.ValidationError:
        raise invalid("'$.input' is invalid: it holds a number out of range.", "input") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise unparsed(error, raw, "input") from None


def _one_array(ids: list[Any], limits: Limits) -> tuple[tuple[int, ...], ...]:
    limits.check_ids(len(ids))
    if not _whole(ids):
        raise InvalidInput(
            [
                (index, f"must be a token id, as the first item is, and is {kind_of(token)}")
                for index, token in enumerate(ids)
                if type(token) is not int
            ]
        )
    return (tuple(ids),)


def _items(value: list[Any], limits: Limits) -> tuple[Inputs, dict[int, str]]:
    limits.check_items(len(value))
    # Nearly always all are texts, as is told of thousands in the time of one call for an item.
    if set(map(type, value)) == _STRINGS and (limits.empty_input or all(value)):
        return tuple(value), {}
    wanted = list if isinstance(value[0], list) else str
    problem = _item_problem if isinstance(value[0], str | list) else _no_form
    wrong = {
        index: why
        for index, item in enumerate(value)
        if (why := problem(item, wanted, limits.empty_input))
    }
    if any(index not in wrong and type(item) is not wanted for index, item in enumerate(value)):
        raise InvalidInput([*wrong.items()])  # there is no telling which form was meant
    if wrong:
        value = [wanted() if index in wrong else item for index, item in enumerate(value)]
    return (tuple(value) if wanted is str else tuple(map(tuple, value))), wrong


def _item_problem(item: object, wanted: type, empty: bool) -> str | None:
    if type(item) is not wanted:
        name = "a string" if wanted is str else "an array of token ids"
        return f"must be {name} and is {kind_of(item)}"
    if not item and wanted is str and not empty:
        return "is an empty string"
    if isinstance(item, list):
        if not item:
            return "is an empty array"
        if not _whole(item):
            other = next(token for token in item if type(token) is not int)
            return f"must hold token ids and holds {kind_of(other)}"
    return None


def _no_form(item: object, _: type, empty: bool) -> str | None:
    """Say what is wrong with an item of an array whose first one has neither form."""
    if type(item) is str:
        return _item_problem(item, str, empty)
    if type(item) is int:
        return None
    return f"must be a string or a token id (whole number) and is {kind_of(item)}"


def _whole(ids: list[Any]) -> bool:
    """Tell whether all are whole numbers; a boolean is none."""
    return set(map(type, ids)) <= {int}
