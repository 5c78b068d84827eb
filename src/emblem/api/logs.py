"""How records of the log are written: as lines to read, or as a JSON object a line.

Both leave out what looks like a key or a password, wherever it came from, and the secrets that the
settings have. No record has a text. An unexpected error may quote one, so of what such an error says
``MAX_SAID`` characters are shown, and what it quotes only where that is a name in the program.
"""

import logging
import time
import traceback
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import msgspec

from emblem.accounts import Observed
from emblem.api.access import Requests, line
from emblem.core.redact import on_one_line, redacted, unquoted
from emblem.observe.requests import shown_method

MAX_SAID = 300

MAX_ERRORS = 50  # that are shown of one: causes, and what was raised at once

# What these quote are names in the program.
_QUOTES_NAMES = (AttributeError, ImportError, NameError, TypeError)


class _Redacting(logging.Formatter):
    """Formats as ``logging`` does, without secrets. ``secrets`` are known ones, in full."""

    def __init__(self, fmt: str | None = None, secrets: Sequence[str] = ()) -> None:
        super().__init__(fmt)
        self._secrets = tuple(secrets)

    def hidden(self, text: str) -> str:
        """Give a text without secrets."""
        return redacted(text, self._secrets)

    def formatException(self, ei: Any) -> str:  # noqa: N802 - logging's own
        """Give a traceback without what its errors quote, and without the notes on them."""
        return "\n".join(_traced(ei[1], set())) if ei and ei[1] else ""


def _traced(error: BaseException, seen: set[int]) -> Iterator[str]:
    """Give the lines of an error behind those of what it came from, each error once."""
    if id(error) in seen or len(seen) >= MAX_ERRORS:
        return
    seen.add(id(error))
    for before, said in (
        (error.__cause__, "was the direct cause of:"),
        (None if error.__suppress_context__ else error.__context__, "was being handled when:"),
    ):
        if before is not None and id(before) not in seen:
            yield from _traced(before, seen)
            yield said
    yield "Traceback (most recent call last):"
    for frame in traceback.format_tb(error.__traceback__):
        yield from frame.rstrip().split("\n")
    yield _said(error)
    if isinstance(error, BaseExceptionGroup):
        for one in error.exceptions:
            yield from (f"  | {line}" for line in _traced(one, seen))


def _said(error: BaseException) -> str:
    """Give an error's name, and what it says where that is a string at all."""
    kind = type(error)
    name = kind.__qualname__ if kind.__module__ == "builtins" else _full_name(kind)
    try:
        said = str(error)
    except Exception:  # noqa: BLE001 - whatever its author did, the traceback must be written
        said = ""
    shown = said if isinstance(error, _QUOTES_NAMES) else unquoted(said)
    return f"{name}: {on_one_line(shown)[:MAX_SAID]}" if shown else name


def _full_name(kind: type[BaseException]) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


class LineFormatter(_Redacting):
    """Writes a record as ``logging`` does, and each request of a record as if it were its own."""

    def format(self, record: logging.LogRecord) -> str:
        """Give the text of a record."""
        if not isinstance(record.msg, Requests):
            return self.hidden(self._written(record))
        behind = f" {record.levelname} {record.name}: "
        return "\n".join(
            [f"{_shown(one.at + one.seconds)}{behind}{line(one)}" for one in record.msg.every]
        )

    def _written(self, record: logging.LogRecord) -> str:
        """Give a record's one line, and the traceback behind it.

        ``exc_text`` is not asked: another handler may have left a traceback there as it was.
        """
        record.message = on_one_line(record.getMessage())
        if self.usesTime():
            record.asctime = self.formatTime(record, self.datefmt)
        error = self.formatException(record.exc_info) if record.exc_info else ""
        return "\n".join(one for one in (self.formatMessage(record), error) if one)


class _Event(msgspec.Struct, omit_defaults=True):
    """A record as JSON. ``error`` has the traceback."""

    time: str
    level: str
    logger: str
    message: str
    error: str = ""


class _Request(msgspec.Struct):
    """A request as JSON. ``ms`` is how long it took; what was not reached is "" or 0."""

    time: str
    level: str
    logger: str
    message: str
    request_id: str
    key: str
    team: str
    method: str
    route: str
    status: int
    ms: float
    model: str
    space: str
    inputs: int
    tokens: int
    hits: int
    code: str


class JsonFormatter(_Redacting):
    """Writes a record as one JSON object on a line, each request of a record as one of its own."""

    def format(self, record: logging.LogRecord) -> str:
        """Give the text of a record."""
        level = record.levelname.lower()
        if isinstance(record.msg, Requests):
            return "\n".join([_json(_request(one, level, record.name)) for one in record.msg.every])
        error = self.formatException(record.exc_info) if record.exc_info else ""
        return _json(
            _Event(
                _utc(record.created),
                level,
                record.name,
                self.hidden(record.getMessage()),
                self.hidden(error),
            )
        )


def _request(one: Observed, level: str, logger: str) -> _Request:
    return _Request(
        time=_utc(one.at + one.seconds),
        level=level,
        logger=logger,
        message="request",
        request_id=one.id,
        key=one.key,
        team=one.team or "",
        method=shown_method(one.method),
        route=one.route,
        status=one.status,
        ms=round(1000 * one.seconds, 3),
        model=one.model,
        space=one.space,
        inputs=one.inputs,
        tokens=one.tokens,
        hits=one.hits,
        code=one.code,
    )


def _json(value: _Event | _Request) -> str:
    return msgspec.json.encode(value).decode()


def _shown(when: float) -> str:
    """Write a time as ``logging`` does."""
    second, milliseconds = divmod(int(1000 * when), 1000)
    return f"{_to_the_second(second)},{milliseconds:03d}"


@lru_cache(4)
def _to_the_second(second: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(second))


def _utc(when: float) -> str:
    second, milliseconds = divmod(int(1000 * when), 1000)
    return f"{_utc_second(second)}.{milliseconds:03d}Z"


@lru_cache(4)
def _utc_second(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
