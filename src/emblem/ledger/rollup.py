"""Hourly sums of the records, made when an hour is over and again whenever it has changed.

Several processes may do this at once, beside others that add records. An hour has a number that
grows with every addition (``hours.changes``). Sums are made of what is seen after that number was
read, and are right for as long as it stays: what was not seen is added under a higher one.
"""

from collections.abc import Iterator
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, and_, delete, func, insert, select, update

from emblem.core.percentiles import packed
from emblem.ledger.database import Database
from emblem.ledger.schema import hours, uses, uses_hourly
from emblem.ledger.summing import FIRST_ERROR, hour_of

GRACE_S = 60.0  # records come a little later than their time
MOST = 200  # hours in one go, so that whoever calls is not kept

_GROUP = (uses.c.key_id, uses.c.team_id, uses.c.model, uses.c.status)
_COUNTED = ("requests", "inputs", "tokens", "hits", "cost")


def roll_up(database: Database, now: float) -> int:
    """Make the sums of hours that are over and have changed, and give how many were made."""
    changed = (
        select(hours.c.hour)
        .where(
            hours.c.rolled != hours.c.changes,
            hours.c.pruned.is_(False),
            hours.c.hour < hour_of(now - GRACE_S),
        )
        .order_by(hours.c.hour)
        .limit(MOST)
    )
    with database.read() as connection:
        found = connection.execute(changed).scalars().all()
    return sum(_make(database, hour) for hour in found)


def prune(database: Database, before: float) -> int:
    """Forget the records of hours that ended before then and whose sums are made; count them."""
    old = (
        select(hours.c.hour)
        .where(
            hours.c.rolled == hours.c.changes,
            hours.c.pruned.is_(False),
            hours.c.hour < hour_of(before),
        )
        .order_by(hours.c.hour)
        .limit(MOST)
    )
    with database.read() as connection:
        found = connection.execute(old).scalars().all()
    return sum(_forget(database, hour) for hour in found)


def _make(database: Database, hour: int) -> bool:
    """Make the sums of one hour; false where another process has made them meanwhile."""
    with database.read() as connection:
        # In this order: see above.
        changes = connection.execute(
            select(hours.c.changes).where(hours.c.hour == hour)
        ).scalar_one()
        rows = list(_rows(connection, hour))
    older = and_(hours.c.hour == hour, hours.c.rolled < changes, hours.c.pruned.is_(False))
    with database.write() as connection:
        # First of all, so that a second process waits here for the first.
        claimed = connection.execute(update(hours).where(older).values(rolled=changes))
        if not claimed.rowcount:
            return False
        connection.execute(delete(uses_hourly).where(uses_hourly.c.hour == hour))
        if rows:
            connection.execute(insert(uses_hourly), rows)
    return True


def _rows(connection: Connection, hour: int) -> Iterator[dict[str, Any]]:
    """Add up the records of one hour."""
    counts = [func.count(), *(func.sum(uses.c[name]) for name in _COUNTED[1:])]
    query = (
        select(*_GROUP, uses.c.bucket, *counts)
        .where(uses.c.hour == hour)
        .group_by(*_GROUP, uses.c.bucket)
        .order_by(*_GROUP)
    )
    width = len(_GROUP)
    for group, alike in groupby(connection.execute(query), key=lambda row: tuple(row[:width])):
        rows = list(alike)
        histogram = {row.bucket: row[width + 1] for row in rows if row.status < FIRST_ERROR}
        summed = [
            int(sum(column)) for column in zip(*(row[width + 1 :] for row in rows), strict=True)
        ]
        yield {
            "hour": hour,
            **{column.name: value for column, value in zip(_GROUP, group, strict=True)},
            **dict(zip(_COUNTED, summed, strict=True)),
            "histogram": packed(histogram),
        }


def _forget(database: Database, hour: int) -> int:
    """Forget the records of one hour, unless it has changed meanwhile."""
    summed = and_(
        hours.c.hour == hour, hours.c.rolled == hours.c.changes, hours.c.pruned.is_(False)
    )
    with database.write() as connection:
        if not connection.execute(update(hours).where(summed).values(pruned=True)).rowcount:
            return 0
        return connection.execute(delete(uses).where(uses.c.hour == hour)).rowcount
