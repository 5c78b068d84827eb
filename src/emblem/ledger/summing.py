"""Uses added up: from hourly sums where there are right ones, from the records for all the rest.

Every use is counted from one of the two. Both are read in one transaction that sees one state.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from math import ceil
from typing import Any, cast

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    Table,
    and_,
    case,
    func,
    literal_column,
    or_,
    select,
)

from emblem.accounts import By, Sum, Window
from emblem.core.percentiles import add, percentiles, unpacked
from emblem.errors import InvalidRequest
from emblem.ledger.database import Database
from emblem.ledger.schema import hours, uses, uses_hourly

MINUTE_S = 60
HOUR_S = 3600
HOURS_OF_A_DAY = 24
FIRST_ERROR = 400  # the first status that says that something went wrong

_LAST_HOUR = 2**31 - 1
_NO_BUCKET = -1
_COLUMNS = {
    By.KEY: "key_id",
    By.TEAM: "team_id",
    By.MODEL: "model",
    By.STATUS: "status",
    By.DAY: "hour",
    By.HOUR: "hour",
    By.MINUTE: "at",
    By.SPACE: "space",
    By.SERVED_BY: "served_by",
    By.USER: "user",
    By.TAG: "tags",
}
_COUNTED = ("inputs", "tokens", "hits", "cost")


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of the uses: which, by what they are grouped, and whether for how long."""

    window: Window
    by: tuple[By, ...] = ()
    percentiles: bool = True

    @property
    def only_records(self) -> str:
        """The first thing that is asked for and that hourly sums do not have; "" where they do."""
        return next((one.value for one in self.by if _COLUMNS[one] not in uses_hourly.c), "")


@dataclass(frozen=True, slots=True)
class _Hours:
    """The hours of a window. Those from ``first`` on and before ``last`` are wholly within it.

    ``begun`` is behind the last one that begins within it.
    """

    first: int
    last: int
    begun: int


class _Totals:
    """What is added up, by the texts of the groups."""

    def __init__(self, by: tuple[By, ...]) -> None:
        self._by = by
        self._counts: dict[tuple[str, ...], list[int]] = {}  # as in Sum, from requests to cost
        self._histograms: dict[tuple[str, ...], dict[int, int]] = {}
        if not by:
            self.count((), (0, 0, 0, 0, 0, 0))

    def count(self, group: Sequence[Any], counts: Sequence[int | None]) -> None:
        for one in self._groups(group):
            before = self._counts.get(one, (0, 0, 0, 0, 0, 0))
            # PostgreSQL adds whole numbers up to decimals; over no rows both give NULL.
            self._counts[one] = [
                int(old + (new or 0)) for old, new in zip(before, counts, strict=True)
            ]

    def time(self, group: Sequence[Any], histogram: dict[int, int]) -> None:
        for one in self._groups(group):
            add(self._histograms.setdefault(one, {}), histogram)

    def sums(self) -> list[Sum]:
        found = []
        for group, counts in sorted(self._counts.items()):
            requests, errors, inputs, tokens, hits, cost = counts
            found.append(Sum(group, requests, errors, inputs, tokens, hits, cost, self._ms(group)))
        return found

    def _ms(self, group: tuple[str, ...]) -> tuple[float, float, float] | None:
        found = percentiles(self._histograms.get(group, {}))
        return cast("tuple[float, float, float] | None", found)

    def _groups(self, group: Sequence[Any]) -> Iterator[tuple[str, ...]]:
        """Give the groups that a row belongs to: one for each tag, where it is by tags."""
        if By.TAG not in self._by:
            yield tuple(map(_text, self._by, group))
            return
        place = self._by.index(By.TAG)
        for tag in sorted(set(json.loads(group[place]))) or [""]:
            yield tuple(map(_text, self._by, [*group[:place], tag, *group[place + 1 :]]))


def hour_of(at: float) -> int:
    """Give the number of a time's hour since the epoch."""
    return int(at) // HOUR_S


def sums(database: Database, question: Question) -> list[Sum]:
    """Add up uses. Raises InvalidRequest for what records told that are pruned."""
    totals = _Totals(question.by)
    with database.read() as connection:
        if not database.is_sqlite:
            connection.execution_options(isolation_level="REPEATABLE READ")
        if question.only_records:
            _refuse_pruned(connection, question)
        else:
            _add_hourly(connection, totals, question)
        _add_records(connection, totals, question)
    return totals.sums()


def within(window: Window) -> list[ColumnElement[bool]]:
    """Say which records are in a window."""
    span = _hours(window)
    return [
        uses.c.hour.between(hour_of(window.since), span.begun - 1),
        uses.c.at >= window.since,
        uses.c.at < window.until,
        *_of(uses, window),
    ]


