"""What every ledger does with keys, in every database."""

import hashlib
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from emblem.accounts import Actor, Key, Quota, Role, Terms
from emblem.errors import InvalidRequest
from emblem.ledger.books import SqlLedger
from emblem.types import Lane

FULL = Terms(
    name="laptop",
    owner="ann",
    role=Role.READ,
    expires=9e9,
    models=("bge-*", "all-MiniLM-L6-v2"),
    sources=("10.0.0.0/8", "2001:db8::/32"),
    quota=Quota(60, 100_000, 5_000_000, 12_500_000_000),
    priority=Lane.BULK,
)


def named(name: str = "laptop") -> Terms:
    return Terms(name)


def test_a_new_ledger_has_no_key(ledger: SqlLedger) -> None:
    assert ledger.keys.every() == []
    assert ledger.keys.find(b"\0" * 32) is None
    assert ledger.keys.get("key_0123456789abcdef") is None


def test_an_issued_key_is_found_by_its_hash_and_its_id(ledger: SqlLedger) -> None:
    key, secret = ledger.keys.issue(named(), now=12.5)
    own = key.secrets[0]
    assert own.digest == hashlib.sha256(secret.encode()).digest()
    assert (own.last_four, own.created, own.expires) == (secret[-4:], 12.5, None)
    assert (key.terms, key.created, key.revoked, key.last_used) == (named(), 12.5, None, None)
    assert ledger.keys.find(own.digest) == key
    assert ledger.keys.get(key.id) == key
    assert ledger.keys.every() == [key]


def test_all_of_a_key_s_terms_are_kept(ledger: SqlLedger) -> None:
    team = ledger.teams.create("search", now=1.0)
    terms = replace(FULL, team=team.id)
    key, _ = ledger.keys.issue(terms, now=1.0)
    assert key.terms == terms
    assert ledger.keys.every() == [key]


def test_no_two_keys_are_alike(ledger: SqlLedger) -> None:
    issued = [ledger.keys.issue(named("same"), now=1.0) for _ in range(20)]
    assert len({key.id for key, _ in issued}) == 20
    assert len({secret for _, secret in issued}) == 20


def test_keys_are_listed_oldest_first(ledger: SqlLedger) -> None:
    for now in (3.0, 1.0, 2.0):
        ledger.keys.issue(named(f"at {now}"), now=now)
    assert [key.terms.name for key in ledger.keys.every()] == ["at 1.0", "at 2.0", "at 3.0"]


