"""Rows of the tables of keys and teams to values, and back; and values as the audit shows them."""

from collections.abc import Iterable
from dataclasses import fields
from typing import Any

from sqlalchemy import Row

from emblem.accounts import Key, Quota, Role, Secret, Team, Terms
from emblem.types import Lane

_QUOTA = tuple(field.name for field in fields(Quota))


def key_of(row: Row[Any], secrets: Iterable[Row[Any]]) -> Key:
    """Read a key, with the rows of its secrets."""
    return Key(
        id=row.id,
        terms=Terms(
            name=row.name,
            owner=row.owner,
            team=row.team_id,
            role=Role(row.role),
            expires=row.expires,
            models=tuple(row.models),
            sources=tuple(row.sources),
            quota=_quota(row),
            priority=None if row.priority is None else Lane(row.priority),
        ),
        created=row.created,
        secrets=tuple(
            Secret(bytes(one.digest), one.last_four, one.created, one.expires) for one in secrets
        ),
        revoked=row.revoked,
        last_used=row.last_used,
    )


def team_of(row: Row[Any]) -> Team:
    """Read a team."""
    return Team(row.id, row.name, row.created, tuple(row.models), _quota(row))


def columns(terms: Terms) -> dict[str, object]:
    """Give terms as the columns of ``keys``."""
    return {
        "name": terms.name,
        "owner": terms.owner,
        "team_id": terms.team,
        "role": terms.role.value,
        "expires": terms.expires,
        "models": list(terms.models),
        "sources": list(terms.sources),
        **quota_columns(terms.quota),
        "priority": None if terms.priority is None else terms.priority.value,
    }


def quota_columns(quota: Quota) -> dict[str, object]:
    """Give limits as columns of their tables."""
    return {name: getattr(quota, name) for name in _QUOTA}


def differences(before: dict[str, object], after: dict[str, object]) -> dict[str, object]:
    """Give what is not as it was, as the audit shows it: what it was and what it is."""
    return {
        name: {"from": before[name], "to": value}
        for name, value in after.items()
        if before[name] != value
    }


def given(values: dict[str, object]) -> dict[str, object]:
    """Give what is set, as the audit shows it."""
    return {name: value for name, value in values.items() if value not in (None, "", [])}


def _quota(row: Row[Any]) -> Quota:
    return Quota(**{name: getattr(row, name) for name in _QUOTA})
