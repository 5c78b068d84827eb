"""What every ledger does. Another one joins by a line in ``LEDGERS``."""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from emblem.errors import InvalidRequest
from emblem.ledger.sqlite import SqliteLedger
from emblem.ports import Key, Ledger

LEDGERS: dict[str, Callable[[Path], Ledger]] = {
    "sqlite": lambda folder: SqliteLedger(folder / "emblem.db"),
}


@pytest.fixture(params=LEDGERS)
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], Ledger]]:
    """Open the same ledger, as often as asked."""
    ledgers: list[Ledger] = []

    def open_one() -> Ledger:
        ledgers.append(LEDGERS[request.param](tmp_path))
        return ledgers[-1]

    yield open_one
    for ledger in ledgers:
        ledger.close()


@pytest.fixture
def ledger(opened: Callable[[], Ledger]) -> Ledger:
    return opened()


def listed(ledger: Ledger) -> list[Key]:
    return ledger.keys()


def test_a_new_ledger_is_empty(ledger: Ledger) -> None:
    assert ledger.keys() == []
    assert ledger.spaces() == {}
    assert ledger.find(b"\0" * 32) is None


def test_an_issued_key_is_found_by_its_digest(ledger: Ledger) -> None:
    key, secret = ledger.issue("laptop", now=12.5)
    assert key.digest == hashlib.sha256(secret.encode()).digest()
    assert (key.name, key.last_four, key.created, key.revoked) == (
        "laptop",
        secret[-4:],
        12.5,
        None,
    )
    assert ledger.find(key.digest) == key
    assert ledger.keys() == [key]


def test_no_two_keys_are_alike(ledger: Ledger) -> None:
    issued = [ledger.issue("same", now=1.0) for _ in range(20)]
    assert len({key.id for key, _ in issued}) == 20
    assert len({secret for _, secret in issued}) == 20


def test_keys_are_listed_oldest_first(ledger: Ledger) -> None:
    for now in (3.0, 1.0, 2.0):
        ledger.issue(f"at {now}", now=now)
    assert [key.name for key in listed(ledger)] == ["at 1.0", "at 2.0", "at 3.0"]


@pytest.mark.parametrize("given", ["", "   ", "x" * 65, "a\nb", "a\u202eb", "key_0123456789abcdef"])
def test_a_name_that_cannot_be_one_is_refused(ledger: Ledger, given: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        ledger.issue(given, now=1.0)
    assert caught.value.param == "name"
    assert len(str(caught.value).splitlines()) == 1
    assert ledger.keys() == []


def test_a_name_is_trimmed_and_may_be_64_characters_of_any_script(ledger: Ledger) -> None:
    assert ledger.issue(f" {'鍵' * 64} ", now=1.0)[0].name == "鍵" * 64


def test_revoking_by_name_revokes_every_live_key_of_that_name(ledger: Ledger) -> None:
    first, _ = ledger.issue("ci", now=1.0)
    second, _ = ledger.issue("ci", now=2.0)
    other, _ = ledger.issue("laptop", now=3.0)
    assert ledger.revoke("ci", now=9.0) == 2
    assert {key.id: key.revoked for key in listed(ledger)} == {
        first.id: 9.0,
        second.id: 9.0,
        other.id: None,
    }


def test_revoking_by_id_revokes_one_key(ledger: Ledger) -> None:
    first, _ = ledger.issue("ci", now=1.0)
    second, _ = ledger.issue("ci", now=2.0)
    assert ledger.revoke(first.id, now=9.0) == 1
    assert [key.revoked for key in listed(ledger)] == [9.0, None]
    assert ledger.find(second.digest) == second


def test_revoking_twice_keeps_the_first_time(ledger: Ledger) -> None:
    key, _ = ledger.issue("ci", now=1.0)
    assert [ledger.revoke("ci", now=8.0), ledger.revoke("ci", now=9.0)] == [1, 0]
    found = ledger.find(key.digest)
    assert found is not None
    assert found.revoked == 8.0


def test_a_name_matches_however_its_accents_are_typed(ledger: Ledger) -> None:
    ledger.issue("cafe\u0301", now=1.0)
    assert ledger.revoke(" caf\u00e9 ", now=2.0) == 1


@pytest.mark.parametrize("name", ["' OR 1=1 --", "%", "_", "nobody", ""])
def test_a_name_is_compared_and_never_interpreted(ledger: Ledger, name: str) -> None:
    key, _ = ledger.issue("laptop", now=1.0)
    assert ledger.revoke(name, now=2.0) == 0
    assert ledger.keys() == [key]


def test_the_first_space_that_a_name_serves_stays(ledger: Ledger) -> None:
    ledger.bind("model", "sha256:1", "model@1/384", now=1.0)
    ledger.bind("model", "sha256:2", "model@2/384", now=2.0)
    ledger.bind("other", "sha256:2", "other@2/384", now=3.0)
    assert ledger.spaces() == {
        "model": ("sha256:1", "model@1/384"),
        "other": ("sha256:2", "other@2/384"),
    }


def test_a_name_that_was_unbound_can_be_bound_again(ledger: Ledger) -> None:
    ledger.bind("model", "sha256:1", "model@1/384", now=1.0)
    assert [ledger.unbind("model"), ledger.unbind("model")] == [True, False]
    ledger.bind("model", "sha256:2", "model@2/384", now=2.0)
    assert ledger.spaces() == {"model": ("sha256:2", "model@2/384")}


def test_what_one_process_writes_another_reads(opened: Callable[[], Ledger]) -> None:
    writer, reader = opened(), opened()
    key, _ = writer.issue("laptop", now=1.0)
    writer.bind("model", "sha256:1", "model@1/384", now=1.0)
    assert reader.keys() == [key]
    assert reader.spaces() == writer.spaces()
    reader.revoke("laptop", now=2.0)
    assert writer.keys() == reader.keys()


def test_what_was_written_is_there_after_closing(opened: Callable[[], Ledger]) -> None:
    first = opened()
    key, _ = first.issue("laptop", now=1.0)
    first.close()
    assert opened().find(key.digest) == key