@pytest.mark.parametrize("given", ["", "   ", "x" * 65, "a\nb", "a\u202eb", "key_0123456789abcdef"])
def test_a_name_that_cannot_be_one_is_refused(ledger: SqlLedger, given: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        ledger.keys.issue(named(given), now=1.0)
    assert caught.value.param == "name"
    assert len(str(caught.value).splitlines()) == 1
    assert ledger.keys.every() == []


def test_a_name_is_trimmed_and_may_be_64_characters_of_any_script(ledger: SqlLedger) -> None:
    key, _ = ledger.keys.issue(named(f" {'鍵' * 64} "), now=1.0)
    assert key.terms.name == "鍵" * 64
    assert ledger.keys.every() == [key]


def test_a_name_that_is_no_text_is_refused_without_a_traceback(ledger: SqlLedger) -> None:
    with pytest.raises(InvalidRequest):
        ledger.keys.issue(named("\udcff"), now=1.0)
    with pytest.raises(InvalidRequest, match="valid text"):
        ledger.keys.revoke("\udcff", now=1.0)


def test_a_key_of_a_team_that_is_not_there_is_refused(ledger: SqlLedger) -> None:
    with pytest.raises(InvalidRequest, match="no team 'team_no'"):
        ledger.keys.issue(Terms("x", team="team_no"), now=1.0)
    assert ledger.keys.every() == []
    assert ledger.audit.changes() == []


def test_changed_terms_are_kept_and_the_secret_stays(ledger: SqlLedger) -> None:
    key, _ = ledger.keys.issue(named(), now=1.0)
    changed = ledger.keys.change(key.id, lambda _: FULL, now=2.0)
    assert changed == replace(key, terms=FULL)
    assert ledger.keys.every() == [changed]
    back = ledger.keys.change(key.id, lambda _: named(), now=3.0)
    assert back == key


def test_what_is_revoked_or_unknown_cannot_be_changed(ledger: SqlLedger) -> None:
    key, _ = ledger.keys.issue(named(), now=1.0)
    ledger.keys.revoke(key.id, now=2.0)
    with pytest.raises(InvalidRequest, match="revoked, for good"):
        ledger.keys.change(key.id, lambda _: FULL, now=3.0)
    with pytest.raises(InvalidRequest, match="revoked, for good"):
        ledger.keys.rotate(key.id, overlap_s=1.0, now=3.0)
    with pytest.raises(InvalidRequest, match="no key 'key_no'"):
        ledger.keys.change("key_no", lambda _: FULL, now=3.0)


def test_a_rotated_key_has_two_secrets_and_the_old_one_an_end(ledger: SqlLedger) -> None:
    key, old = ledger.keys.issue(named(), now=1.0)
    rotated, new = ledger.keys.rotate(key.id, overlap_s=60.0, now=10.0)
    assert rotated.id == key.id
    assert new != old
    assert [(one.last_four, one.created, one.expires) for one in rotated.secrets] == [
        (old[-4:], 1.0, 70.0),
        (new[-4:], 10.0, None),
    ]
    for secret in (old, new):
        assert ledger.keys.find(hashlib.sha256(secret.encode()).digest()) == rotated


def test_rotating_again_never_lengthens_the_life_of_a_secret(ledger: SqlLedger) -> None:
    key, _ = ledger.keys.issue(named(), now=1.0)
    ledger.keys.rotate(key.id, overlap_s=60.0, now=10.0)
    rotated, _ = ledger.keys.rotate(key.id, overlap_s=3600.0, now=20.0)
    assert [one.expires for one in rotated.secrets] == [70.0, 3620.0, None]
    rotated, _ = ledger.keys.rotate(key.id, overlap_s=0.0, now=30.0)
    assert [one.expires for one in rotated.secrets] == [30.0, 30.0, 30.0, None]


@pytest.mark.parametrize("overlap", [-1.0, float("inf"), float("nan")])
def test_an_overlap_that_makes_no_sense_is_refused(ledger: SqlLedger, overlap: float) -> None:
    key, _ = ledger.keys.issue(named(), now=1.0)
    with pytest.raises(InvalidRequest):
        ledger.keys.rotate(key.id, overlap_s=overlap, now=2.0)
    assert ledger.keys.every() == [key]


def test_a_secret_that_was_made_elsewhere_opens_the_key_that_adopts_it(ledger: SqlLedger) -> None:
    digest = hashlib.sha256(b"sk-from-elsewhere").digest()
    key = ledger.keys.adopt(FULL, digest, "here", now=1.0)
    assert (key.terms, key.secrets[0].last_four) == (FULL, "here")
    assert ledger.keys.find(digest) == key
    with pytest.raises(InvalidRequest, match="opens a key already"):
        ledger.keys.adopt(named(), digest, "here", now=2.0)
    with pytest.raises(InvalidRequest, match="SHA-256"):
        ledger.keys.adopt(named(), b"short", "here", now=2.0)
    assert ledger.keys.every() == [key]


def test_revoking_by_name_revokes_every_live_key_of_that_name(ledger: SqlLedger) -> None:
    first, _ = ledger.keys.issue(named("ci"), now=1.0)
    second, _ = ledger.keys.issue(named("ci"), now=2.0)
    other, _ = ledger.keys.issue(named(), now=3.0)
    assert ledger.keys.revoke("ci", now=9.0) == 2
    assert {key.id: key.revoked for key in ledger.keys.every()} == {
        first.id: 9.0,
        second.id: 9.0,
        other.id: None,
    }


def test_revoking_by_id_revokes_one_key(ledger: SqlLedger) -> None:
    first, _ = ledger.keys.issue(named("ci"), now=1.0)
    ledger.keys.issue(named("ci"), now=2.0)
    assert ledger.keys.revoke(first.id, now=9.0) == 1
    assert [key.revoked for key in ledger.keys.every()] == [9.0, None]


def test_revoking_twice_keeps_the_first_time(ledger: SqlLedger) -> None:
    key, _ = ledger.keys.issue(named("ci"), now=1.0)
    assert [ledger.keys.revoke("ci", now=now) for now in (8.0, 9.0)] == [1, 0]
    found = ledger.keys.get(key.id)
    assert found is not None
    assert found.revoked == 8.0


def test_a_name_matches_however_its_accents_are_typed(ledger: SqlLedger) -> None:
    ledger.keys.issue(named("cafe\u0301"), now=1.0)
    assert ledger.keys.revoke(" caf\u00e9 ", now=2.0) == 1


@pytest.mark.parametrize(
    "name", ["' OR 1=1 --", "%", "_", "nobody", "", "\\", "'; DROP TABLE keys"]
)
def test_a_name_is_compared_and_never_interpreted(ledger: SqlLedger, name: str) -> None:
    key, _ = ledger.keys.issue(named(), now=1.0)
    assert ledger.keys.revoke(name, now=2.0) == 0
    assert ledger.keys.every() == [key]


def test_last_used_is_recorded_for_many_at_once_and_never_goes_back(ledger: SqlLedger) -> None:
    first, second, third = (ledger.keys.issue(named(), now=float(n))[0].id for n in range(3))
    ledger.keys.touch({})
    ledger.keys.touch({first: 50.0, second: 60.0, "EMBLEM_API_KEY": 70.0})
    ledger.keys.touch({first: 40.0, second: 65.0})
    used = {key.id: key.last_used for key in ledger.keys.every()}
    assert used == {first: 50.0, second: 65.0, third: None}


def test_the_version_grows_with_every_change_and_with_nothing_else(ledger: SqlLedger) -> None:
    seen = [ledger.keys.version()]

    def grown() -> bool:
        seen.append(ledger.keys.version())
        return seen[-1] > seen[-2]

    key, _ = ledger.keys.issue(named(), now=1.0)
    assert grown()
    ledger.keys.touch({key.id: 5.0})
    ledger.keys.every()
    ledger.spaces.bind("model", "sha256:1", "model@1", now=1.0)
    assert not grown()
    ledger.keys.change(key.id, lambda _: FULL, now=2.0)
    assert grown()
    ledger.keys.rotate(key.id, overlap_s=1.0, now=3.0)
    assert grown()
    team = ledger.teams.create("search", now=3.0)
    assert grown()
    ledger.teams.change(team.id, lambda team: replace(team, name="find"), now=4.0)
    assert grown()
    ledger.teams.delete(team.id, now=5.0)
    assert grown()
    ledger.keys.revoke(key.id, now=6.0)
    assert grown()


def test_every_change_is_on_the_audit_with_who_and_from_where(ledger: SqlLedger) -> None:
    boss = Actor("key_boss", "10.1.2.3")
    key, secret = ledger.keys.issue(named(), now=1.0, by=boss)
    ledger.keys.change(key.id, lambda terms: replace(terms, owner="ann"), now=2.0, by=boss)
    _, second = ledger.keys.rotate(key.id, overlap_s=5.0, now=3.0)
    ledger.keys.revoke("laptop", now=4.0, by=boss)
    lines = ledger.audit.changes()
    assert [(one.at, one.what, one.who, one.source) for one in lines] == [
        (4.0, "key.revoke", "key_boss", "10.1.2.3"),
        (3.0, "key.rotate", "cli", ""),
        (2.0, "key.change", "key_boss", "10.1.2.3"),
        (1.0, "key.create", "key_boss", "10.1.2.3"),
    ]
    assert {one.subject for one in lines} == {key.id}
    assert lines[2].details == {"owner": {"from": "", "to": "ann"}}
    assert lines[1].details == {"last_four": second[-4:], "old_until": 8.0}
    assert lines[3].details == {"name": "laptop", "role": "inference", "last_four": secret[-4:]}


def test_a_change_that_is_refused_leaves_no_trace(ledger: SqlLedger) -> None:
    key, _ = ledger.keys.issue(named(), now=1.0)
    before = ledger.keys.version(), ledger.audit.changes()
    with pytest.raises(InvalidRequest):
        ledger.keys.change(key.id, lambda terms: replace(terms, team="team_no"), now=2.0)
    assert (ledger.keys.version(), ledger.audit.changes()) == before


def test_what_one_process_writes_another_reads(opened: Callable[[], SqlLedger]) -> None:
    writer, reader = opened(), opened()
    key, _ = writer.keys.issue(named(), now=1.0)
    assert reader.keys.every() == [key]
    reader.keys.revoke("laptop", now=2.0)
    assert writer.keys.every() == reader.keys.every()


def test_what_was_written_is_there_after_closing(opened: Callable[[], SqlLedger]) -> None:
    first = opened()
    key, _ = first.keys.issue(named(), now=1.0)
    first.close()
    assert opened().keys.get(key.id) == key


def test_threads_that_change_at_once_lose_no_change(opened: Callable[[], SqlLedger]) -> None:
    ledgers = [opened(), opened()]

    def work(number: int) -> None:
        ledger = ledgers[number % 2]
        for _ in range(5):
            key, _ = ledger.keys.issue(named(f"thread {number}"), now=1.0)
            ledger.keys.touch({key.id: 2.0})
            ledger.keys.rotate(key.id, overlap_s=1.0, now=2.0)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    keys: list[Key] = ledgers[0].keys.every()
    assert len(keys) == 20
    assert {(len(key.secrets), key.last_used) for key in keys} == {(2, 2.0)}
    assert ledgers[1].keys.version() == 40
    assert len(ledgers[0].audit.changes()) == 40


def test_two_changes_of_one_key_are_both_kept(opened: Callable[[], SqlLedger]) -> None:
    """Each is made of what the other has left, whoever looked at the key first."""
    one, other = opened(), opened()
    key, _ = one.keys.issue(Terms("eve", role=Role.ADMIN), now=1.0)
    started = threading.Event()

    def limit(terms: Terms) -> Terms:
        return replace(terms, quota=replace(terms.quota, requests_per_minute=100))

    def demote(terms: Terms) -> Terms:
        started.set()
        return replace(terms, role=Role.INFERENCE)

    with ThreadPoolExecutor(1) as pool:

        def later() -> None:
            assert started.wait(20)
            other.keys.change(key.id, limit, now=2.0)

        second = pool.submit(later)
        one.keys.change(key.id, demote, now=2.0)
        second.result(timeout=20)
    terms = one.keys.every()[0].terms
    assert (terms.role, terms.quota.requests_per_minute) == (Role.INFERENCE, 100)


def test_a_change_that_changes_nothing_is_not_on_the_audit(ledger: SqlLedger) -> None:
    key, _ = ledger.keys.issue(FULL, now=1.0)
    assert ledger.keys.change(key.id, lambda terms: terms, now=2.0) == key
    assert [one.what for one in ledger.audit.changes()] == ["key.create"]
