"""What every ledger does with teams, spaces and the audit, in every database."""

from dataclasses import replace

import pytest

from emblem.accounts import ChangesWanted, Quota, Team, Terms
from emblem.errors import InvalidRequest
from emblem.ledger.books import SqlLedger

QUOTA = Quota(1000, None, None, 20_000_000_000)


def test_a_team_is_kept_with_all_that_it_allows(ledger: SqlLedger) -> None:
    team = ledger.teams.create("search", ("bge-*",), QUOTA, now=1.5)
    assert (team.name, team.models, team.quota, team.created) == ("search", ("bge-*",), QUOTA, 1.5)
    assert ledger.teams.every() == [team]


def test_teams_are_listed_by_name(ledger: SqlLedger) -> None:
    for name in ("b", "c", "a"):
        ledger.teams.create(name, now=1.0)
    assert [team.name for team in ledger.teams.every()] == ["a", "b", "c"]


def test_two_teams_never_have_one_name(ledger: SqlLedger) -> None:
    ledger.teams.create("search", now=1.0)
    other = ledger.teams.create("other", now=1.0)
    with pytest.raises(InvalidRequest, match="a team 'search' already"):
        ledger.teams.create(" search ", now=2.0)
    with pytest.raises(InvalidRequest, match="a team 'search' already"):
        ledger.teams.change(other.id, lambda team: replace(team, name="search"), now=2.0)
    assert len(ledger.teams.every()) == 2


def test_a_team_is_changed_and_may_keep_its_name(ledger: SqlLedger) -> None:
    team = ledger.teams.create("search", now=1.0)
    changed = ledger.teams.change(
        team.id, lambda team: replace(team, models=("e5-*",), quota=QUOTA), now=2.0
    )
    assert ledger.teams.every() == [changed]
    assert (changed.id, changed.created, changed.models) == (team.id, 1.0, ("e5-*",))
    assert ledger.audit.changes()[0].details == {
        "models": {"from": [], "to": ["e5-*"]},
        "requests_per_minute": {"from": None, "to": 1000},
        "cost_per_month": {"from": None, "to": 20_000_000_000},
    }


@pytest.mark.parametrize(
    ("wrong", "param"),
    [
        (Team("", "", 0.0), "name"),
        (Team("", "team_0123456789abcdef", 0.0), "name"),
        (Team("", "x", 0.0, ("a b",)), "models"),
        (Team("", "x", 0.0, (), Quota(0)), "requests_per_minute"),
        (Team("", "x", 0.0, (), Quota(tokens_per_minute=2**53)), "tokens_per_minute"),
    ],
)
def test_a_team_that_makes_no_sense_is_refused(ledger: SqlLedger, wrong: Team, param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        ledger.teams.create(wrong.name, wrong.models, wrong.quota, now=1.0)
    assert caught.value.param == param
    assert ledger.teams.every() == []


def test_a_team_is_not_deleted_while_live_keys_belong_to_it(ledger: SqlLedger) -> None:
    team = ledger.teams.create("search", now=1.0)
    key, _ = ledger.keys.issue(Terms("laptop", team=team.id), now=1.0)
    with pytest.raises(InvalidRequest, match="1 live key belongs to the team 'search'"):
        ledger.teams.delete(team.id, now=2.0)
    ledger.keys.revoke(key.id, now=3.0)
    ledger.teams.delete(team.id, now=4.0)
    assert ledger.teams.every() == []
    assert ledger.keys.every()[0].terms.team is None
    with pytest.raises(InvalidRequest, match="no team"):
        ledger.teams.delete(team.id, now=5.0)


def test_a_key_moves_from_team_to_team(ledger: SqlLedger) -> None:
    one, other = (ledger.teams.create(name, now=1.0) for name in ("one", "other"))
    key, _ = ledger.keys.issue(Terms("laptop", team=one.id), now=1.0)
    assert (
        ledger.keys.change(key.id, lambda terms: replace(terms, team=other.id), now=2.0).terms.team
        == other.id
    )
    ledger.teams.delete(one.id, now=3.0)
    assert ledger.teams.every() == [other]


def test_the_first_space_that_a_name_serves_stays(ledger: SqlLedger) -> None:
    assert ledger.spaces.every() == {}
    ledger.spaces.bind("model", "sha256:1", "model@1/384", now=1.0)
    ledger.spaces.bind("model", "sha256:2", "model@2/384", now=2.0)
    ledger.spaces.bind("other", "sha256:2", "other@2/384", now=3.0)
    assert ledger.spaces.every() == {
        "model": ("sha256:1", "model@1/384"),
        "other": ("sha256:2", "other@2/384"),
    }


def test_a_name_that_was_unbound_can_be_bound_again(ledger: SqlLedger) -> None:
    ledger.spaces.bind("model", "sha256:1", "model@1/384", now=1.0)
    assert [ledger.spaces.unbind("model", now=n) for n in (2.0, 3.0)] == [True, False]
    ledger.spaces.bind("model", "sha256:2", "model@2/384", now=4.0)
    assert ledger.spaces.every() == {"model": ("sha256:2", "model@2/384")}
    (line,) = ledger.audit.changes()
    assert (line.at, line.what, line.subject) == (2.0, "space.unbind", "model")
    assert line.details == {"space": "model@1/384"}


def test_the_audit_is_read_in_pages_and_by_what_was_changed(ledger: SqlLedger) -> None:
    ids = [ledger.teams.create(f"team {n}", now=float(n)).id for n in range(5)]
    newest = ledger.audit.changes(limit=2)
    assert [one.subject for one in newest] == [ids[4], ids[3]]
    older = ledger.audit.changes(limit=2, before=newest[-1].id)
    assert [one.subject for one in older] == [ids[2], ids[1]]
    assert [one.at for one in ledger.audit.changes(wanted=ChangesWanted(ids[0]))] == [0.0]
    assert ledger.audit.changes(wanted=ChangesWanted("' OR 1=1 --")) == []
