"""What stands behind the question mark of an address, read strictly: each name once, none unknown."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import TypeVar
from urllib.parse import parse_qsl

from emblem.api.problems import Problem, invalid
from emblem.errors import InvalidRequest
from emblem.ledger.terms import span

MAX_BYTES = 8192
MAX_FIELDS = 32
MAX_TEXT = 256
MAX_SHOWN = 100
MAX_MOMENT = 253_402_300_800.0  # the end of the year 9999, in seconds since the epoch

_SECONDS = re.compile(r"[0-9]{9,12}(?:\.[0-9]{1,6})?")

E = TypeVar("E", bound=StrEnum)


class Query:
    """The parameters of an address. Every method raises Problem for a value that it cannot read."""

    def __init__(self, raw: bytes, names: Sequence[str]) -> None:
        self._given: dict[str, str] = {}
        for name, value in _pairs(raw):
            if name not in names:
                known = ", ".join(names) or "none"
                raise invalid(f"There is no parameter {_shown(name)} here; there are: {known}.")
            if name in self._given:
                raise invalid(f"The parameter {name} is given twice.", name)
            self._given[name] = value

    def text(self, name: str) -> str:
        """Give a text, "" where there is none."""
        value = self._given.get(name, "")
        if len(value) > MAX_TEXT or not value.isprintable():
            raise invalid(f"{name} must have at most {MAX_TEXT} printable characters.", name)
        return value

    def whole(self, name: str, default: int, most: int) -> int:
        """Give a whole number from 1 up to ``most``."""
        value = self._given.get(name)
        if value is None:
            return default
        if not re.fullmatch(r"[0-9]{1,9}", value) or not 1 <= int(value) <= most:
            raise invalid(
                f"{name} must be a whole number from 1 to {most}, not {_shown(value)}.", name
            )
        return int(value)

    def choice(self, name: str, kind: type[E]) -> E | None:
        """Give one of a few words, None where there is none."""
        value = self._given.get(name)
        return None if value is None else _one_of(name, kind, value)

    def choices(self, name: str, kind: type[E], most: int) -> tuple[E, ...]:
        """Give words between commas, each at most once."""
        value = self._given.get(name)
        each = [] if value is None else value.split(",")
        found = tuple(_one_of(name, kind, one.strip()) for one in each)
        if len(set(found)) < len(found) or len(found) > most:
            raise invalid(f"{name} may name at most {most} things, each once.", name)
        return found

    def flag(self, name: str, *, default: bool) -> bool:
        """Give true or false."""
        value = self._given.get(name)
        if value not in (None, "true", "false"):
            raise invalid(f"{name} must be true or false, not {_shown(value or '')}.", name)
        return default if value is None else value == "true"

    def moment(self, name: str, now: float) -> float | None:
        """Give a time in seconds since the epoch, None where there is none.

        It is written so, or as a date or time, in UTC unless it says otherwise, or as a span such
        as 7d before ``now``.
        """
        value = self._given.get(name)
        return None if value is None else _moment(name, value, now)


def _pairs(raw: bytes) -> list[tuple[str, str]]:
    try:
        return parse_qsl(
            raw.decode("ascii"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=0 if len(raw) > MAX_BYTES else MAX_FIELDS,
        )
    except ValueError:  # UnicodeDecodeError, too
        raise invalid("The parameters behind the question mark cannot be read.") from None


def _one_of(name: str, kind: type[E], value: str) -> E:
    try:
        return kind(value)
    except ValueError:
        raise _unknown(name, kind, value) from None


def _unknown(name: str, kind: type[StrEnum], value: str) -> Problem:
    return invalid(f"{name} is one of {', '.join(kind)}, not {_shown(value)}.", name)


def _moment(name: str, value: str, now: float) -> float:
    if _SECONDS.fullmatch(value):
        return min(float(value), MAX_MOMENT)
    try:
        return max(0.0, now - span(value))
    except InvalidRequest:
        pass
    try:
        read = datetime.fromisoformat(value)
        return max(0.0, (read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp())
    except (ValueError, OverflowError):
        raise invalid(
            f"{name} must be seconds since the epoch, a date such as 2026-11-01, a time, or a span "
            f"before now such as 7d, not {_shown(value)}.",
            name,
        ) from None


def _shown(text: str) -> str:
    return ascii(text[:MAX_SHOWN])
