"""Keys and teams in JSON, both ways. Times are whole seconds since the epoch, money is text.

The names are those of ``emblem keys list --json``.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated

import msgspec
from msgspec import UNSET, UnsetType

from emblem.accounts import Key, KeyState, Quota, Role, Secret, Team, Terms
from emblem.api.problems import invalid
from emblem.core.limits import MAX_PER_MINUTE, MAX_PER_WINDOW
from emblem.core.refusals import BILLIONTHS, money
from emblem.errors import InvalidRequest
from emblem.ledger.terms import billionths, moment
from emblem.types import Lane

MAX_EXPIRES = 253_402_300_800  # the end of the year 9999

PerMinute = Annotated[int, msgspec.Meta(ge=1, le=MAX_PER_MINUTE)]
PerDay = Annotated[int, msgspec.Meta(ge=1, le=MAX_PER_WINDOW)]
Money = Annotated[str, msgspec.Meta(max_length=30)]
Moment = Annotated[int, msgspec.Meta(ge=0, le=MAX_EXPIRES)]


class SecretItem(msgspec.Struct, frozen=True):
    """One of the secrets that open a key: its last characters, and until when."""

    last_four: str
    created: int
    expires: int | None


class LimitFields(msgspec.Struct, frozen=True, kw_only=True):
    """What is allowed; null is no limit. ``budget_per_month`` is a decimal number as text."""

    models: list[str]
    requests_per_minute: int | None
    tokens_per_minute: int | None
    tokens_per_day: int | None
    budget_per_month: str | None


class KeyItem(LimitFields, frozen=True, kw_only=True):
    """A key, without its secrets. An empty list of models or sources allows any."""

    object: str = "admin.key"
    id: str
    name: str
    state: KeyState
    last_four: str
    owner: str
    team: str | None
    team_name: str | None
    role: Role
    sources: list[str]
    priority: Lane | None
    created: int
    expires: int | None
    revoked: int | None
    last_used: int | None
    secrets: list[SecretItem]


class KeyWithSecret(KeyItem, frozen=True, kw_only=True):
    """A key with its new secret, which is shown in this answer only; null in one that is repeated."""

    key: str | None


class KeyList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of keys, the newest first."""

    object: str = "list"
    data: list[KeyItem]
    has_more: bool
    next_cursor: str | None


class TeamItem(LimitFields, frozen=True, kw_only=True):
    """A team. What it allows holds for all of its keys together."""

    object: str = "admin.team"
    id: str
    name: str
    created: int


class TeamList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of teams, by name."""

    object: str = "list"
    data: list[TeamItem]
    has_more: bool
    next_cursor: str | None


class DeletedTeam(msgspec.Struct, frozen=True, kw_only=True):
    """Says that a team is there no more."""

    object: str = "admin.team.deleted"
    id: str
    deleted: bool = True


class _Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    models: list[str] | UnsetType | None = UNSET
    requests_per_minute: PerMinute | UnsetType | None = UNSET
    tokens_per_minute: PerMinute | UnsetType | None = UNSET
    tokens_per_day: PerDay | UnsetType | None = UNSET
    budget_per_month: Money | UnsetType | None = UNSET

    def quota(self, before: Quota) -> Quota:
        """Give the limits as they are to be. Raises Problem or InvalidRequest."""
        given = {
            "requests_per_minute": self.requests_per_minute,
            "tokens_per_minute": self.tokens_per_minute,
            "tokens_per_day": self.tokens_per_day,
            "cost_per_month": _budget(self.budget_per_month),
        }
        return replace(before, **{k: v for k, v in given.items() if v is not UNSET})

    def globs(self, before: tuple[str, ...]) -> tuple[str, ...]:
        """Give the models as they are to be."""
        return _listed(self.models, before)


class KeyChanges(_Limits, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be another than it is; null is none. ``team`` is an id or a name."""

    name: str | UnsetType = UNSET
    owner: str | UnsetType | None = UNSET
    team: str | UnsetType | None = UNSET
    role: Role | UnsetType = UNSET
    expires: Moment | str | UnsetType | None = UNSET
    sources: list[str] | UnsetType | None = UNSET
    priority: Lane | UnsetType | None = UNSET

    def terms(self, before: Terms, teams: Mapping[str, Team], now: float) -> Terms:
        """Give the terms as they are to be. Raises Problem or InvalidRequest."""
        return replace(
            before,
            name=before.name if self.name is UNSET else self.name,
            owner=before.owner if self.owner is UNSET else self.owner or "",
            team=before.team if self.team is UNSET else _team(self.team, teams),
            role=before.role if self.role is UNSET else self.role,
            expires=before.expires if self.expires is UNSET else _expires(self.expires, now),
            sources=_listed(self.sources, before.sources),
            priority=before.priority if self.priority is UNSET else self.priority,
            models=self.globs(before.models),
            quota=self.quota(before.quota),
        )


