"""What is to be done once is done once, in every database and by whoever asks at the same time."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from emblem.accounts import Once, Terms
from emblem.errors import InvalidRequest, Repeated
from emblem.ledger.books import SqlLedger
from emblem.ledger.doing_once import KEPT_S

ONCE = Once(b"t" * 32, b"b" * 32)
OTHER_BODY = Once(b"t" * 32, b"c" * 32)
OTHER = Once(b"u" * 32, b"b" * 32)


def test_what_was_done_once_is_refused_again_and_what_it_made_is_named(ledger: SqlLedger) -> None:
    key, _ = ledger.keys.issue(Terms("a"), now=0.0, once=ONCE)
    before = ledger.keys.version(), ledger.audit.changes()
    for asked, same in ((ONCE, True), (OTHER_BODY, False)):
        with pytest.raises(Repeated) as caught:
            ledger.keys.issue(Terms("a"), now=KEPT_S, once=asked)
        assert (caught.value.subject, caught.value.same) == (key.id, same)
    assert (ledger.keys.version(), ledger.audit.changes()) == before
    ledger.keys.issue(Terms("a"), now=1.0, once=OTHER)
    ledger.keys.issue(Terms("a"), now=1.0)
    assert len(ledger.keys.every()) == 3


def test_after_a_day_it_may_be_done_again_and_is_known_by_the_new_one(ledger: SqlLedger) -> None:
    ledger.keys.issue(Terms("a"), now=0.0, once=ONCE)
    again, _ = ledger.keys.issue(Terms("a"), now=KEPT_S + 1, once=OTHER_BODY)
    with pytest.raises(Repeated) as caught:
        ledger.keys.issue(Terms("a"), now=KEPT_S + 2, once=OTHER_BODY)
    assert (caught.value.subject, caught.value.same) == (again.id, True)


def test_what_was_refused_was_not_done(ledger: SqlLedger) -> None:
    ledger.teams.create("taken", now=0.0)
    with pytest.raises(InvalidRequest):
        ledger.teams.create("taken", now=0.0, once=ONCE)
    team = ledger.teams.create("free", now=0.0, once=ONCE)
    with pytest.raises(Repeated) as caught:
        ledger.teams.create("free", now=0.0, once=ONCE)
    assert caught.value.subject == team.id


def test_of_many_that_ask_at_once_one_makes_it(opened: Callable[[], SqlLedger]) -> None:
    ledgers = [opened(), opened()]

    def ask(number: int) -> str:
        try:
            return ledgers[number % 2].keys.issue(Terms("a"), now=0.0, once=ONCE)[0].id
        except Repeated as before:
            return before.subject

    with ThreadPoolExecutor(8) as threads:
        ids = set(threads.map(ask, range(24)))
    assert ids == {key.id for key in ledgers[0].keys.every()}
    assert len(ids) == 1
