"""How keys and teams are changed: one change at a time, counted, and on the audit."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import Connection, Select, or_, select, update

from emblem.accounts import Actor, Change, Role
from emblem.errors import NoLongerAllowed
from emblem.ledger.auditbook import record
from emblem.ledger.database import Database
from emblem.ledger.schema import counters, keys, secrets

KEYS = "keys"  # the counter that grows with every change of a key or a team


@dataclass(frozen=True, slots=True)
class Changing:
    """A transaction that changes keys or teams. ``note`` writes its lines of the audit."""

    connection: Connection
    now: float
    by: Actor

    def note(self, what: str, subject: str, details: dict[str, object] | None = None) -> None:
        """Say what was changed."""
        line = Change(self.now, self.by.who, what, subject, self.by.source, details or {})
        record(self.connection, line)


@contextmanager
def changing(database: Database, now: float, by: Actor) -> Iterator[Changing]:
    """Change keys or teams in one transaction.

    Counting comes first: in PostgreSQL the row stays locked until the end, so that whatever the
    block looks at before it writes is still so when it has written. Raises NoLongerAllowed where
    whoever asks was a key of an administrator and is not one now, or has another secret now.
    """
    with database.write() as connection:
        count = update(counters).where(counters.c.name == KEYS)
        connection.execute(count.values(value=counters.c.value + 1))
        _check_actor(connection, now, by)
        yield Changing(connection, now, by)


def in_order(ids: Select[str]) -> Select[str]:
    """Lock the keys that are about to be changed by their ids, as whoever touches them does."""
    return ids.order_by(keys.c.id).with_for_update(key_share=True)


def counted(connection: Connection) -> int:
    """Give the number of changes so far."""
    query = select(counters.c.value).where(counters.c.name == KEYS)
    number: int = connection.execute(query).scalar_one()
    return number


def _check_actor(connection: Connection, now: float, by: Actor) -> None:
    """Look again whether a key may change anything: it was let in some time ago.

    Between the head of a request and the end of its body half a minute may go by. Who is in no
    table, such as the command line or the key of the environment, cannot be revoked there.
    """
    query = select(keys.c.role, keys.c.expires, keys.c.revoked).where(keys.c.id == by.who)
    found = connection.execute(query).one_or_none()
    if found is None:
        return
    expired = found.expires is not None and found.expires <= now
    if expired or found.revoked is not None or found.role != Role.ADMIN.value:
        raise NoLongerAllowed
    if by.digest and not _opens(connection, now, by):
        raise NoLongerAllowed


def _opens(connection: Connection, now: float, by: Actor) -> bool:
    """Tell whether a secret opens its key still, which may have been given another one meanwhile."""
    live = or_(secrets.c.expires.is_(None), secrets.c.expires > now)
    own = select(secrets.c.key_id).where(secrets.c.digest == by.digest, live)
    return connection.execute(own).scalar_one_or_none() == by.who
