"""Checking keys: from memory, soon after a change, and at a bounded cost for wrong ones."""

import asyncio
import hmac
import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from functools import partial

import pytest
from sqlalchemy import text

from emblem.accounts import Key, Quota, Role, Terms
from emblem.errors import LedgerUnavailable
from emblem.ledger.books import SqlLedger
from emblem.ledger.keyring import HOLD_S, MAX_LOOKUPS, REREAD_S, SAVE_S, KeyRing
from emblem.ledger.secret import digest

LAPTOP = Terms("laptop")


class Clock:
    """A clock that stands still until it is told to go on."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


class Gate:
    """Stands before a method: counts its calls, and makes them fail when told so."""

    def __init__(self, passed: Callable[..., object]) -> None:
        self._passed = passed
        self.calls = 0
        self.broken = False

    def __call__(self, *given: object) -> object:
        self.calls += 1
        if self.broken:
            raise LedgerUnavailable("the disk is gone")
        return self._passed(*given)


@pytest.fixture
def versions(file_ledger: SqlLedger, monkeypatch: pytest.MonkeyPatch) -> Gate:
    gate = Gate(file_ledger.keys.version)
    monkeypatch.setattr(file_ledger.keys, "version", gate)
    return gate


@pytest.fixture
def readings(file_ledger: SqlLedger, monkeypatch: pytest.MonkeyPatch) -> Gate:
    gate = Gate(file_ledger.keys.every)
    monkeypatch.setattr(file_ledger.keys, "every", gate)
    return gate


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ring(file_ledger: SqlLedger, clock: Clock) -> KeyRing:
    """A ring that has read the ledger once, and looks again only when a test says so."""
    ring = KeyRing(file_ledger, clock=clock, now=clock)
    ring.refresh()
    return ring


def test_a_live_key_is_known_and_anything_else_is_not(
    file_ledger: SqlLedger, ring: KeyRing
) -> None:
    key, secret = file_ledger.keys.issue(LAPTOP, now=1.0)
    ring.refresh()
    assert ring.check(secret) == key
    for wrong in ("", "sk-", secret[:-1], f"{secret} ", secret.swapcase(), "\ud800", "ключ"):
        assert ring.check(wrong) is None


def test_a_guess_is_compared_with_no_key_however_near_it_comes(
    file_ledger: SqlLedger, ring: KeyRing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A secret is looked for by its SHA-256, which says nothing of how near it is to another."""
    _, secret = file_ledger.keys.issue(LAPTOP, now=100.0)
    ring.refresh()
    compared: list[tuple[bytes, bytes]] = []
    real = hmac.compare_digest

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return real(one, other)

    monkeypatch.setattr(hmac, "compare_digest", compare)
    for guess in (secret[:-1] + ("A" if secret[-1] != "A" else "B"), secret[:-1], secret + "A"):
        assert ring.check(guess) is None
    assert compared == []
    assert ring.check(secret)
    assert compared == [(digest(secret), digest(secret))]  # and that in constant time


def test_checks_cost_no_question_to_the_ledger(
    file_ledger: SqlLedger, ring: KeyRing, versions: Gate, readings: Gate
) -> None:
    key, secret = file_ledger.keys.issue(LAPTOP, now=1.0)
    ring.refresh()
    assert {ring.check(secret) for _ in range(1000)} == {key}
    assert {ring.check("sk-wrong") for _ in range(1000)} == {None}
    assert (versions.calls, readings.calls) == (1, 1)


def test_keys_are_read_again_only_when_something_has_changed(
    file_ledger: SqlLedger, ring: KeyRing, clock: Clock, versions: Gate, readings: Gate
) -> None:
    for _ in range(10):
        ring.refresh()
    assert (versions.calls, readings.calls) == (10, 0)
    file_ledger.keys.issue(LAPTOP, now=1.0)
    ring.refresh()
    ring.refresh()
    assert readings.calls == 1


def test_what_somebody_changed_past_the_books_is_seen_in_the_end(
    file_ledger: SqlLedger, ring: KeyRing, clock: Clock
) -> None:
    _, secret = file_ledger.keys.issue(LAPTOP, now=1.0)
    ring.refresh()
    with file_ledger.database.write() as connection:
        connection.execute(text("UPDATE keys SET revoked = 2.0"))
    ring.refresh()
    assert ring.check(secret) is not None
    clock.seconds += REREAD_S
    ring.refresh()
    assert ring.check(secret) is None


def test_a_revoked_key_stops_working_with_the_next_look(
    file_ledger: SqlLedger, ring: KeyRing
) -> None:
    _, secret = file_ledger.keys.issue(LAPTOP, now=1.0)
    ring.refresh()
    assert ring.check(secret) is not None
    file_ledger.keys.revoke("laptop", now=2.0)
    ring.refresh()
    assert ring.check(secret) is None


