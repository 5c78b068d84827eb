"""Keys as somebody looks for them: by what they are called, whose they are and whether they work."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, desc, or_, select, tuple_

from emblem.accounts import Key, KeyState, KeysWanted, Page
from emblem.ledger import rows
from emblem.ledger.schema import keys, secrets

AT_ONCE = 5000  # ids in one question; SQLite takes some 32,000


def page(connection: Connection, wanted: KeysWanted, page: Page, now: float) -> list[Key]:
    """Give a page of the keys that are wanted, with their secrets."""
    position = tuple_(keys.c.created, keys.c.id)
    order: list[Any] = [keys.c.created, keys.c.id]
    query = select(keys).where(*_conditions(wanted, now))
    if page.after is not None:
        query = query.where(position < page.after if page.newest_first else position > page.after)
    if page.newest_first:
        order = [desc(column) for column in order]
    found = connection.execute(query.order_by(*order).limit(page.size)).all()
    own: dict[str, list[Row[Any]]] = defaultdict(list)
    theirs = select(secrets).where(secrets.c.key_id.in_([row.id for row in found]))
    for one in connection.execute(theirs.order_by(secrets.c.created, secrets.c.digest)):
        own[one.key_id].append(one)
    return [rows.key_of(row, own[row.id]) for row in found]


def names(connection: Connection, ids: Iterable[str]) -> dict[str, str]:
    """Give the names of the keys with these ids; of ids that no key has there is none."""
    wanted = sorted(set(ids))
    found: dict[str, str] = {}
    for start in range(0, len(wanted), AT_ONCE):
        some = keys.c.id.in_(wanted[start : start + AT_ONCE])
        for row in connection.execute(select(keys.c.id, keys.c.name).where(some)):
            found[row.id] = row.name
    return found


def _conditions(wanted: KeysWanted, now: float) -> list[ColumnElement[bool]]:
    equal = {keys.c.name: wanted.name, keys.c.team_id: wanted.team, keys.c.role: wanted.role}
    found = [column == str(value) for column, value in equal.items() if value is not None]
    if wanted.state is not None:
        found.append(_in_state(wanted.state, now))
    if wanted.search:
        ends = secrets.c.last_four.icontains(wanted.search, autoescape=True)
        having = select(secrets.c.key_id).where(ends)
        columns = (keys.c.name, keys.c.owner, keys.c.id)
        parts = [one.icontains(wanted.search, autoescape=True) for one in columns]
        found.append(or_(*parts, keys.c.id.in_(having)))
    return found


def _in_state(state: KeyState, now: float) -> ColumnElement[bool]:
    unrevoked, over = keys.c.revoked.is_(None), keys.c.expires <= now
    match state:
        case KeyState.REVOKED:
            return keys.c.revoked.is_not(None)
        case KeyState.EXPIRED:
            return and_(unrevoked, over)
        case KeyState.LIVE:
            return and_(unrevoked, or_(keys.c.expires.is_(None), keys.c.expires > now))
