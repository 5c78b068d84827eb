"""What was used: records of requests, written once each, and read again by page or added up."""

import json
from collections.abc import Callable, Sequence
from functools import cache
from itertools import chain, repeat
from math import isfinite
from operator import attrgetter
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, desc, select, tuple_

from emblem.accounts import By, Page, Period, Spent, Sum, Use, Window
from emblem.core.limits import window, window_start_ms
from emblem.core.percentiles import bucket
from emblem.ledger import asked, rollup, summing
from emblem.ledger.asked import Question
from emblem.ledger.database import Database, Insert, insert_for, insert_into
from emblem.ledger.schema import hours, uses
from emblem.ledger.totals import HOUR_S

MAX_TEXT = 256  # characters kept of what a request says of itself
MAX_TAGS = 5
MAX_STATUS = 999
MAX_COUNT = 2**53  # so that no sum of a few is beyond what SQLite adds up

_COLUMNS = [column.name for column in uses.columns]  # in the order of ``_rows``
_FIELDS = attrgetter(*Use.__struct_fields__)
_SIZES = (500, 100, 10, 1)  # rows of one statement
_CLIENT_LEFT = 499  # whose request was charged, and may be answered for somebody else


class SqlUsageBook:
    """The usage in a database; see ``ports.UsageBook``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, uses: Sequence[Use]) -> int:
        """Write records, each once, and give how many came too late."""
        by_hour = _by_hour(uses)
        with self._database.write() as connection:
            in_time = [(hour, some) for hour, some in by_hour if _opened(connection, hour)]
            _insert(connection, [row for hour, some in in_time for row in _rows(some, hour)])
        return len(uses) - sum(len(some) for _, some in in_time)

    def sums(self, window: Window, by: Sequence[By] = (), *, percentiles: bool = True) -> list[Sum]:
        """Add up the uses of a window for each group; see ``summing``."""
        return self.summed(window, by, percentiles=percentiles)[0]

    def summed(
        self,
        window: Window,
        by: Sequence[By] = (),
        *,
        percentiles: bool = True,
        at_most: int | None = None,
    ) -> tuple[list[Sum], Sum]:
        """Add up the uses of a window for each group, and all of them."""
        return summing.summed(self._database, Question(window, tuple(by), percentiles, at_most))

    def records(self, window: Window, page: Page) -> list[Use]:
        """Give a page of records in the order of their time, then of their ids."""
        position = tuple_(uses.c.hour, uses.c.at, uses.c.id)
        order: list[Any] = [uses.c.hour, uses.c.at, uses.c.id]
        query = select(uses).where(*asked.within(window), _kept())
        if page.after is not None:
            at, name = page.after
            mark = (asked.hour_of(at), at, name)
            query = query.where(position < mark if page.newest_first else position > mark)
        if page.newest_first:
            order = [desc(column) for column in order]
        with self._database.read() as connection:
            rows = connection.execute(query.order_by(*order).limit(page.size)).all()
        return [_use(row) for row in rows]

    def pruned_until(self, window: Window) -> float | None:
        """Say up to when records of a window are pruned."""
        with self._database.read() as connection:
            hour = asked.pruned_until(connection, window)
        return None if hour is None else float(hour * HOUR_S)

    def spent(self, now: float) -> list[Spent]:
        """What keys and teams used of the day's tokens and of the month's money."""
        tokens = _charged(self, _since_start_of(Period.DAY, now))
        cost = _charged(self, _since_start_of(Period.MONTH, now))
        return [
            Spent(
                id=name,
                team=is_team,
                tokens_today=tokens.get((is_team, name), (0, 0))[0],
                cost_this_month=cost.get((is_team, name), (0, 0))[1],
            )
            for is_team, name in sorted(tokens.keys() | cost.keys())
        ]

    def roll_up(self, now: float, stop: Callable[[], bool] = lambda: False) -> int:
        """Make the sums of hours that are over and have changed."""
        return rollup.roll_up(self._database, now, stop)

    def prune(self, before: float, stop: Callable[[], bool] = lambda: False) -> int:
        """Forget records whose sums are made."""
        return rollup.prune(self._database, before, stop)


def _opened(connection: Connection, hour: int) -> bool:
    """Say that an hour changes, before it does; false where its records are gone already.

    Whoever makes its sums or prunes it waits until this transaction ends, or is waited for.
    """
    counted = _counted(connection.dialect.name)
    values = {"hour": hour, "changes": 1, "rolled": 0, "pruned": False}
    done = connection.execute(counted, values, execution_options={"preserve_rowcount": True})
    return done.rowcount > 0


@cache
def _counted(dialect: str) -> Insert:
    """Write the statement that counts a change of an hour: made once, for it takes a while."""
    first = insert_for(dialect, hours)
    return first.on_conflict_do_update(
        index_elements=[hours.c.hour],
        set_={"changes": hours.c.changes + 1},
        where=hours.c.pruned.is_(False),
    )


def _insert(connection: Connection, rows: list[tuple[Any, ...]]) -> None:
    """Write rows, in SQLite by a statement for many of them.

    Whoever runs a statement there lets go of the interpreter and asks for it back: done for each
    row, that takes the event loop as much time as all else that a record costs.
    """
    if not rows:
        return
    if connection.dialect.name != "sqlite":
        statement = insert_into(connection, uses).on_conflict_do_nothing()
        connection.execute(statement, [dict(zip(_COLUMNS, row, strict=True)) for row in rows])
        return
    start = 0
    for size in _SIZES:
        while len(rows) - start >= size:
            some = rows[start : start + size]
            connection.exec_driver_sql(_written(size), tuple(chain.from_iterable(some)))
            start += size


@cache
def _written(size: int) -> str:
    """Write the statement that inserts so many rows: one of few, so that SQLite knows it again."""
    row = f"({', '.join('?' * len(_COLUMNS))})"
    named = ", ".join(f'"{name}"' for name in _COLUMNS)
    return f"INSERT INTO uses ({named}) VALUES {', '.join([row] * size)} ON CONFLICT DO NOTHING"  # noqa: S608 - of our own names


def _by_hour(uses: Sequence[Use]) -> Sequence[tuple[int, Sequence[Use]]]:
    """Give records by their hours, in order, so that no two writers wait for one another."""
    every = [asked.hour_of(use.at) for use in uses]
    some = sorted(set(every))
    if len(some) == 1:  # as nearly always
        return [(some[0], uses)]
    return [(hour, [u for u, of in zip(uses, every, strict=True) if of == hour]) for hour in some]


def _rows(uses: Sequence[Use], hour: int) -> list[tuple[Any, ...]]:
    """Give records as the table has them: whatever a request said, it must be possible to write.

    By columns, most of which say the same again and again: that takes two thirds of the time, in
    which the event loop has to wait for the interpreter.
    """
    (
        names, at, keys, teams, models, spaces, served_by, inputs, tokens, hits, status, ms, costs,
        users, tags,
    ) = zip(*map(_FIELDS, uses), strict=True)  # fmt: skip
    took = [one if isfinite(one) else 0.0 for one in ms]
    return [
        *zip(
            _texts(names), at, repeat(hour, len(uses)), _texts(keys),
            _texts([team or "" for team in teams]),
            _texts(models), _texts(spaces), _texts(served_by), _counts(inputs), _counts(tokens),
            _counts(hits), _counts(status, MAX_STATUS), took, map(bucket, took), _counts(costs),
            _texts(users), [_tags(one) if one else "[]" for one in tags], strict=True,
        )
    ]  # fmt: skip


def _kept() -> ColumnElement[bool]:
    """Say which records count: those of an hour that is pruned are gone, or are being deleted."""
    return uses.c.hour.not_in(select(hours.c.hour).where(hours.c.pruned))


def _texts(column: Sequence[str]) -> Sequence[str]:
    """Give the texts of a column as ``_text`` does. Nearly always one look finds all of them right."""
    together = "".join(column)
    if together.isascii() and "\0" not in together and max(map(len, column)) <= MAX_TEXT:
        return column
    return [_text(text) for text in column]


def _text(text: str) -> str:
    """Cut a text, and replace what a database cannot hold: NUL and halves of characters."""
    cut = text[:MAX_TEXT]
    if cut.isascii() and "\0" not in cut:
        return cut
    return cut.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()


def _counts(column: Sequence[int], most: int = MAX_COUNT) -> Sequence[int]:
    """Give the numbers of a column within what the table holds."""
    if min(column) >= 0 and max(column) <= most:
        return column
    return [max(0, min(number, most)) for number in column]


def _tags(tags: Sequence[str]) -> str:
    return json.dumps([_text(tag) for tag in tags[:MAX_TAGS]])


def _use(row: Row[Any]) -> Use:
    return Use(
        id=row.id,
        at=row.at,
        key=row.key_id,
        team=row.team_id or None,
        model=row.model,
        space=row.space,
        served_by=row.served_by,
        inputs=row.inputs,
        tokens=row.tokens,
        hits=row.hits,
        status=row.status,
        ms=row.ms,
        cost=row.cost,
        user=row.user,
        tags=tuple(json.loads(row.tags)),
    )


def _since_start_of(period: Period, now: float) -> Window:
    return Window(since=window_start_ms(period, window(period, int(1000 * now))) / 1000)


def _charged(book: SqlUsageBook, window: Window) -> dict[tuple[bool, str], tuple[int, int]]:
    """Give the tokens and the money of each (is a team, id) that were charged and not given back.

    What is refused was not charged, and what fails was given back.
    """
    total: dict[tuple[bool, str], tuple[int, int]] = {}
    for one in book.sums(window, (By.KEY, By.TEAM, By.STATUS), percentiles=False):
        key, team, status = one.group
        if int(status) >= summing.FIRST_ERROR and int(status) != _CLIENT_LEFT:
            continue
        for of in [(False, key), *([(True, team)] if team else [])]:
            tokens, cost = total.get(of, (0, 0))
            total[of] = (tokens + one.tokens, cost + one.cost)
    return total
