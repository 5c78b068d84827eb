"""Keys in the database: made, changed, rotated, revoked, and read."""

import secrets as random
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Row, Select, bindparam, insert, or_, select, update

from emblem.accounts import CLI, Actor, Key, KeysWanted, Once, Page, Secret, Terms
from emblem.errors import InvalidRequest
from emblem.ledger import finding, rows
from emblem.ledger.changing import Changing, changing, counted, in_order
from emblem.ledger.database import Database
from emblem.ledger.doing_once import refuse_again, refuse_known, remember
from emblem.ledger.schema import keys, secrets, teams
from emblem.ledger.secret import ENTROPY_BYTES, ID_BYTES, as_stored, digest, key_id, secret
from emblem.ledger.terms import checked

DIGEST_BYTES = 32


class SqlKeyBook:
    """The keys in a database. See ``ports.KeyBook``."""

    def __init__(
        self, database: Database, *, random_bytes: Callable[[int], bytes] = random.token_bytes
    ) -> None:
        self._database = database
        self._random_bytes = random_bytes

    def issue(
        self, terms: Terms, *, now: float, by: Actor = CLI, once: Once | None = None
    ) -> tuple[Key, str]:
        """Make a key; raises InvalidRequest where the terms are wrong. Names may repeat."""
        text = secret(self._random_bytes(ENTROPY_BYTES))
        own = Secret(digest(text), text[-4:], now)
        with changing(self._database, now, by) as change:
            refuse_again(change, once)
            key = self._add(change, "key.create", checked(terms, now), own)
            remember(change, once, key.id)
            return key, text

    def refuse_again(self, once: Once | None, *, now: float) -> None:
        """Raise Repeated for what was done once within the last day."""
        with self._database.read() as connection:
            refuse_known(connection, now, once)

    def adopt(
        self, terms: Terms, digest: bytes, last_four: str, *, now: float, by: Actor = CLI
    ) -> Key:
        """Make a key of a secret that was made elsewhere; refuse one that opens a key already."""
        if len(digest) != DIGEST_BYTES:
            raise InvalidRequest("the hash of a key must be its SHA-256", param="digest")
        own = Secret(digest, last_four[-4:], now)
        with changing(self._database, now, by) as change:
            if _found(change.connection, digest) is not None:
                raise InvalidRequest("that secret opens a key already", param="digest")
            return self._add(change, "key.adopt", checked(terms, now), own)

    def every(self) -> list[Key]:
        """Every key, the revoked ones too, oldest first."""
        with self._database.read() as connection:
            return _read(connection, select(keys))

    def get(self, key_id: str) -> Key | None:
        """The key with this id, if there is one."""
        with self._database.read() as connection:
            return next(iter(_read(connection, select(keys).where(keys.c.id == key_id))), None)

    def search(self, wanted: KeysWanted, page: Page, *, now: float) -> list[Key]:
        """A page of the keys that are wanted, by the time they were made and their ids."""
        with self._database.read() as connection:
            return finding.page(connection, wanted, page, now)

    def names(self, ids: Iterable[str]) -> dict[str, str]:
        """What the keys with these ids are called, the revoked ones too."""
        with self._database.read() as connection:
            return finding.names(connection, ids)

    def find(self, digest: bytes) -> Key | None:
        """The key that the secret with this SHA-256 opens, revoked or not, if there is one."""
        with self._database.read() as connection:
            return _found(connection, digest)

    def change(
        self, key_id: str, how: Callable[[Terms], Terms], *, now: float, by: Actor = CLI
    ) -> Key:
        """Give a live key other terms, made of those that it has within the same transaction."""
        with changing(self._database, now, by) as change:
            before = _live(change.connection, key_id)
            after = replace(before, terms=checked(how(before.terms)))
            if after == before:
                return before
            _check_team(change.connection, after.terms)
            values = rows.columns(after.terms)
            change.connection.execute(update(keys).where(keys.c.id == key_id).values(values))
            differences = rows.differences(rows.columns(before.terms), values)
            change.note("key.change", key_id, differences)
            return after

    def rotate(
        self, key_id: str, *, overlap_s: float, now: float, by: Actor = CLI
    ) -> tuple[Key, str]:
        """Give a live key a new secret; those that it had open it for ``overlap_s`` longer."""
        if not 0 <= overlap_s < float("inf"):
            raise InvalidRequest("an overlap cannot be negative", param="overlap")
        text = secret(self._random_bytes(ENTROPY_BYTES))
        end = now + overlap_s
        own = secrets.c.key_id == key_id
        lasts = or_(secrets.c.expires.is_(None), secrets.c.expires > end)
        with changing(self._database, now, by) as change:
            _live(change.connection, key_id)
            change.connection.execute(update(secrets).where(own, lasts).values(expires=end))
            _add_secret(change.connection, key_id, Secret(digest(text), text[-4:], now))
            change.note("key.rotate", key_id, {"last_four": text[-4:], "old_until": end})
            return _live(change.connection, key_id), text

    def revoke(self, name: str, *, now: float, by: Actor = CLI) -> int:
        """Revoke every live key of that name or id and return how many there were."""
        wanted = as_stored(name)
        known_as = (keys.c.name == wanted) | (keys.c.id == wanted)
        live = in_order(select(keys.c.id).where(known_as, keys.c.revoked.is_(None)))
        with changing(self._database, now, by) as change:
            found = list(change.connection.execute(live).scalars())
            change.connection.execute(update(keys).where(keys.c.id.in_(found)).values(revoked=now))
            for one in found:
                change.note("key.revoke", one)
            return len(found)

    def touch(self, used: Mapping[str, float]) -> None:
        """Record when keys were last used, by their ids, in one statement."""
        if not used:
            return
        earlier = or_(keys.c.last_used.is_(None), keys.c.last_used < bindparam("at"))
        each = update(keys).where(keys.c.id == bindparam("known_as"), earlier)
        # In one order, as ``in_order``, so that two processes never wait in a circle.
        values = [{"known_as": one, "at": used[one]} for one in sorted(used)]
        with self._database.write() as connection:
            connection.execute(each.values(last_used=bindparam("at")), values)

    def version(self) -> int:
        """A number that grows with every change of a key or a team."""
        with self._database.read() as connection:
            return counted(connection)

    def _add(self, change: Changing, what: str, terms: Terms, own: Secret) -> Key:
        key = Key(key_id(self._random_bytes(ID_BYTES)), terms, change.now, (own,))
        _check_team(change.connection, terms)
        values = rows.columns(terms)
        change.connection.execute(insert(keys).values(id=key.id, created=key.created, **values))
        _add_secret(change.connection, key.id, own)
        change.note(what, key.id, {**rows.given(values), "last_four": own.last_four})
        return key


