"""The audit looked through by who, what, which and when, in every database."""

from math import inf

import pytest

from emblem.accounts import Actor, ChangesWanted, Terms
from emblem.ledger.books import SqlLedger


@pytest.fixture
def ids(ledger: SqlLedger) -> tuple[str, str]:
    """A key made at 1 and revoked at 3, a team made at 2; by three people."""
    key, _ = ledger.keys.issue(Terms("a"), now=1.0, by=Actor("ann", "::1"))
    team = ledger.teams.create("search", now=2.0, by=Actor("bob"))
    ledger.keys.revoke(key.id, now=3.0)
    return key.id, team.id


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (ChangesWanted(), ["key.revoke", "team.create", "key.create"]),
        (ChangesWanted(who="ann"), ["key.create"]),
        (ChangesWanted(what="key"), ["key.revoke", "key.create"]),
        (ChangesWanted(what="key.create"), ["key.create"]),
        (ChangesWanted(what="key.cre"), []),
        (ChangesWanted(what="%"), []),
        (ChangesWanted(what="___"), []),
        (ChangesWanted(since=2.0), ["key.revoke", "team.create"]),
        (ChangesWanted(until=2.0), ["key.create"]),
        (ChangesWanted(since=1.0, until=inf, who="cli"), ["key.revoke"]),
        (ChangesWanted(who="' OR 1=1 --"), []),
    ],
)
def test_lines_are_found_by_what_they_say(
    ledger: SqlLedger, ids: tuple[str, str], wanted: ChangesWanted, expected: list[str]
) -> None:
    assert [one.what for one in ledger.audit.changes(wanted=wanted)] == expected


def test_lines_of_one_thing_are_found_and_paged(ledger: SqlLedger, ids: tuple[str, str]) -> None:
    of_the_key = ChangesWanted(subject=ids[0])
    (newest,) = ledger.audit.changes(limit=1, wanted=of_the_key)
    (older,) = ledger.audit.changes(before=newest.id, wanted=of_the_key)
    assert (newest.what, older.what, older.source) == ("key.revoke", "key.create", "::1")
