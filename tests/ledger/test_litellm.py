"""Keys and teams of a LiteLLM proxy, from a real PostgreSQL with its tables."""

import asyncio
import hashlib
from dataclasses import replace
from datetime import UTC, datetime
from math import inf, nan
from pathlib import Path
from typing import Any

import psycopg
import pytest

from emblem.accounts import Quota
from emblem.errors import InvalidRequest, LedgerUnavailable
from emblem.ledger.address import url_of
from emblem.ledger.books import SqlLedger
from emblem.ledger.keyring import KeyRing
from emblem.ledger.litellm import Takeover, TheirTeam, read, translate
from emblem.ledger.taking import take_over
from postgres import Postgres

NOW = datetime(2026, 11, 21, tzinfo=UTC).timestamp()

# The columns of LiteLLM's schema.prisma that matter here, as Prisma makes them.
TABLES = """
CREATE TABLE "{schema}"."LiteLLM_TeamTable" (
    team_id TEXT PRIMARY KEY, team_alias TEXT, metadata JSONB NOT NULL DEFAULT '{{}}',
    max_budget DOUBLE PRECISION, soft_budget DOUBLE PRECISION, spend DOUBLE PRECISION NOT NULL DEFAULT 0,
    models TEXT[], max_parallel_requests INTEGER, tpm_limit BIGINT, rpm_limit BIGINT,
    budget_duration TEXT, blocked BOOLEAN NOT NULL DEFAULT false, model_max_budget JSONB NOT NULL DEFAULT '{{}}');
CREATE TABLE "{schema}"."LiteLLM_VerificationToken" (
    token TEXT PRIMARY KEY, key_name TEXT, key_alias TEXT, spend DOUBLE PRECISION NOT NULL DEFAULT 0,
    expires TIMESTAMP(3), models TEXT[], aliases JSONB NOT NULL DEFAULT '{{}}',
    config JSONB NOT NULL DEFAULT '{{}}', user_id TEXT, team_id TEXT,
    permissions JSONB NOT NULL DEFAULT '{{}}', max_parallel_requests INTEGER,
    metadata JSONB NOT NULL DEFAULT '{{}}', blocked BOOLEAN, tpm_limit BIGINT, rpm_limit BIGINT,
    max_budget DOUBLE PRECISION, budget_duration TEXT, allowed_routes TEXT[] DEFAULT '{{}}',
    created_at TIMESTAMP(3) DEFAULT CURRENT_TIMESTAMP);
"""


def token(secret: str) -> str:
    """Hash a key as LiteLLM does."""
    return hashlib.sha256(secret.encode()).hexdigest()


def fill(
    address: str, schema: str, teams: list[dict[str, Any]], keys: list[dict[str, Any]]
) -> None:
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(f'CREATE SCHEMA IF NOT EXISTS "{schema}"'.encode())
        connection.execute(TABLES.format(schema=schema).encode())
        for table, rows in (("LiteLLM_TeamTable", teams), ("LiteLLM_VerificationToken", keys)):
            for row in rows:
                names, marks = ", ".join(row), ", ".join(f"%({name})s" for name in row)
                statement = f'INSERT INTO "{schema}"."{table}" ({names}) VALUES ({marks})'
                connection.execute(statement.encode(), row)


TEAM = {
    "team_id": "t-1",
    "team_alias": "search",
    "models": ["bge-*", "all-MiniLM-L6-v2"],
    "tpm_limit": 500_000,
    "max_budget": 20.5,
    "budget_duration": "30d",
    "max_parallel_requests": 7,
}
KEYS = [
    {
        "token": token("sk-ann-1234"),
        "key_name": "sk-...1234",
        "key_alias": "ann",
        "user_id": "ann@example.org",
        "team_id": "t-1",
        "models": ["all-team-models"],
        "rpm_limit": 60,
        "tpm_limit": 100_000,
        "max_budget": 12.5,
        "budget_duration": "1mo",
        "expires": datetime(2030, 1, 1),
    },
    {"token": token("sk-bob-5678"), "key_name": "sk-...5678", "max_budget": 3.0},
    {"token": token("sk-old"), "key_alias": "old", "expires": datetime(2020, 1, 1)},
    {"token": token("sk-bad"), "key_alias": "bad", "blocked": True},
    {"token": token("sk-web"), "key_alias": "web", "team_id": "litellm-dashboard"},
]