def _add_secret(connection: Connection, key_id: str, one: Secret) -> None:
    connection.execute(
        insert(secrets).values(
            digest=one.digest, key_id=key_id, last_four=one.last_four, created=one.created
        )
    )


def _check_team(connection: Connection, terms: Terms) -> None:
    team = select(teams.c.id).where(teams.c.id == terms.team)
    if terms.team is not None and connection.execute(team).first() is None:
        raise InvalidRequest(f"there is no team {terms.team!r}", param="team")


def _live(connection: Connection, key_id: str) -> Key:
    """Give a key that is not revoked, or raise InvalidRequest."""
    key = next(iter(_read(connection, select(keys).where(keys.c.id == key_id))), None)
    if key is None:
        raise InvalidRequest(f"there is no key {key_id!r}")
    if key.revoked is not None:
        raise InvalidRequest(f"the key {key_id} is revoked, for good")
    return key


def _found(connection: Connection, digest: bytes) -> Key | None:
    owner = select(secrets.c.key_id).where(secrets.c.digest == digest).scalar_subquery()
    return next(iter(_read(connection, select(keys).where(keys.c.id == owner))), None)


def _read(connection: Connection, query: Select[Any]) -> list[Key]:
    """Read keys with their secrets, in two questions however many there are."""
    found = connection.execute(query.order_by(keys.c.created, keys.c.id)).all()
    wanted = select(secrets).order_by(secrets.c.created, secrets.c.digest)
    if len(found) == 1:
        wanted = wanted.where(secrets.c.key_id == found[0].id)
    own: dict[str, list[Row[Any]]] = defaultdict(list)
    for one in connection.execute(wanted) if found else ():
        own[one.key_id].append(one)
    return [rows.key_of(row, own[row.id]) for row in found]
