"""Keys and teams of a LiteLLM proxy, read from its PostgreSQL and put into our words.

It keeps a key as the SHA-256 of its characters, in hex, which is what is kept here: whoever has a
key goes on using it. Source: ``schema.prisma`` in BerriAI/litellm, ``LiteLLM_VerificationToken`` and
``LiteLLM_TeamTable``. Columns that a version does not have count as empty.
"""

import re
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from math import inf
from typing import Any

from sqlalchemy import inspect, text
from sqlalchemy.engine import URL

from emblem.accounts import Quota, Terms
from emblem.errors import InvalidRequest
from emblem.ledger.database import Database
from emblem.ledger.secret import MAX_NAME, as_stored, team_name
from emblem.ledger.terms import BILLION, MAX_OWNER, checked, globs, limited

KEYS, TEAMS = "LiteLLM_VerificationToken", "LiteLLM_TeamTable"
OWN_TEAM = "litellm-dashboard"  # of the sessions of its web page, which are no keys of anybody's
ALL_MODELS = ("all-proxy-models", "all-team-models")  # an empty list means the same
NO_MODELS = "no-default-models"  # none but those named beside it
UNNAMED = "litellm"  # what a key is called that has no name
MONTHS = ("28d", "29d", "30d", "31d", "1mo")

# What Prisma reads in an address and libpq does not know.
PRISMA = ("schema", "connection_limit", "pool_timeout", "pgbouncer", "statement_cache_size",
          "socket_timeout", "sslaccept", "sslidentity")  # fmt: skip

# What has no counterpart here, where it is set.
LOST_OF_KEY = ("max_parallel_requests", "model_max_budget", "budget_limits", "budget_id", "aliases",
               "config", "permissions", "metadata", "allowed_routes", "allowed_cache_controls",
               "policies", "access_group_ids", "object_permission_id", "organization_id",
               "project_id", "agent_id", "auto_rotate", "router_settings")  # fmt: skip
LOST_OF_TEAM = ("max_parallel_requests", "soft_budget", "model_max_budget", "budget_limits",
                "metadata", "policies", "access_group_ids", "object_permission_id",
                "organization_id", "model_id", "default_team_member_models",
                "router_settings")  # fmt: skip

_DIGEST = re.compile(r"[0-9a-f]{64}")
_LAST_FOUR = re.compile(r"sk-\.\.\.([!-~]{4})")

_Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class TheirTeam:
    """A team as it is to be made. ``lost`` names what it has and nothing here has."""

    name: str
    models: tuple[str, ...]
    quota: Quota
    lost: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TheirKey:
    """A key as it is to be adopted; the team of its terms is named beside them."""

    terms: Terms
    team: str | None
    digest: bytes
    last_four: str
    lost: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Skipped:
    """A key or a team that is not taken over, and why."""

    name: str
    why: str


@dataclass(frozen=True, slots=True)
class Takeover:
    """All that can be taken over."""

    teams: tuple[TheirTeam, ...]
    keys: tuple[TheirKey, ...]
    skipped: tuple[Skipped, ...]


def read(url: URL, now: float) -> Takeover:
    """Read a proxy's database, and change nothing in it.

    Raises InvalidRequest where its tables are not there, LedgerUnavailable where it is not.
    """
    schema = str(url.query.get("schema", "")) or None
    plain = url.difference_update_query(PRISMA)
    with closing(Database(plain, upgrade=False)) as database, database.read() as connection:
        for table in (KEYS, TEAMS):
            if not inspect(connection).has_table(table, schema):
                raise InvalidRequest(f"{database.name} has no table {table}: is it LiteLLM's?")
        quote = connection.dialect.identifier_preparer.quote
        where = f"{quote(schema)}." if schema else ""
        teams = connection.execute(text(f"SELECT * FROM {where}{quote(TEAMS)}")).mappings().all()  # noqa: S608
        keys = connection.execute(text(f"SELECT * FROM {where}{quote(KEYS)}")).mappings().all()  # noqa: S608
    return translate(map(dict, teams), map(dict, keys), now)


