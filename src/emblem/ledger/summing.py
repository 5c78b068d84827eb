"""Uses added up: from daily and hourly sums where there are right ones, else from the records.

Every use is counted from one of the three. All are read in one transaction that sees one state.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Table,
    case,
    func,
    literal_column,
    select,
)

from emblem.accounts import By
from emblem.core.percentiles import added
from emblem.errors import InvalidRequest
from emblem.ledger.asked import COLUMNS, Question, pruned_until, records, sums, tables
from emblem.ledger.database import Database
from emblem.ledger.schema import uses, uses_daily
from emblem.ledger.totals import (
    HOURS_OF_A_DAY,
    MINUTE_S,
    Summed,
    Totals,
    shown_hour,
)

AT_ONCE = 2000  # hourly sums whose histograms are held at once, of about a hundred bytes each
FIRST_ERROR = 400  # the first status that says that something went wrong

_NO_BUCKET = -1
_COUNTED = ("inputs", "tokens", "hits", "cost")


def summed(database: Database, question: Question) -> Summed:
    """Add up uses, for each group and in all.

    Raises InvalidRequest for what records told that are pruned, and where more would have to be
    read than may be.
    """
    totals = Totals(question.by)
    with database.read() as connection:
        if not database.is_sqlite:
            connection.execution_options(isolation_level="REPEATABLE READ")
        if question.only_records:
            _refuse_pruned(connection, question)
        _refuse_too_many(connection, question)
        for table in tables(question):
            _add_sums(connection, totals, question, table)
        _add_records(connection, totals, question)
    return totals.summed()


def _refuse_too_many(connection: Connection, question: Question) -> None:
    """Raise InvalidRequest where too much would have to be read."""
    most = question.at_most
    if most is None:
        return
    one: ColumnElement[int] = literal_column("1")
    queries = [sums(question, table, one) for table in tables(question)]
    for query in (*queries, records(question, one)):
        some = query.limit(most + 1).subquery()
        most -= connection.execute(select(func.count()).select_from(some)).scalar_one()
        if most < 0:
            raise InvalidRequest(
                f"more than {question.at_most} sums and records would have to be added up; ask for "
                "a shorter time, or for one key, team or model"
            )


def _add_sums(connection: Connection, totals: Totals, question: Question, table: Table) -> None:
    """Add what a table of sums has."""
    by, width = _groups(table, question.by), len(question.by)
    names = [one.name for one in by]
    requests = table.c.requests
    errors = case((table.c.status >= FIRST_ERROR, requests), else_=0)
    counts = [func.sum(one) for one in (requests, errors, *_counted(table))]
    for row in connection.execute(sums(question, table, *by, *counts).group_by(*names)):
        totals.count(row[:width], row[width:])
    if question.percentiles:
        query = sums(question, table, *by, table.c.histogram)
        rows = connection.execute(query.where(table.c.status < FIRST_ERROR))
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
    query = records(question, *by, bucket.label("in_bucket"), *counts)
    for row in connection.execute(query.group_by(*(one.name for one in by), "in_bucket")):
        totals.count(row[:width], row[width + 1 :])
        if row.in_bucket != _NO_BUCKET:
            totals.time(row[:width], {row.in_bucket: row[width + 1]})


def _refuse_pruned(connection: Connection, question: Question) -> None:
    """Raise InvalidRequest where only records would tell, and some of the window are gone."""
    hour = pruned_until(connection, question.window)
    if hour is not None:
        raise InvalidRequest(
            f"usage by {question.only_records} is known from {shown_hour(hour)} on: of what was "
            "before only hourly sums are kept; ask for a later time"
        )


def _counted(table: Table) -> list[ColumnElement[int]]:
    return [table.c[name] for name in _COUNTED]


def _groups(table: Table, by: tuple[By, ...]) -> list[Any]:
    """Give the columns to group by, under names of their own: two may come from one column."""
    found = []
    for number, one in enumerate(by):
        of_days = one is By.DAY and table is uses_daily
        column: ColumnElement[Any] = table.c["day" if of_days else COLUMNS[one]]
        if one is By.DAY and not of_days:
            column = column // HOURS_OF_A_DAY
        elif one is By.MINUTE:
            column = column // MINUTE_S
        found.append(column.label(f"group_{number}"))
    return found
