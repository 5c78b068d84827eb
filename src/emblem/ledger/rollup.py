"""Hourly sums of the records, made when an hour is over and again whenever it has changed.

Several processes may do this at once, beside others that add records. An hour has a number that
grows with every addition (``hours.changes``). Sums are made of what is seen after that number was
read, and are right for as long as it stays: what was not seen is added under a higher one.
"""

from collections.abc import Callable, Iterator
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, and_, delete, exists, func, insert, select, update

from emblem.core.percentiles import packed
from emblem.ledger.asked import hour_of
from emblem.ledger.daily import roll_up_days
from emblem.ledger.database import Database
from emblem.ledger.schema import hours, uses, uses_hourly
from emblem.ledger.summing import FIRST_ERROR

GRACE_S = 60.0  # records come a little later than their time
MOST = 200  # hours in one go
CHUNK = 5000  # records that are deleted at once: others write between two of these

_GROUP = (uses.c.key_id, uses.c.team_id, uses.c.model, uses.c.status)
_COUNTED = ("requests", "inputs", "tokens", "hits", "cost")


def roll_up(database: Database, now: float, stop: Callable[[], bool]) -> int:
    """Make the sums of hours that are over and have changed, and give how many were made.

    Then those of days.
    """
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
    made = sum(_make(database, hour) for hour in found if not stop())
    roll_up_days(database, hour_of(now - GRACE_S), stop)
    return made


def prune(database: Database, before: float, stop: Callable[[], bool]) -> int:
    """Forget the records of hours that ended before then and whose sums are made; count them.

    An hour is marked first, and no record of it counts any more; then they are deleted, a few
    thousand at a time. What a process has left half done is taken up by the next one.
    """
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
    records = exists().where(uses.c.hour == hours.c.hour)
    begun = select(hours.c.hour).where(hours.c.pruned, records).order_by(hours.c.hour)
    with database.read() as connection:
        half_done = connection.execute(begun).scalars().all()
        found = connection.execute(old).scalars().all()
    gone = sum(_delete(database, hour, stop) for hour in half_done)
    return gone + sum(
        _delete(database, hour, stop) for hour in found if not stop() and _mark(database, hour)
    )


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


def _mark(database: Database, hour: int) -> bool:
    """Say that the records of an hour are gone, unless it has changed meanwhile."""
    summed = and_(
        hours.c.hour == hour, hours.c.rolled == hours.c.changes, hours.c.pruned.is_(False)
    )
    with database.write() as connection:
        return connection.execute(update(hours).where(summed).values(pruned=True)).rowcount > 0


def _delete(database: Database, hour: int, stop: Callable[[], bool]) -> int:
    """Delete the records of an hour that is marked, and count them."""
    some = (
        select(uses.c.id)
        .where(uses.c.hour == hour)
        .limit(CHUNK)
        .with_for_update(skip_locked=True)  # PostgreSQL's: another process may be at the same
    )
    gone = 0
    while not stop():
        with database.write() as connection:
            found = connection.execute(delete(uses).where(uses.c.id.in_(some))).rowcount
        gone += found
        if found < CHUNK:
            break
    return gone