def _add_hourly(connection: Connection, totals: _Totals, question: Question) -> None:
    """Add what the hourly sums have."""
    by, width = _groups(uses_hourly, question.by), len(question.by)
    names = [one.name for one in by]
    requests = uses_hourly.c.requests
    errors = case((uses_hourly.c.status >= FIRST_ERROR, requests), else_=0)
    counts = [func.sum(one) for one in (requests, errors, *_counted(uses_hourly))]
    for row in connection.execute(_hourly(question.window, *by, *counts).group_by(*names)):
        totals.count(row[:width], row[width:])
    if question.percentiles:
        query = _hourly(question.window, *by, uses_hourly.c.histogram)
        for row in connection.execute(query.where(uses_hourly.c.status < FIRST_ERROR)):
            totals.time(row[:width], unpacked(row[width]))


def _add_records(connection: Connection, totals: _Totals, question: Question) -> None:
    """Add the records of hours whose sums were not taken."""
    by, width = _groups(uses, question.by), len(question.by)
    is_error = uses.c.status >= FIRST_ERROR
    bucket: ColumnElement[int] = literal_column(str(_NO_BUCKET))
    if question.percentiles:
        bucket = case((is_error, bucket), else_=uses.c.bucket)
    errors = func.sum(case((is_error, 1), else_=0))
    counts = [func.count(), errors, *map(func.sum, _counted(uses))]
    query = select(*by, bucket.label("in_bucket"), *counts).where(*within(question.window))
    if not question.only_records:
        query = query.where(uses.c.hour.in_(_not_summed(question.window)))
    for row in connection.execute(query.group_by(*(one.name for one in by), "in_bucket")):
        totals.count(row[:width], row[width + 1 :])
        if row.in_bucket != _NO_BUCKET:
            totals.time(row[:width], {row.in_bucket: row[width + 1]})


def _hourly(window: Window, *columns: ColumnElement[Any]) -> Select[Any]:
    """Read right sums of the hours that are within a window."""
    span = _hours(window)
    return (
        select(*columns)
        .select_from(uses_hourly.join(hours, hours.c.hour == uses_hourly.c.hour))
        .where(
            hours.c.rolled == hours.c.changes,
            hours.c.hour >= span.first,
            # What was pruned cannot be divided: it counts where it begins.
            or_(hours.c.hour < span.last, and_(hours.c.pruned, hours.c.hour < span.begun)),
            *_of(uses_hourly, window),
        )
    )


def _not_summed(window: Window) -> Select[Any]:
    """Name the hours for which ``_hourly`` does not answer: changed ones, and those at the ends."""
    span = _hours(window)
    return select(hours.c.hour).where(
        hours.c.hour.between(span.first - 1, span.begun),
        or_(
            hours.c.rolled != hours.c.changes,
            hours.c.hour < span.first,
            hours.c.hour >= span.last,
        ),
    )


def _refuse_pruned(connection: Connection, question: Question) -> None:
    """Raise InvalidRequest where only records would tell, and some of the window are gone."""
    span = _hours(question.window)
    gone = select(func.max(hours.c.hour)).where(
        hours.c.pruned, hours.c.hour.between(span.first - 1, span.begun - 1)
    )
    last = connection.execute(gone).scalar()
    if last is not None:
        raise InvalidRequest(
            f"usage by {question.only_records} is known from {_hour(last + 1)} on: of what was "
            "before only hourly sums are kept; ask for a later time"
        )


def _hours(window: Window) -> _Hours:
    until = min(window.until, float(_LAST_HOUR * HOUR_S))
    return _Hours(
        first=min(_LAST_HOUR, ceil(window.since / HOUR_S)),
        last=hour_of(until),
        begun=ceil(until / HOUR_S),
    )


def _of(table: Table, window: Window) -> list[ColumnElement[bool]]:
    """Say whose uses are asked for."""
    asked = {"key_id": window.key, "team_id": window.team, "model": window.model}
    return [table.c[name] == value for name, value in asked.items() if value is not None]


def _counted(table: Table) -> list[ColumnElement[int]]:
    return [table.c[name] for name in _COUNTED]


def _groups(table: Table, by: tuple[By, ...]) -> list[Any]:
    """Give the columns to group by, under names of their own: two may come from one column."""
    found = []
    for number, one in enumerate(by):
        column: ColumnElement[Any] = table.c[_COLUMNS[one]]
        if one is By.DAY:
            column = column // HOURS_OF_A_DAY
        elif one is By.MINUTE:
            column = column // MINUTE_S
        found.append(column.label(f"group_{number}"))
    return found


def _text(by: By, value: Any) -> str:
    if by is By.DAY:
        return _hour(value * HOURS_OF_A_DAY)[:10]
    if by is By.MINUTE:
        return _time(int(value) * MINUTE_S)
    return _hour(value) if by is By.HOUR else str(value)


def _hour(number: int) -> str:
    return _time(number * HOUR_S)


@lru_cache(10_000)
def _time(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%MZ")
