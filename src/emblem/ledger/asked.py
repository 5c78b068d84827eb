"""What a question about usage is answered from: right sums of days, of hours, and records.

No use is in two of them. Whoever asks reads all of them in one transaction that sees one state.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    Table,
    and_,
    func,
    or_,
    select,
)

from emblem.accounts import By, Window
from emblem.ledger.schema import days, hours, uses, uses_daily, uses_hourly
from emblem.ledger.totals import HOUR_S, HOURS_OF_A_DAY

_LAST_HOUR = 2**31 - 1
COLUMNS = {
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


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of the uses: which, by what they are grouped, and whether for how long.

    ``at_most`` so many sums and records are read for that; None is no bound.
    """

    window: Window
    by: tuple[By, ...] = ()
    percentiles: bool = True
    at_most: int | None = None

    @property
    def only_records(self) -> str:
        """The first thing that is asked for and that hourly sums do not have; "" where they do."""
        return next((one.value for one in self.by if COLUMNS[one] not in uses_hourly.c), "")

    @property
    def hourly(self) -> bool:
        """Whether hourly sums tell what is asked for."""
        return not self.only_records

    @property
    def daily(self) -> bool:
        """Whether daily sums do."""
        return self.hourly and By.HOUR not in self.by


@dataclass(frozen=True, slots=True)
class _Hours:
    """The hours of a window. Those from ``first`` on and before ``last`` are wholly within it.

    ``begun`` is behind the last one that begins within it.
    """

    first: int
    last: int
    begun: int

    @property
    def of_whole_days(self) -> tuple[int, int]:
        """The hours of the days that are wholly within it: the first, and the one behind the last."""
        first, last = -(-self.first // HOURS_OF_A_DAY), self.last // HOURS_OF_A_DAY
        return first * HOURS_OF_A_DAY, last * HOURS_OF_A_DAY


def hour_of(at: float) -> int:
    """Give the number of a time's hour since the epoch."""
    return int(at) // HOUR_S


def tables(question: Question) -> Iterator[Table]:
    """Give the tables of sums that tell what is asked for."""
    if question.daily:
        yield uses_daily
    if question.hourly:
        yield uses_hourly


def within(window: Window) -> list[ColumnElement[bool]]:
    """Say which records are in a window."""
    span = _hours(window)
    return [
        uses.c.hour.between(hour_of(window.since), span.begun - 1),
        uses.c.at >= window.since,
        uses.c.at < window.until,
        *_of(uses, window),
    ]


def records(question: Question, *columns: ColumnElement[Any]) -> Select[Any]:
    """Read records: all of them where only these tell, else those of hours without right sums."""
    query = select(*columns).select_from(uses).where(*within(question.window))
    if question.hourly:
        query = query.where(uses.c.hour.in_(_not_summed(question.window)))
    return query


def sums(question: Question, table: Table, *columns: ColumnElement[Any]) -> Select[Any]:
    """Read right sums of a table: those of days, or of the hours that are in none of these days."""
    window = question.window
    if table is uses_daily:
        chosen = uses_daily.c.day.in_(_right_days(window))
        return select(*columns).select_from(table).where(chosen, *_of(table, window))
    query = _hourly(window, *columns)
    if not question.daily:
        return query
    return query.where((hours.c.hour // HOURS_OF_A_DAY).not_in(_right_days(window)))


def _right_days(window: Window) -> Select[Any]:
    """Name the days wholly within a window to whose hours nothing was added since their sums."""
    first, behind = _hours(window).of_whole_days
    day = (hours.c.hour // HOURS_OF_A_DAY).label("of_day")
    now = (
        select(day, func.sum(hours.c.changes).label("changes"))
        .where(hours.c.hour >= first, hours.c.hour < behind)
        .group_by("of_day")
        .subquery()
    )
    return (
        select(days.c.day)
        .join(now, now.c.of_day == days.c.day)
        .where(days.c.rolled == now.c.changes)
    )


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
