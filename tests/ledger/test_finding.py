"""Keys by page and by what they are, in every database."""

import pytest

from emblem.accounts import CLI, Key, KeyState, KeysWanted, Page, Role, Terms
from emblem.ledger.books import SqlLedger

NOW = 1000.0


def made(ledger: SqlLedger, name: str, at: float = 0.0, **terms: object) -> Key:
    return ledger.keys.issue(Terms(name, **terms), now=at)[0]  # type: ignore[arg-type]


def found(ledger: SqlLedger, **wanted: object) -> list[str]:
    keys = ledger.keys.search(KeysWanted(**wanted), Page(), now=NOW)  # type: ignore[arg-type]
    return [key.terms.name for key in keys]


@pytest.mark.parametrize("newest_first", [True, False])
def test_pages_lead_through_all_keys_once_also_through_those_of_one_moment(
    ledger: SqlLedger, newest_first: bool
) -> None:
    every = [made(ledger, f"key {number}", float(number // 3)) for number in range(7)]
    seen: list[Key] = []
    after = None
    while page := ledger.keys.search(KeysWanted(), Page(2, after, newest_first), now=NOW):
        seen += page
        after = (page[-1].created, page[-1].id)
    in_order = sorted(every, key=lambda key: (key.created, key.id), reverse=newest_first)
    assert seen == in_order


def test_keys_come_with_all_of_their_secrets(ledger: SqlLedger) -> None:
    key = made(ledger, "a")
    made(ledger, "b")
    rotated, _ = ledger.keys.rotate(key.id, overlap_s=5, now=1.0)
    (one,) = ledger.keys.search(KeysWanted(name="a"), Page(), now=NOW)
    assert one == rotated
    assert len(one.secrets) == 2


def test_keys_are_found_by_whose_they_are_and_whether_they_work(ledger: SqlLedger) -> None:
    team = ledger.teams.create("search", now=0.0)
    made(ledger, "in a team", team=team.id)
    made(ledger, "expires now", expires=NOW)
    made(ledger, "expires soon", expires=NOW + 1, role=Role.READ)
    gone = made(ledger, "gone", role=Role.ADMIN, expires=1.0)
    ledger.keys.revoke(gone.id, now=0.5)
    assert found(ledger, team=team.id) == ["in a team"]
    assert found(ledger, role=Role.READ) == ["expires soon"]
    assert sorted(found(ledger, state=KeyState.LIVE)) == ["expires soon", "in a team"]
    assert found(ledger, state=KeyState.EXPIRED) == ["expires now"]
    assert found(ledger, state=KeyState.REVOKED, role=Role.ADMIN) == ["gone"]
    assert found(ledger, state=KeyState.LIVE, role=Role.ADMIN) == []


@pytest.mark.parametrize("text", ["'", "'; DROP TABLE keys; --", "a\\b", "100%", "a_c", "/"])
def test_what_is_searched_is_text_and_no_pattern(ledger: SqlLedger, text: str) -> None:
    made(ledger, f"<{text}>")
    made(ledger, "abc 100 a/x".replace("/", "-"))
    assert found(ledger, search=text) == [f"<{text}>"]
    assert found(ledger, name=f"<{text}>") == [f"<{text}>"]
    assert found(ledger, name=text) == []


def test_a_part_is_found_in_upper_or_lower_case_in_whatever_a_key_is_known_by(
    ledger: SqlLedger,
) -> None:
    key = made(ledger, "Laptop", owner="Ann")
    made(ledger, "other")
    for part in ("APT", "ann", key.id.upper(), key.id[5:], key.secrets[0].last_four.swapcase()):
        assert "Laptop" in found(ledger, search=part)
    assert found(ledger, search="ann") == ["Laptop"]


def test_names_are_those_of_the_ids_that_there_are(ledger: SqlLedger) -> None:
    key, gone = made(ledger, "laptop"), made(ledger, "gone")
    ledger.keys.revoke(gone.id, now=1.0, by=CLI)
    many = [f"key_{number:016x}" for number in range(12_000)]
    assert ledger.keys.names([key.id, gone.id, "", "'", *many]) == {
        key.id: "laptop",
        gone.id: "gone",
    }
    assert ledger.keys.names([]) == {}
