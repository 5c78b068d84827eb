"""What the commands share that work on keys, teams and the database."""

import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import typer

from emblem.errors import InvalidRequest

if TYPE_CHECKING:
    from emblem.accounts import Key, Quota, Team
    from emblem.config import Settings
    from emblem.ports import Ledger

BILLION = 10**9


@contextmanager
def ledger(settings: "Settings") -> Iterator["Ledger"]:
    """Open the ledger of the settings, and close it."""
    from emblem.cli.options import home_folder
    from emblem.ledger.opening import open_ledger

    home_folder(settings)
    with closing(open_ledger(settings)) as opened:
        yield opened


def the_key(book: "Ledger", wanted: str) -> "Key":
    """Give the key of an id, or the live one of a name. Raises InvalidRequest."""
    from emblem.ledger.secret import as_stored

    name = as_stored(wanted)
    found = book.keys.every()
    if exact := [key for key in found if key.id == name]:
        return exact[0]
    live = [key for key in found if key.terms.name == name and key.revoked is None]
    if not live:
        raise InvalidRequest(
            f"there is no live key {wanted!r}; emblem keys list shows what there is"
        )
    if len(live) > 1:
        ids = ", ".join(key.id for key in live)
        raise InvalidRequest(
            f"there are {len(live)} live keys {wanted!r}; name one by its id: {ids}"
        )
    return live[0]


def the_team(teams: "list[Team]", wanted: str) -> "Team":
    """Give the team of a name or an id. Raises InvalidRequest."""
    from emblem.ledger.secret import as_stored

    name = as_stored(wanted)
    for team in teams:
        if name in (team.name, team.id):
            return team
    raise InvalidRequest(
        f"there is no team {wanted!r}; emblem teams list shows what there is", param="team"
    )


def money(billionths: int) -> str:
    """Write an amount of money with two decimals, or as many as it has."""
    whole, rest = divmod(billionths, BILLION)
    digits = f"{rest:09}".rstrip("0").ljust(2, "0")
    return f"{whole}.{digits}"


def limits(quota: "Quota") -> str:
    """Write limits in a few words; "" where there are none."""
    parts = (
        (quota.requests_per_minute, "requests/min"),
        (quota.tokens_per_minute, "tokens/min"),
        (quota.tokens_per_day, "tokens/day"),
    )
    said = [f"{value} {unit}" for value, unit in parts if value is not None]
    if quota.cost_per_month is not None:
        said.append(f"{money(quota.cost_per_month)}/month")
    return ", ".join(said)


def quota_row(quota: "Quota") -> dict[str, object]:
    """Give limits as they stand in JSON; money as text, since JSON's numbers are inexact."""
    cost = quota.cost_per_month
    return {
        "requests_per_minute": quota.requests_per_minute,
        "tokens_per_minute": quota.tokens_per_minute,
        "tokens_per_day": quota.tokens_per_day,
        "budget_per_month": None if cost is None else money(cost),
    }


def moment(seconds: float | None) -> str:
    """Write a time of the epoch as this machine's clock has it; "" for none."""
    return "" if seconds is None else time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))


def whole(seconds: float | None) -> int | None:
    """Give a time of the epoch as it stands in JSON."""
    return None if seconds is None else int(seconds)


def say(message: str) -> None:
    """Tell a person something that no program reads."""
    typer.echo(message, file=sys.stderr)
