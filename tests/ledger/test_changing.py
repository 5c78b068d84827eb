"""Who may still change keys and teams by the time that the change is made."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from sqlalchemy import bindparam, text, update

from emblem.accounts import Actor, Key, Role, Terms
from emblem.errors import NoLongerAllowed
from emblem.ledger.books import SqlLedger
from emblem.ledger.schema import keys
from emblem.ledger.secret import digest

BOSS = Terms("boss", role=Role.ADMIN)


def revoke(ledger: SqlLedger, boss: Key) -> None:
    ledger.keys.revoke(boss.id, now=2.0)


def demote(ledger: SqlLedger, boss: Key) -> None:
    ledger.keys.change(boss.id, lambda terms: replace(terms, role=Role.READ), now=2.0)


def end(ledger: SqlLedger, boss: Key) -> None:
    ledger.keys.change(boss.id, lambda terms: replace(terms, expires=3.0), now=2.0)


CHANGES: dict[str, Callable[[SqlLedger, str, Actor], object]] = {
    "issue": lambda ledger, key, by: ledger.keys.issue(Terms("door"), now=3.0, by=by),
    "adopt": lambda ledger, key, by: ledger.keys.adopt(
        Terms("door"), bytes(32), "door", now=3.0, by=by
    ),
    "change": lambda ledger, key, by: ledger.keys.change(
        key, lambda terms: replace(terms, role=Role.ADMIN), now=3.0, by=by
    ),
    "rotate": lambda ledger, key, by: ledger.keys.rotate(key, overlap_s=0.0, now=3.0, by=by),
    "revoke": lambda ledger, key, by: ledger.keys.revoke(key, now=3.0, by=by),
    "team": lambda ledger, key, by: ledger.teams.create("door", now=3.0, by=by),
}


@pytest.mark.parametrize("fall", [revoke, demote, end])
def test_who_is_no_administrator_any_more_changes_nothing(
    ledger: SqlLedger, fall: Callable[[SqlLedger, Key], None]
) -> None:
    boss, _ = ledger.keys.issue(BOSS, now=1.0)
    other, _ = ledger.keys.issue(Terms("other"), now=1.0, by=Actor(boss.id))
    fall(ledger, boss)
    before = (ledger.keys.every(), ledger.teams.every(), ledger.audit.changes())
    for name, change in CHANGES.items():
        with pytest.raises(NoLongerAllowed):
            change(ledger, other.id, Actor(boss.id))
        assert (ledger.keys.every(), ledger.teams.every(), ledger.audit.changes()) == before, name


def test_whose_secret_was_replaced_while_they_asked_changes_nothing(ledger: SqlLedger) -> None:
    boss, old = ledger.keys.issue(BOSS, now=1.0)
    other, _ = ledger.keys.issue(Terms("other"), now=1.0, by=Actor(boss.id, "", digest(old)))
    _, new = ledger.keys.rotate(boss.id, overlap_s=2.0, now=1.0)
    ledger.teams.create("in the overlap", now=2.9, by=Actor(boss.id, "", digest(old)))
    foreign = [digest(old), digest("sk-nobody's"), digest(ledger.keys.issue(BOSS, now=1.0)[1])]
    before = (ledger.keys.every(), ledger.teams.every(), ledger.audit.changes())
    for name, change in CHANGES.items():
        for one in foreign:
            with pytest.raises(NoLongerAllowed):
                change(ledger, other.id, Actor(boss.id, "", one))
        assert (ledger.keys.every(), ledger.teams.every(), ledger.audit.changes()) == before, name
    ledger.teams.create("later", now=3.0, by=Actor(boss.id, "", digest(new)))


@pytest.mark.parametrize("who", ["cli", "EMBLEM_API_KEY"])
def test_who_is_in_no_table_may_change_whatever_was_asked_for(ledger: SqlLedger, who: str) -> None:
    ledger.keys.issue(BOSS, now=1.0, by=Actor(who))
    assert len(ledger.keys.every()) == 1


@pytest.mark.parametrize("change", ["revoke", "delete"])
def test_who_changes_many_keys_and_who_touches_them_never_wait_in_a_circle(
    opened: Callable[[], SqlLedger], change: str
) -> None:
    """One holds the first key by its id, and takes the others once the change waits for it."""
    ledger, other = opened(), opened()
    if ledger.database.is_sqlite:
        pytest.skip("SQLite has one writer")
    team = ledger.teams.create("search", now=1.0)
    # The table has them in another order than that of their ids.
    ids = sorted(
        (ledger.keys.issue(Terms("same", team=team.id), now=1.0)[0].id for _ in range(12)),
        reverse=True,
    )
    if change == "delete":
        ledger.keys.revoke("same", now=1.5)
    with ledger.database.write() as connection:
        for one in ids:
            connection.execute(update(keys).where(keys.c.id == one).values(last_used=1.0))
    pool = ThreadPoolExecutor(1)
    with other.database.write() as connection:
        touch = update(keys).where(keys.c.id == bindparam("one")).values(last_used=2.0)
        connection.execute(touch, {"one": min(ids)})
        mine = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
        if change == "revoke":
            done = pool.submit(ledger.keys.revoke, "same", now=2.0)
        else:
            done = pool.submit(ledger.teams.delete, team.id, now=2.0)
        until = time.monotonic() + 20
        blocked = text(
            "SELECT count(*) FROM pg_stat_activity WHERE :mine = ANY(pg_blocking_pids(pid))"
        )
        while not connection.execute(blocked, {"mine": mine}).scalar_one():
            assert time.monotonic() < until
            connection.execute(text("SELECT pg_sleep(0.01), pg_stat_clear_snapshot()"))
        for one in sorted(ids)[1:]:
            connection.execute(touch, {"one": one})
    done.result(timeout=20)
    assert all(key.last_used == 2.0 for key in ledger.keys.every())
