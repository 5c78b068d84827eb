"""One value: is it right, and if not, what would be? Pure functions over types and values."""

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import msgspec
from msgspec import inspect

from emblem.errors import ConfigError

MAX_SHOWN = 60  # characters of a wrong value that are repeated to whoever gave it


@dataclass(frozen=True, slots=True)
class Expected:
    """What a type asks for: in words, as a placeholder, and how it reads from text."""

    words: str
    placeholder: str
    help: str = ""
    is_list: bool = False
    is_switch: bool = False


def expected(annotation: Any) -> Expected:
    """Say what a field's type asks for. Knows the types that settings have, and no others."""
    node = inspect.type_info(annotation)
    text = ""
    if isinstance(node, inspect.Metadata):
        text = (node.extra_json_schema or {}).get("description", "")
        node = node.type
    if isinstance(node, inspect.UnionType):
        node = next(one for one in node.types if not isinstance(one, inspect.NoneType))
    return Expected(
        words=_words(node),
        placeholder=_placeholder(node),
        help=text,
        is_list=isinstance(node, inspect.VarTupleType),
        is_switch=isinstance(node, inspect.BoolType),
    )


def _words(node: inspect.Type) -> str:
    match node:
        case inspect.BoolType():
            return "true or false"
        case inspect.IntType():
            return f"a whole number{_range(node.ge, node.le)}"
        case inspect.FloatType():
            return (
                f"a number above {node.gt:g}{'' if node.le is None else f', at most {node.le:.0f}'}"
            )
        case inspect.VarTupleType():
            return "a list of texts"
        case _:
            *most, last = _choices(node) or ("text",)
            return f"{', '.join(most)} or {last}" if most else last


def _placeholder(node: inspect.Type) -> str:
    match node:
        case inspect.IntType():
            return "N"
        case inspect.FloatType():
            return "NUMBER"
        case _:
            return "|".join(_choices(node)) or "TEXT"


def _choices(node: inspect.Type) -> tuple[str, ...]:
    """The words that are right, where only some are: an enum, or a pattern such as ^(a|b)$."""
    match node:
        case inspect.EnumType():
            return tuple(str(one.value) for one in node.cls)
        case inspect.StrType() if node.pattern:
            return tuple(node.pattern.strip("^()$").split("|"))
        case _:
            return ()


def _range(least: float | None, most: float | None) -> str:
    if least is None:
        return ""
    return f" from {least}" + (" up" if most is None else f" to {most}")


def convert(value: Any, annotation: Any, *, where: str, text: bool, secret: bool = False) -> Any:
    """Give ``value`` as the type asks for it, or raise ConfigError naming where it came from.

    ``text`` says that it came as text, so that numbers, switches and comma-separated lists are
    read out of it. A secret is never repeated.
    """
    about = expected(annotation)
    if text and isinstance(value, str):
        value = _parts(value) if about.is_list else value.strip()
    try:
        return msgspec.convert(value, annotation, strict=not text)
    except (msgspec.ValidationError, UnicodeEncodeError):  # the latter for bytes that are no text
        is_what = "is not what it should be" if secret else f"is {_shown(value)}"
        raise ConfigError(f"{where} {is_what}; it must be {about.words}") from None


def _parts(text: str) -> list[str]:
    return [part for part in map(str.strip, text.split(",")) if part]


def _shown(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= MAX_SHOWN else shown[: MAX_SHOWN - 1] + "…"


def nearest(name: str, names: Iterable[str]) -> str:
    """Give "; did you mean X?" for the nearest of the right names, or "" where none is near."""
    close = get_close_matches(name, list(names), n=1)
    return f"; did you mean {close[0]}?" if close else ""
