"""``emblem keys import``: keys that another program made, taken over as they are."""

import time
from collections import Counter
from typing import TYPE_CHECKING, Annotated

import typer

from emblem.cli.ledger import ledger, limits, say
from emblem.cli.options import ConfigOption, HomeOption, JsonOption, loaded
from emblem.cli.output import print_json, print_table
from emblem.errors import InvalidRequest

if TYPE_CHECKING:
    from emblem.ledger.litellm import Takeover
    from emblem.ledger.taking import Taken

LiteLLMOption = Annotated[
    str | None,
    typer.Option(
        "--litellm",
        metavar="URL",
        help="the PostgreSQL of a LiteLLM proxy; its password may be in PGPASSWORD",
    ),
]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="say what would be done, and no more")
]


def import_keys(
    litellm: LiteLLMOption = None,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
    home: HomeOption = None,
    config: ConfigOption = None,
) -> None:
    """Take over the keys and teams of a LiteLLM proxy, so that nobody has to change a key.

    Its database is read only. What has no counterpart here is listed. To run it again is safe.
    """
    from pathlib import Path

    from emblem.ledger.address import url_of
    from emblem.ledger.litellm import read
    from emblem.ledger.taking import take_over

    if litellm is None:
        raise InvalidRequest("name the database to import from: --litellm postgresql://…")
    url = url_of(litellm, Path())
    if url.drivername == "sqlite":
        raise InvalidRequest("--litellm must be an address that begins with postgresql://")
    now = time.time()
    found = read(url, now)
    with ledger(loaded(home, config).settings) as book:
        taken = take_over(book, found, now=now, dry_run=dry_run)
    if as_json:
        print_json(_row(found, taken, dry_run=dry_run))
    else:
        _say(found, taken, dry_run=dry_run)


def _row(found: "Takeover", taken: "Taken", *, dry_run: bool) -> dict[str, object]:
    lost = {team.name: list(team.lost) for team in found.teams if team.lost}
    return {
        "dry_run": dry_run,
        "teams": [{"name": name, "not_taken_over": lost.get(name, [])} for name in taken.teams],
        "keys": [
            {
                "name": key.terms.name,
                "team": key.team,
                "last_four": key.last_four,
                "not_taken_over": list(key.lost),
            }
            for key in taken.keys
        ],
        "skipped": [{"name": one.name, "why": one.why} for one in taken.skipped],
    }


def _say(found: "Takeover", taken: "Taken", *, dry_run: bool) -> None:
    if taken.keys:
        head = ("name", "key", "team", "owner", "models", "limits", "not taken over")
        rows = [
            (
                key.terms.name,
                f"sk-…{key.last_four}",
                key.team or "",
                key.terms.owner,
                ", ".join(key.terms.models) or "any",
                limits(key.terms.quota),
                ", ".join(key.lost),
            )
            for key in taken.keys
        ]
        print_table(head, rows)
    for one in taken.skipped:
        say(f"left out: {one.name}: {one.why}")
    for team in found.teams:
        if team.name in taken.teams and team.lost:
            say(f"not taken over of the team {team.name}: {', '.join(team.lost)}")
    lost = Counter(name.partition(" ")[0] for key in taken.keys for name in key.lost)
    if lost:
        each = ", ".join(f"{name} of {count}" for name, count in lost.most_common())
        say(f"Without a counterpart here, by number of keys: {each}.")
    verb = "Would take over" if dry_run else "Took over"
    say(
        f"{verb} {len(taken.keys)} keys and {len(taken.teams)} teams, and left {len(taken.skipped)} "
        "out. What was spent so far is not taken over: months begin anew here."
    )
