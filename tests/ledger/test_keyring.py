"""Checking keys: from memory, soon after a change, and at a bounded cost for wrong ones."""

import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from emblem.errors import EmblemError
from emblem.ledger.keyring import MAX_LOOKUPS, KeyRing
from emblem.ledger.secret import digest
from emblem.ledger.sqlite import SqliteLedger
from emblem.ports import Key


class Clock:
    """A clock that stands still until it is told to go on."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


class Counting:
    """A ledger that counts how often it is asked."""

    def __init__(self, ledger: SqliteLedger) -> None:
        self._ledger = ledger
        self.asked: list[str] = []
        self.broken = False

    def keys(self) -> list[Key]:
        self._count("keys")
        return self._ledger.keys()

    def find(self, digest: bytes) -> Key | None:
        self._count("find")
        return self._ledger.find(digest)

    def _count(self, what: str) -> None:
        self.asked.append(what)
        if self.broken:
            raise EmblemError("the disk is gone")

    def __getattr__(self, name: str) -> object:
        return getattr(self._ledger, name)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Counting]:
    with closing(SqliteLedger(tmp_path / "emblem.db")) as opened:
        yield Counting(opened)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_live_key_is_known_and_anything_else_is_not(ledger: Counting, clock: Clock) -> None:
    key, secret = ledger.issue("laptop", now=1.0)
    ring = KeyRing(ledger, now=clock)
    assert ring.check(secret) == key
    for wrong in ("", "sk-", secret[:-1], f"{secret} ", secret.swapcase(), "\ud800", "ключ"):
        assert ring.check(wrong) is None


def test_checks_cost_no_question_to_the_ledger(ledger: Counting, clock: Clock) -> None:
    key, secret = ledger.issue("laptop", now=1.0)
    ring = KeyRing(ledger, now=clock)
    assert {ring.check(secret) for _ in range(1000)} == {key}
    assert ledger.asked == ["keys"]


def test_a_revoked_key_stops_working_within_the_refresh_time(
    ledger: Counting, clock: Clock
) -> None:
    _, secret = ledger.issue("laptop", now=1.0)
    ring = KeyRing(ledger, now=clock, refresh_s=0.5)
    assert ring.check(secret) is not None
    ledger.revoke("laptop", now=2.0)
    clock.seconds += 0.5
    assert ring.check(secret) is None


def test_a_new_key_works_at_once(ledger: Counting, clock: Clock) -> None:
    ring = KeyRing(ledger, now=clock)
    assert ring.check("sk-wrong") is None
    key, secret = ledger.issue("laptop", now=1.0)
    assert [ring.check(secret), ring.check(secret)] == [key, key]
    assert ledger.asked == ["keys", "find", "find"]


def test_a_revoked_key_that_was_never_held_is_not_let_in(ledger: Counting, clock: Clock) -> None:
    ring = KeyRing(ledger, now=clock)
    ring.check("sk-wrong")
    _, secret = ledger.issue("laptop", now=1.0)
    ledger.revoke("laptop", now=2.0)
    assert ring.check(secret) is None


def test_a_flood_of_wrong_keys_asks_the_ledger_only_so_often(
    ledger: Counting, clock: Clock
) -> None:
    ring = KeyRing(ledger, now=clock, refresh_s=0.5)
    for number in range(500):
        assert ring.check(f"sk-{number}") is None
    assert ledger.asked == ["keys", *["find"] * MAX_LOOKUPS]


def test_a_new_key_works_within_the_refresh_time_even_during_a_flood(
    ledger: Counting, clock: Clock
) -> None:
    ring = KeyRing(ledger, now=clock, refresh_s=0.5)
    for number in range(50):
        ring.check(f"sk-{number}")
    key, secret = ledger.issue("laptop", now=1.0)
    assert ring.check(secret) is None
    clock.seconds += 0.5
    assert ring.check(secret) == key


def test_the_key_of_the_environment_is_known_by_its_hash(ledger: Counting, clock: Clock) -> None:
    ring = KeyRing(ledger, extra=[digest("sk-from-the-environment")], now=clock)
    key = ring.check("sk-from-the-environment")
    assert key is not None
    assert (key.id, key.name) == ("EMBLEM_API_KEY", "EMBLEM_API_KEY")
    assert ledger.asked == []


def test_a_ledger_that_fails_lets_nobody_in_and_is_asked_again(
    ledger: Counting, clock: Clock
) -> None:
    key, secret = ledger.issue("laptop", now=1.0)
    ring = KeyRing(ledger, now=clock, refresh_s=0.5)
    assert ring.check(secret) == key
    clock.seconds += 0.5
    ledger.broken = True
    with pytest.raises(EmblemError, match="the disk is gone"):
        ring.check(secret)
    ledger.broken = False
    assert ring.check(secret) == key


def test_threads_that_find_it_stale_read_the_ledger_once(ledger: Counting, clock: Clock) -> None:
    key, secret = ledger.issue("laptop", now=1.0)
    ring = KeyRing(ledger, now=clock)
    barrier = threading.Barrier(8)
    found: list[Key | None] = []

    def check() -> None:
        barrier.wait()
        found.append(ring.check(secret))

    threads = [threading.Thread(target=check) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [key] * 8
    assert ledger.asked == ["keys"]
