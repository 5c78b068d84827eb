"""Uses added up: from hourly sums where there are right ones, from the records for all the rest.

Every use is counted from one of the two. Both are read in one transaction that sees one state.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    Table,
    and_,
    case,
    func,
    literal_column,
    or_,
    select,
)

from emblem.accounts import By, Window
from emblem.core.percentiles import added
from emblem.errors import InvalidRequest
from emblem.ledger.database import Database
from emblem.ledger.schema import hours, uses, uses_hourly
from emblem.ledger.totals import (
    HOUR_S,
    HOURS_OF_A_DAY,
    MINUTE_S,
    Summed,
    Totals,
    shown_hour,
)

AT_ONCE = 2000  # hourly sums whose histograms are held at once, of about a hundred bytes each
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


def hour_of(at: float) -> int:
    """Give the number of a time's hour since the epoch."""
    return int(at) // HOUR_S


def summed(database: Database, question: Question) -> Summed:
    """Add up uses, for each group and in all.

    Raises InvalidRequest for what records told that are pruned.
    """
    totals = Totals(question.by)
    with database.read() as connection:
        if not database.is_sqlite:
            connection.execution_options(isolation_level="REPEATABLE READ")
        if question.only_records:
            _refuse_pruned(connection, question)
        else:
            _add_hourly(connection, totals, question)
        _add_records(connection, totals, question)
    return totals.summed()


def within(window: Window) -> list[ColumnElement[bool]]:
    """Say which records are in a window."""
    span = _hours(window)
    return [
        uses.c.hour.between(hour_of(window.since), span.begun - 1),
        uses.c.at >= window.since,
        uses.c.at < window.until,
        *_of(uses, window),
    ]


def _add_hourly(connection: Connection, totals: Totals, question: Question) -> None:
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
        rows = connection.execute(query.where(uses_hourly.c.status < FIRST_ERROR))
        for some in rows.partitions(AT_ONCE):
            _add_times(totals, some)


def _add_times(totals: Totals, rows: Sequence[Row[Any]]) -> None:
    """Add histograms, which stand behind their groups: those of a group in one go."""
    written: dict[tuple[Any, ...], list[bytes]] = {}
    for row in rows:
        written.setdefault(tuple(row[:-1]), []).append(row[-1])
    for one, histograms in written.items():
        totals.time(one, added(histograms))


def _add_records(connection: Connection, totals: Totals, question: Question) -> None:
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
        hours.c.pruned.is_(False),
        or_(
            hours.c.rolled != hours.c.changes,
            hours.c.hour < span.first,
            hours.c.hour >= span.last,
        ),
    )


def pruned_until(connection: Connection, window: Window) -> int | None:
    """Give the hour behind the last one of a window whose records are gone."""
    within = hours.c.hour.between(hour_of(window.since), _hours(window).begun - 1)
    gone = select(func.max(hours.c.hour)).where(hours.c.pruned, within)
    last: int | None = connection.execute(gone).scalar()
    return None if last is None else last + 1


def _refuse_pruned(connection: Connection, question: Question) -> None:
    """Raise InvalidRequest where only records would tell, and some of the window are gone."""
    hour = pruned_until(connection, question.window)
    if hour is not None:
        raise InvalidRequest(
            f"usage by {question.only_records} is known from {shown_hour(hour)} on: of what was "
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
