"""Daily sums, made of the hourly ones when a day is over and again whenever one of these changes.

A day has the number of changes of all its hours together, as of when its sums were made. Hours
change by growing that number and in no other way, so the sums are right for as long as it is the
same; see ``rollup``.
"""

from collections.abc import Callable, Iterator
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select

from emblem.core.percentiles import added, packed
from emblem.ledger.database import Database, insert_into
from emblem.ledger.schema import days, hours, uses_daily, uses_hourly
from emblem.ledger.totals import HOURS_OF_A_DAY

MOST = 200  # days in one go

_GROUP = ("key_id", "team_id", "model", "status")
_COUNTED = ("requests", "inputs", "tokens", "hits", "cost")


def roll_up_days(database: Database, before: int, stop: Callable[[], bool]) -> int:
    """Make the sums of days that ended before an hour began and have changed; count them.

    A day waits until the sums of all its hours are right.
    """
    day = (hours.c.hour // HOURS_OF_A_DAY).label("of_day")
    changes, rolled = func.sum(hours.c.changes), func.sum(hours.c.rolled)
    every = (
        select(day, changes.label("changes"), rolled.label("rolled"))
        .where(hours.c.hour < before // HOURS_OF_A_DAY * HOURS_OF_A_DAY)
        .group_by("of_day")
        .subquery()
    )
    changed = (
        select(every.c.of_day)
        .outerjoin(days, days.c.day == every.c.of_day)
        .where(
            every.c.changes == every.c.rolled,
            func.coalesce(days.c.rolled, -1) != every.c.changes,
        )
        .order_by(every.c.of_day)
        .limit(MOST)
    )
    with database.read() as connection:
        found = connection.execute(changed).scalars().all()
    return sum(_make(database, int(one)) for one in found if not stop())


def _make(database: Database, day: int) -> bool:
    """Make the sums of one day; false where another process has made them meanwhile."""
    with database.read() as connection:
        # In this order: what is added after it is counted makes the sums wrong, and that shows.
        changes = _changes(connection, day)
        rows = list(_rows(connection, day))
    if changes is None:
        return False
    with database.write() as connection:
        first = insert_into(connection, days).values(day=day, rolled=changes)
        # First of all, so that a second process waits here for the first.
        claim = first.on_conflict_do_update(
            index_elements=[days.c.day], set_={"rolled": changes}, where=days.c.rolled < changes
        )
        done = connection.execute(claim, execution_options={"preserve_rowcount": True})
        if done.rowcount <= 0:
            return False
        connection.execute(delete(uses_daily).where(uses_daily.c.day == day))
        if rows:
            connection.execute(insert(uses_daily), rows)
    return True


def _changes(connection: Connection, day: int) -> int | None:
    """Give the changes of a day's hours; None where not all of them have right sums."""
    changes, rolled = func.sum(hours.c.changes), func.sum(hours.c.rolled)
    query = select(changes, rolled).where(hours.c.hour.between(*_hours(day)))
    added_so_far, summed = connection.execute(query).one()
    return int(added_so_far) if added_so_far == summed else None


def _rows(connection: Connection, day: int) -> Iterator[dict[str, Any]]:
    """Add up the hourly sums of one day."""
    group = [uses_hourly.c[name] for name in _GROUP]
    counts = [uses_hourly.c[name] for name in _COUNTED]
    query = (
        select(*group, *counts, uses_hourly.c.histogram)
        .where(uses_hourly.c.hour.between(*_hours(day)))
        .order_by(*group)
    )
    width = len(group)
    for of, alike in groupby(connection.execute(query), key=lambda row: tuple(row[:width])):
        rows = list(alike)
        summed = [sum(column) for column in zip(*(row[width:-1] for row in rows), strict=True)]
        yield {
            "day": day,
            **dict(zip(_GROUP, of, strict=True)),
            **dict(zip(_COUNTED, summed, strict=True)),
            "histogram": packed(added(row.histogram for row in rows)),
        }


def _hours(day: int) -> tuple[int, int]:
    """Give the first and the last hour of a day."""
    first = day * HOURS_OF_A_DAY
    return first, first + HOURS_OF_A_DAY - 1
