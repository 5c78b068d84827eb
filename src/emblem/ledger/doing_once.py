"""What is done once, however often it is asked for: known again for a day, by its token."""

from sqlalchemy import Connection, delete, insert, select

from emblem.accounts import Once
from emblem.errors import Repeated
from emblem.ledger.changing import Changing
from emblem.ledger.schema import once

KEPT_S = 86_400.0


def refuse_again(change: Changing, asked: Once | None) -> None:
    """Raise Repeated for what was done within the last day. None is never refused."""
    refuse_known(change.connection, change.now, asked)


def refuse_known(connection: Connection, now: float, asked: Once | None) -> None:
    """Do so where nothing is to be changed yet."""
    if asked is None:
        return
    same = once.c.token == asked.token, once.c.at >= now - KEPT_S
    found = connection.execute(select(once).where(*same)).one_or_none()
    if found is not None:
        raise Repeated(found.subject, same=bytes(found.body) == asked.body)


def remember(change: Changing, asked: Once | None, subject: str) -> None:
    """Write down what was made, within the transaction that makes it; forget what is too old."""
    if asked is None:
        return
    change.connection.execute(delete(once).where(once.c.at < change.now - KEPT_S))
    row = {"token": asked.token, "body": asked.body, "subject": subject, "at": change.now}
    change.connection.execute(insert(once).values(row))