def test_a_key_expires_to_the_second_without_a_look(
    file_ledger: SqlLedger, ring: KeyRing, clock: Clock, versions: Gate
) -> None:
    _, secret = file_ledger.keys.issue(replace(LAPTOP, expires=110.0), now=1.0)
    ring.refresh()
    for seconds, works in ((109.999, True), (110.0, False), (111.0, False)):
        clock.seconds = seconds
        assert (ring.check(secret) is not None) is works
    assert versions.calls == 1


def test_the_old_secret_of_a_rotated_key_ends_with_its_overlap(
    file_ledger: SqlLedger, ring: KeyRing, clock: Clock
) -> None:
    key, old = file_ledger.keys.issue(LAPTOP, now=1.0)
    _, new = file_ledger.keys.rotate(key.id, overlap_s=10.0, now=100.0)
    ring.refresh()
    both = [ring.check(one) for one in (old, new)]
    assert [one and one.id for one in both] == [key.id, key.id]
    clock.seconds = 110.0
    after = [ring.check(one) for one in (old, new)]
    assert [one and one.id for one in after] == [None, key.id]


def test_changed_terms_come_with_the_key_and_its_team(
    file_ledger: SqlLedger, ring: KeyRing
) -> None:
    team = file_ledger.teams.create("search", now=1.0)
    key, secret = file_ledger.keys.issue(LAPTOP, now=1.0)
    ring.refresh()
    assert ring.team(key) is None
    terms = replace(LAPTOP, team=team.id, quota=Quota(60))
    file_ledger.keys.change(key.id, lambda _: terms, now=2.0)
    ring.refresh()
    found = ring.check(secret)
    assert found is not None
    assert (found.terms, ring.team(found)) == (terms, team)
    changed = file_ledger.teams.change(team.id, lambda team: replace(team, quota=Quota(5)), now=3.0)
    ring.refresh()
    assert ring.team(found) == changed