class NewKey(KeyChanges, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A key to be made. What is left out is not limited; ``expires`` may be a span such as 30d."""

    name: str


class TeamChanges(_Limits, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be another than it is; null is none."""

    name: str | UnsetType = UNSET


class NewTeam(_Limits, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A team to be made."""

    name: str


class Rotation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long the old secret goes on working: a span such as 24h, or "0"."""

    overlap: Annotated[str, msgspec.Meta(max_length=8)] = "24h"


def state(key: Key, now: float) -> KeyState:
    """Tell whether a key works."""
    if key.revoked is not None:
        return KeyState.REVOKED
    expires = key.terms.expires
    return KeyState.EXPIRED if expires is not None and expires <= now else KeyState.LIVE


def key_item(key: Key, teams: Mapping[str, Team], now: float) -> KeyItem:
    """Write a key."""
    terms = key.terms
    team = teams.get(terms.team or "")
    return KeyItem(
        id=key.id,
        name=terms.name,
        state=state(key, now),
        last_four=key.secrets[-1].last_four if key.secrets else "",
        owner=terms.owner,
        team=terms.team,
        team_name=None if team is None else team.name,
        role=terms.role,
        sources=list(terms.sources),
        priority=terms.priority,
        created=int(key.created),
        expires=_whole(terms.expires),
        revoked=_whole(key.revoked),
        last_used=_whole(key.last_used),
        secrets=[_secret(one) for one in key.secrets],
        models=list(terms.models),
        requests_per_minute=terms.quota.requests_per_minute,
        tokens_per_minute=terms.quota.tokens_per_minute,
        tokens_per_day=terms.quota.tokens_per_day,
        budget_per_month=_money(terms.quota.cost_per_month),
    )


def with_secret(item: KeyItem, secret: str | None) -> KeyWithSecret:
    """Put a secret beside its key."""
    names = [field.name for field in msgspec.structs.fields(KeyItem)]
    return KeyWithSecret(**{name: getattr(item, name) for name in names}, key=secret)


def team_item(team: Team) -> TeamItem:
    """Write a team."""
    return TeamItem(
        id=team.id,
        name=team.name,
        created=int(team.created),
        models=list(team.models),
        requests_per_minute=team.quota.requests_per_minute,
        tokens_per_minute=team.quota.tokens_per_minute,
        tokens_per_day=team.quota.tokens_per_day,
        budget_per_month=_money(team.quota.cost_per_month),
    )


def the_team(wanted: str, teams: Mapping[str, Team], param: str = "team") -> str:
    """Give the id of a team by its id or its name. Raises Problem."""
    if wanted in teams:
        return wanted
    for team in teams.values():
        if team.name == wanted:
            return team.id
    raise invalid(f"There is no team {wanted[:64]!a}.", param)


def _team(wanted: str | None, teams: Mapping[str, Team]) -> str | None:
    return None if wanted is None else the_team(wanted, teams)


def _expires(given: int | str | None, now: float) -> float | None:
    return moment(given[:64], now) if isinstance(given, str) else given


def _budget(given: str | UnsetType | None) -> int | UnsetType | None:
    if given is None or given is UNSET:
        return given
    try:
        read = billionths(given)
    except InvalidRequest as error:
        raise invalid(f"{str(error)[:1].upper()}{str(error)[1:]}.", "budget_per_month") from None
    if not 1 <= read <= MAX_PER_WINDOW:
        most = MAX_PER_WINDOW // BILLIONTHS
        raise invalid(
            f"budget_per_month must be more than 0 and at most {most}.", "budget_per_month"
        )
    return read


def _listed(given: list[str] | UnsetType | None, before: tuple[str, ...]) -> tuple[str, ...]:
    return before if given is UNSET else tuple(given or ())


def _secret(one: Secret) -> SecretItem:
    return SecretItem(one.last_four, int(one.created), _whole(one.expires))


def _whole(seconds: float | None) -> int | None:
    return None if seconds is None else int(seconds)


def _money(amount: int | None) -> str | None:
    return None if amount is None else money(amount)