@pytest.fixture(params=["public", "litellm proxy"])
def proxy(request: pytest.FixtureRequest, postgres: Postgres) -> str:
    """The address of a proxy's database, as its own settings have it."""
    address = postgres.new()
    fill(address, request.param, [TEAM], KEYS)
    return f"{address}&schema={request.param}&connection_limit=5&pool_timeout=60"


def test_keys_and_teams_are_taken_over_and_every_key_goes_on_working(
    proxy: str, ledger: SqlLedger
) -> None:
    found = read(url_of(proxy, Path()), NOW)
    taken = take_over(ledger, found, now=NOW)
    assert (taken.teams, [key.terms.name for key in taken.keys]) == (
        ("search",),
        ["ann", "sk-...5678"],
    )
    ring = KeyRing(ledger)
    ring.refresh()
    ann, bob = ring.check("sk-ann-1234"), ring.check("sk-bob-5678")
    assert ann is not None
    assert bob is not None
    assert (ann.terms.owner, ann.terms.models) == ("ann@example.org", ())
    assert ann.terms.quota == Quota(60, 100_000, None, 12_500_000_000)
    assert ann.terms.expires == datetime(2030, 1, 1, tzinfo=UTC).timestamp()
    assert ann.secrets[0].last_four == "1234"
    team = ring.team(ann)
    assert team is not None
    assert (team.name, team.models) == ("search", ("bge-*", "all-MiniLM-L6-v2"))
    assert team.quota == Quota(None, 500_000, None, 20_500_000_000)
    for gone in ("sk-old", "sk-bad", "sk-web"):
        assert asyncio.run(ring.look_up(gone)) is None


def test_what_has_no_counterpart_is_listed(proxy: str, file_ledger: SqlLedger) -> None:
    found = read(url_of(proxy, Path()), NOW)
    taken = take_over(file_ledger, found, now=NOW, dry_run=True)
    assert found.teams[0].lost == ("max_parallel_requests",)
    assert [key.lost for key in taken.keys] == [(), ("max_budget 3 for ever",)]
    assert [(one.name, one.why) for one in taken.skipped] == [
        ("old", "it has expired"),
        ("bad", "it is blocked"),
    ]


def test_a_dry_run_writes_nothing_and_a_second_run_makes_nothing(
    proxy: str, file_ledger: SqlLedger
) -> None:
    found = read(url_of(proxy, Path()), NOW)
    would = take_over(file_ledger, found, now=NOW, dry_run=True)
    assert (file_ledger.keys.every(), file_ledger.teams.every()) == ([], [])
    assert file_ledger.audit.changes() == []
    did = take_over(file_ledger, found, now=NOW)
    assert (did.teams, did.keys) == (would.teams, would.keys)
    before = file_ledger.keys.every(), file_ledger.teams.every(), file_ledger.audit.changes()
    again = take_over(file_ledger, found, now=NOW)
    assert (again.teams, again.keys) == ((), ())
    assert [one.why for one in again.skipped[-2:]] == ["it is here already"] * 2
    assert before == (
        file_ledger.keys.every(),
        file_ledger.teams.every(),
        file_ledger.audit.changes(),
    )


def test_a_team_of_that_name_that_is_here_already_is_used_as_it_is(
    proxy: str, file_ledger: SqlLedger
) -> None:
    own = file_ledger.teams.create("search", now=1.0)
    take_over(file_ledger, read(url_of(proxy, Path()), NOW), now=NOW)
    assert file_ledger.teams.every() == [own]
    teams = {key.terms.name: key.terms.team for key in file_ledger.keys.every()}
    assert teams == {"ann": own.id, "sk-...5678": None}


def test_a_database_without_its_tables_is_refused(postgres: Postgres) -> None:
    with pytest.raises(InvalidRequest, match="no table LiteLLM_VerificationToken"):
        read(url_of(postgres.new(), Path()), NOW)


def test_a_proxy_that_is_away_is_one_line_without_the_password() -> None:
    with pytest.raises(LedgerUnavailable) as caught:
        read(url_of("postgresql://me:hunter2@127.0.0.1:1/litellm", Path()), NOW)
    assert "hunter2" not in str(caught.value)


def translated(*keys: dict[str, Any], teams: tuple[dict[str, Any], ...] = ()) -> Takeover:
    return translate(teams, [{"token": token(str(n)), **key} for n, key in enumerate(keys)], NOW)


