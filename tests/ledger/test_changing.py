"""Who may still change keys and teams by the time that the change is made."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from emblem.accounts import Actor, Key, Role, Terms
from emblem.errors import NoLongerAllowed
from emblem.ledger.books import SqlLedger

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


@pytest.mark.parametrize("who", ["cli", "EMBLEM_API_KEY"])
def test_who_is_in_no_table_may_change_whatever_was_asked_for(ledger: SqlLedger, who: str) -> None:
    ledger.keys.issue(BOSS, now=1.0, by=Actor(who))
    assert len(ledger.keys.every()) == 1
