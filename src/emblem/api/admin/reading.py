"""Bodies in JSON, read strictly; and what is wrong with one, in OpenAI's shape."""

import re
from functools import lru_cache
from typing import Any, TypeVar, cast

import msgspec

from emblem.api.problems import Problem, invalid, unparsed

T = TypeVar("T")

MAX_SHOWN = 100

_PATH = re.compile(r" - at `\$\.([a-z_]+)([^`]*)`$")
_UNKNOWN = re.compile(r"Object contains unknown field `(.*)`", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(\w+)`")


def read(content: bytes, kind: type[T]) -> T:
    """Read a body. Raises Problem, naming the field that is wrong."""
    try:
        return cast("T", _decoder(cast("Any", kind)).decode(content))
    except msgspec.ValidationError as error:
        raise _wrong(str(error), kind) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise unparsed(error, content) from None


@lru_cache(64)
def _decoder(kind: Any) -> msgspec.json.Decoder[object]:
    return msgspec.json.Decoder(kind)


def _wrong(message: str, kind: type) -> Problem:
    if found := _PATH.search(message):
        said = message[: found.start()]
        where = f"$.{found[1]}{found[2]}"
        return invalid(f"'{where}' is invalid: {said[:1].lower()}{said[1:]}.", found[1])
    if found := _UNKNOWN.match(message):
        known = ", ".join(_fields(kind))
        shown = found[1][:MAX_SHOWN]
        return invalid(f"There is no field {shown!a} here; there are: {known}.")
    if found := _MISSING.match(message):
        return invalid(f"'$.{found[1]}' is missing.", found[1])
    return invalid(f"The JSON body of your request is invalid: {message[:1].lower()}{message[1:]}.")


def _fields(kind: type) -> tuple[str, ...]:
    return tuple(
        field.encode_name for field in msgspec.structs.fields(cast("type[msgspec.Struct]", kind))
    )