def test_a_key_is_never_without_the_team_that_was_made_for_it(
    file_ledger: SqlLedger, ring: KeyRing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both are made between the two readings of one look."""
    made: list[str] = []

    def make() -> None:
        monkeypatch.undo()
        team = file_ledger.teams.create("search", quota=Quota(5), now=1.0)
        made.append(file_ledger.keys.issue(replace(LAPTOP, team=team.id), now=1.0)[1])

    for book in (file_ledger.keys, file_ledger.teams):

        def between(every: Callable[[], object] = book.every) -> object:
            found = every()
            if not made:
                make()
            return found

        monkeypatch.setattr(book, "every", between)
    file_ledger.keys.issue(LAPTOP, now=1.0)
    ring.refresh()
    key = ring.check(made[0])
    assert key is None or ring.team(key) is not None
    ring.refresh()
    key = ring.check(made[0])
    assert key is not None
    team = ring.team(key)
    assert team is not None
    assert team.quota == Quota(5)


def test_a_key_whose_team_is_not_known_is_not_let_in(ring: KeyRing) -> None:
    key = Key("key_1", replace(LAPTOP, team="team_1"), 0.0)
    with pytest.raises(LedgerUnavailable, match="team"):
        ring.team(key)


def test_a_new_key_works_at_once(file_ledger: SqlLedger, ring: KeyRing) -> None:
    key, secret = file_ledger.keys.issue(LAPTOP, now=1.0)
    assert ring.check(secret) is None
    assert asyncio.run(ring.look_up(secret)) == key
    assert ring.check(secret) == key


def test_a_flood_of_wrong_keys_asks_the_ledger_only_so_often(
    ring: KeyRing, versions: Gate, readings: Gate
) -> None:
    async def flood() -> None:
        for number in range(500):
            assert await ring.look_up(f"sk-{number}") is None

    asyncio.run(flood())
    assert (versions.calls, readings.calls) == (MAX_LOOKUPS, 0)


def test_the_key_of_the_environment_is_an_administrator_s_whatever_the_ledger_says(
    file_ledger: SqlLedger, clock: Clock
) -> None:
    ring = KeyRing(file_ledger, [digest("sk-from-the-environment")], clock=clock, now=clock)
    for _ in range(2):
        key = ring.check("sk-from-the-environment")
        assert key is not None
        assert (key.id, key.terms.role) == ("EMBLEM_API_KEY", Role.ADMIN)
        ring.refresh()


def test_before_the_keys_are_read_nobody_is_let_in(file_ledger: SqlLedger, clock: Clock) -> None:
    _, secret = file_ledger.keys.issue(LAPTOP, now=1.0)
    ring = KeyRing(file_ledger, clock=clock, now=clock)
    assert ring.check(secret) is None


def test_while_the_ledger_is_away_known_keys_work_for_a_while(
    file_ledger: SqlLedger, ring: KeyRing, clock: Clock, versions: Gate
) -> None:
    key, secret = file_ledger.keys.issue(LAPTOP, now=1.0)
    ring.refresh()
    versions.broken = True
    clock.seconds += HOLD_S
    with pytest.raises(LedgerUnavailable):
        ring.refresh()
    assert ring.check(secret) == key
    clock.seconds += 0.1
    with pytest.raises(LedgerUnavailable, match="the disk is gone"):
        ring.check(secret)
    versions.broken = False
    ring.refresh()
    assert ring.check(secret) == key


def test_while_the_ledger_is_away_an_unknown_key_is_not_said_to_be_wrong(
    ring: KeyRing, versions: Gate
) -> None:
    versions.broken = True

    async def ask() -> None:
        for _ in range(MAX_LOOKUPS + 3):
            with pytest.raises(LedgerUnavailable, match="the disk is gone"):
                await ring.look_up("sk-perhaps")

    asyncio.run(ask())
    assert versions.calls == MAX_LOOKUPS


def test_last_used_is_saved_now_and_then_and_only_what_is_new(
    file_ledger: SqlLedger, ring: KeyRing, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch = Gate(file_ledger.keys.touch)
    monkeypatch.setattr(file_ledger.keys, "touch", touch)
    key, _ = file_ledger.keys.issue(LAPTOP, now=1.0)
    ring.refresh()

    def last_used() -> float | None:
        found = file_ledger.keys.get(key.id)
        assert found is not None
        return found.last_used

    ring.used(key)
    ring.save_used()
    assert last_used() == 100.0
    clock.seconds += SAVE_S / 2
    ring.used(key)
    ring.save_used()
    assert (last_used(), touch.calls) == (100.0, 1)
    ring.save_used(at_once=True)
    assert last_used() == 105.0
    ring.used(Key("user:ann", LAPTOP, 0.0))  # who came through a proxy
    touch.broken = True
    clock.seconds += SAVE_S
    ring.used(key)
    with pytest.raises(LedgerUnavailable):
        ring.save_used()
    touch.broken = False
    ring.save_used(at_once=True)
    assert last_used() == 115.0


def test_an_open_ring_follows_the_ledger_by_itself_and_saves_when_it_closes(
    file_ledger: SqlLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, secret = file_ledger.keys.issue(LAPTOP, now=1.0)
    looked = threading.Semaphore(0)
    version = file_ledger.keys.version

    def counted() -> int:
        looked.release()
        return version()

    monkeypatch.setattr(file_ledger.keys, "version", counted)
    with closing(KeyRing(file_ledger, refresh_s=0.01)) as ring:
        ring.open()
        assert ring.check(secret) == key
        ring.used(key)
        file_ledger.keys.revoke("laptop", now=2.0)
        for _ in range(looked._value + 2):  # the second look from here on began after the change
            assert looked.acquire(timeout=10)
        assert ring.check(secret) is None
    assert file_ledger.keys.every()[0].last_used is not None


def test_the_thread_says_once_that_the_ledger_is_away_and_once_that_it_is_back(
    file_ledger: SqlLedger, versions: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    _, secret = file_ledger.keys.issue(LAPTOP, now=1.0)
    with closing(KeyRing(file_ledger, refresh_s=0.001)) as ring:
        ring.open()
        versions.broken = True
        _until(lambda: "the disk is gone" in caplog.text)
        calls = versions.calls
        _until(lambda: versions.calls > calls + 5)
        versions.broken = False
        _until(lambda: "can be read again" in caplog.text)
        assert ring.check(secret) is not None
    assert caplog.text.count("the disk is gone") == 1
    assert secret not in caplog.text


def test_a_ring_that_cannot_read_at_the_start_says_so(
    file_ledger: SqlLedger, versions: Gate
) -> None:
    versions.broken = True
    with pytest.raises(LedgerUnavailable, match="the disk is gone"):
        KeyRing(file_ledger).open()


def _until(true: Callable[[], bool]) -> None:
    """Wait for what a thread does, within ten seconds."""
    pause = threading.Event()
    for _ in range(10_000):
        if true():
            return
        pause.wait(0.001)
    pytest.fail("it did not happen")


def test_a_limit_of_a_day_or_a_month_that_was_lacking_is_told_of(
    file_ledger: SqlLedger, ring: KeyRing
) -> None:
    told: list[int] = []
    ring.on_new_limits = lambda: told.append(1)
    keys, teams = file_ledger.keys, file_ledger.teams
    key, _ = keys.issue(LAPTOP, now=1.0)
    keys.issue(Terms("new", quota=Quota(tokens_per_day=5)), now=1.0)
    team = teams.create("ours", now=1.0)
    ring.refresh()
    assert not told, "what is new has used nothing"
    for quota, calls in (
        (Quota(tokens_per_minute=5), 0),
        (Quota(tokens_per_day=5), 1),
        (Quota(tokens_per_day=4), 1),
        (Quota(tokens_per_day=4, cost_per_month=3), 2),
        (Quota(), 2),
        (Quota(cost_per_month=3), 3),
    ):
        keys.change(key.id, partial(replace, quota=quota), now=2.0)
        ring.refresh()
        assert len(told) == calls
    teams.change(team.id, partial(replace, quota=Quota(tokens_per_day=5)), now=2.0)
    ring.refresh()
    assert len(told) == 4