def translate(teams: Iterable[_Row], keys: Iterable[_Row], now: float) -> Takeover:
    """Put rows of the two tables into our words. Pure."""
    made: dict[str, TheirTeam] = {}
    skipped: list[Skipped] = []
    for row in teams:
        try:
            team = _team(row, {one.name for one in made.values()})
        except InvalidRequest as error:
            skipped.append(Skipped(f"team {row.get('team_alias') or row['team_id']}", str(error)))
        else:
            made[row["team_id"]] = team
    found: list[TheirKey] = []
    for row in keys:
        if row.get("team_id") == OWN_TEAM:
            continue
        try:
            found.append(_key(row, made, now))
        except InvalidRequest as error:
            skipped.append(Skipped(_name_of(row), str(error)))
    return Takeover(tuple(made.values()), tuple(found), tuple(skipped))


def _team(row: _Row, taken: set[str]) -> TheirTeam:
    if row.get("blocked"):
        raise InvalidRequest("it is blocked")
    name = _fit(row.get("team_alias") or "", MAX_NAME) or _fit(row["team_id"], MAX_NAME)
    if name in taken:
        name = _fit(f"{name[: MAX_NAME - 9]} {row['team_id'][:8]}", MAX_NAME)
    if name in taken:
        raise InvalidRequest("another team has its name")
    quota, lost = _quota(row)
    return TheirTeam(team_name(name), _models(row), quota, (*lost, *_set(row, LOST_OF_TEAM)))


def _key(row: _Row, teams: Mapping[str, TheirTeam], now: float) -> TheirKey:
    if not _DIGEST.fullmatch(row["token"]):
        raise InvalidRequest("it is not kept as a SHA-256")
    if row.get("blocked"):
        raise InvalidRequest("it is blocked")
    expires = _moment(row.get("expires"))
    if expires is not None and expires <= now:
        raise InvalidRequest("it has expired")
    team = teams.get(row.get("team_id") or "")
    if row.get("team_id") and team is None:
        raise InvalidRequest("its team is not taken over")
    quota, lost = _quota(row)
    terms = Terms(
        name=_fit(_name_of(row), MAX_NAME) or UNNAMED,
        owner=_fit(row.get("user_id") or "", MAX_OWNER),
        expires=expires,
        models=_models(row),
        quota=quota,
    )
    last_four = _LAST_FOUR.fullmatch(row.get("key_name") or "")
    return TheirKey(
        terms=checked(terms),
        team=team.name if team else None,
        digest=bytes.fromhex(row["token"]),
        last_four=last_four[1] if last_four else "",
        lost=(*lost, *_set(row, LOST_OF_KEY)),
    )


def _quota(row: _Row) -> tuple[Quota, tuple[str, ...]]:
    """Give the limits, and what of them has no counterpart."""
    limits = {"rpm_limit": row.get("rpm_limit"), "tpm_limit": row.get("tpm_limit")}
    for name, value in {**limits, "max_budget": row.get("max_budget")}.items():
        if value is not None and not 0 < value < inf:  # NaN is within nothing
            raise InvalidRequest(
                f"its {name} is {value}, which is no limit that lets anything pass"
            )
    budget, lasting = row.get("max_budget"), row.get("budget_duration")
    monthly = budget is not None and lasting in MONTHS
    cost = int(Decimal(str(budget)) * BILLION) if monthly else None
    quota = Quota(limits["rpm_limit"], limits["tpm_limit"], cost_per_month=cost)
    if budget is None or monthly:
        return limited(quota), ()
    return limited(quota), (f"max_budget {budget:g} {f'per {lasting}' if lasting else 'for ever'}",)


def _models(row: _Row) -> tuple[str, ...]:
    """Give the globs of models; none of them allow any, as an empty list does there."""
    named = tuple(row.get("models") or ())
    if named and set(named) == {NO_MODELS}:  # here no globs at all would let any pass
        raise InvalidRequest("it may use no model")
    if any(one in ALL_MODELS for one in named):
        return ()
    return globs(tuple(one for one in named if one != NO_MODELS))


def _set(row: _Row, names: Iterable[str]) -> tuple[str, ...]:
    return tuple(name for name in names if row.get(name))


def _name_of(row: _Row) -> str:
    return str(row.get("key_alias") or row.get("key_name") or UNNAMED)


def _fit(given: str, most: int) -> str:
    """Make a text fit to be a name: what cannot be shown becomes a space."""
    shown = "".join(one if one.isprintable() else " " for one in as_stored(given))
    return shown[:most].strip()


def _moment(given: datetime | None) -> float | None:
    """Prisma's times have no zone and are in UTC."""
    if given is None:
        return None
    return (given if given.tzinfo else given.replace(tzinfo=UTC)).timestamp()