@pytest.mark.parametrize(
    ("models", "taken"),
    [
        (None, ()),
        ([], ()),
        (["all-proxy-models", "x"], ()),
        (["openai/*", "x"], ("openai/*", "x")),
        (["no-default-models", "x"], ("x",)),
    ],
)
def test_lists_of_models_mean_what_they_meant(
    models: list[str] | None, taken: tuple[str, ...]
) -> None:
    assert translated({"models": models}).keys[0].terms.models == taken


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ({"token": "sk-in-plain-text"}, "not kept as a SHA-256"),
        ({"models": ["no-default-models"]}, "no model"),
        ({"rpm_limit": 0}, "rpm_limit is 0"),
        ({"max_budget": 0.0}, "max_budget is 0"),
        ({"max_budget": nan, "budget_duration": "30d"}, "max_budget is nan"),
        ({"max_budget": inf, "budget_duration": "30d"}, "max_budget is inf"),
        ({"max_budget": 1e-10, "budget_duration": "30d"}, "cost_per_month"),
        ({"team_id": "gone"}, "its team is not taken over"),
        ({"models": ["two words"]}, "a glob of models"),
    ],
)
def test_a_key_that_cannot_be_what_it_was_is_left_out(row: dict[str, Any], why: str) -> None:
    found = translated({"key_alias": "x", **row})
    assert found.keys == ()
    assert why in found.skipped[0].why
    assert "sk-in-plain-text" not in found.skipped[0].why


def test_keys_of_a_blocked_team_are_left_out() -> None:
    found = translated({"team_id": "t"}, teams=({"team_id": "t", "blocked": True},))
    assert (found.teams, found.keys) == ((), ())
    assert [one.why for one in found.skipped] == ["it is blocked", "its team is not taken over"]


def test_names_are_made_to_fit() -> None:
    teams = (
        {"team_id": "0123456789", "team_alias": "a"},
        {"team_id": "abcdefghij", "team_alias": "a"},
    )
    found = translated({"key_alias": "x" * 80}, {"key_alias": "two\nlines"}, {}, teams=teams)
    assert [key.terms.name for key in found.keys] == ["x" * 64, "two lines", "litellm"]
    assert [team.name for team in found.teams] == ["a", "a abcdefgh"]


@pytest.mark.parametrize("models", [["no-default-models"], ["no-default-models"] * 2])
def test_what_may_use_no_model_does_not_become_any_model(models: list[str]) -> None:
    teams = ({"team_id": "t", "models": models}, {"team_id": "u", "models": ["bge-*"]})
    found = translated(
        {"key_alias": "of-none", "team_id": "t"},
        {"key_alias": "none-of-its-team", "team_id": "u", "models": models},
        teams=teams,
    )
    assert ([team.name for team in found.teams], found.keys) == (["u"], ())
    assert [(one.name, one.why) for one in found.skipped] == [
        ("team t", "it may use no model"),
        ("of-none", "its team is not taken over"),
        ("none-of-its-team", "it may use no model"),
    ]


def test_a_team_without_a_name_is_named_by_its_id_and_one_that_looks_like_an_id_is_left_out() -> (
    None
):
    teams = (
        {"team_id": "t-1", "team_alias": "  "},
        {"team_id": "t-2", "team_alias": "team_0123456789abcdef"},
        {"team_id": "t-3", "team_alias": "good"},
    )
    found = translated({"key_alias": "\t"}, teams=teams)
    assert [team.name for team in found.teams] == ["t-1", "good"]
    assert "must not look like an id" in found.skipped[0].why
    assert found.keys[0].terms.name == "litellm"


def test_one_team_that_cannot_be_made_does_not_stop_the_others(file_ledger: SqlLedger) -> None:
    bad = TheirTeam("  ", (), Quota())
    found = translated({"key_alias": "good", "team_id": "t"}, teams=({"team_id": "t"},))
    of_bad = replace(found.keys[0], team=bad.name, digest=bytes(32))
    odd = replace(found, teams=(bad, *found.teams), keys=(of_bad, *found.keys))
    taken = take_over(file_ledger, odd, now=NOW)
    assert (taken.teams, taken.keys) == (("t",), found.keys)
    assert [one.why.partition(",")[0] for one in taken.skipped] == [
        "a team's name must have 1 to 64 printable characters",
        "its team is not taken over",
    ]
    assert [key.terms.name for key in file_ledger.keys.every()] == ["good"]
