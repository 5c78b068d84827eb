"""Who did what: lines that are written with each change, and read newest first."""

from math import isfinite
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, insert, or_, select

from emblem.accounts import Change, ChangesWanted
from emblem.ledger.database import Database
from emblem.ledger.schema import audit

MAX_LIMIT = 1000


class SqlAuditBook:
    """The audit in a database. See ``ports.AuditBook``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def changes(
        self, *, limit: int = 100, before: int | None = None, wanted: ChangesWanted | None = None
    ) -> list[Change]:
        """The newest changes first, all or those that are wanted, before the one with this id."""
        query = select(audit).order_by(audit.c.id.desc()).limit(max(1, min(limit, MAX_LIMIT)))
        if before is not None:
            query = query.where(audit.c.id < before)
        query = query.where(*_conditions(wanted or ChangesWanted()))
        with self._database.read() as connection:
            return [_change(row) for row in connection.execute(query)]


def record(connection: Connection, change: Change) -> None:
    """Write a line within the transaction of the change that it is about."""
    connection.execute(
        insert(audit).values(
            at=change.at,
            who=change.who,
            what=change.what,
            subject=change.subject,
            source=change.source,
            details=change.details,
        )
    )


def _conditions(wanted: ChangesWanted) -> list[ColumnElement[bool]]:
    equal = {audit.c.subject: wanted.subject, audit.c.who: wanted.who}
    found = [column == value for column, value in equal.items() if value is not None]
    if wanted.what is not None:
        of_a_kind = audit.c.what.startswith(f"{wanted.what}.", autoescape=True)
        found.append(or_(audit.c.what == wanted.what, of_a_kind))
    if wanted.since > 0:
        found.append(audit.c.at >= wanted.since)
    if isfinite(wanted.until):
        found.append(audit.c.at < wanted.until)
    return found


def _change(row: Row[Any]) -> Change:
    return Change(
        at=row.at,
        who=row.who,
        what=row.what,
        subject=row.subject,
        source=row.source,
        details=dict(row.details),
        id=row.id,
    )
