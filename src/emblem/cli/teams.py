"""``emblem teams``: whom keys belong to, and what holds for all of them together."""

import shlex
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from emblem.cli.ledger import ledger, limits, moment, quota_row, say, the_team, whole
from emblem.cli.options import ConfigOption, HomeOption, JsonOption, loaded
from emblem.cli.output import print_json, print_table
from emblem.cli.terms import GivenLimits, taking
from emblem.errors import InvalidRequest

if TYPE_CHECKING:
    from emblem.accounts import Team

teams = typer.Typer(help="Make, list, change and delete teams.")

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="the team's name")]
WhichArgument = Annotated[str, typer.Argument(metavar="NAME|ID", help="which team")]
RenameOption = Annotated[str | None, typer.Option("--name", metavar="NAME", help="another name")]


@teams.command("create")
@taking(GivenLimits)
def create(
    name: NameArgument,
    given: GivenLimits,
    as_json: JsonOption = False,
    home: HomeOption = None,
    config: ConfigOption = None,
) -> None:
    """Make a team. What it allows holds for all of its keys together."""
    from emblem.accounts import Quota

    with ledger(loaded(home, config).settings) as book:
        team = book.teams.create(name, given.globs(()), given.quota(Quota()), now=time.time())
    option = f"--team {shlex.quote(team.name)}"
    _say(team, as_json, f"Made the team. To give it a key: emblem keys create NAME {option}")


@teams.command("list")
def show(as_json: JsonOption = False, home: HomeOption = None, config: ConfigOption = None) -> None:
    """List the teams, and how many live keys each has."""
    with ledger(loaded(home, config).settings) as book:
        found, keys = book.teams.every(), book.keys.every()
    live = [key.terms.team for key in keys if key.revoked is None]
    if as_json:
        print_json([{**team_row(team), "keys": live.count(team.id)} for team in found])
    elif found:
        head = ("name", "id", "keys", "models", "limits", "created")
        print_table(head, [_cells(team, live.count(team.id)) for team in found], "keys")
    else:
        say("There is no team yet. Make one with: emblem teams create NAME")


@teams.command("set")
@taking(GivenLimits)
def change(
    which: WhichArgument,
    given: GivenLimits,
    name: RenameOption = None,
    as_json: JsonOption = False,
    home: HomeOption = None,
    config: ConfigOption = None,
) -> None:
    """Change what a team allows; what is not given stays."""

    def other(before: "Team") -> "Team":
        asked = replace(
            before,
            name=before.name if name is None else name,
            models=given.globs(before.models),
            quota=given.quota(before.quota),
        )
        if asked == before:
            raise InvalidRequest(
                "nothing was asked for that is not so already; see teams set --help"
            )
        return asked

    with ledger(loaded(home, config).settings) as book:
        team = the_team(book.teams.every(), which)
        team = book.teams.change(team.id, other, now=time.time())
    _say(team, as_json, f"The team {team.name!r} has {limits(team.quota) or 'no limits'} now.")


@teams.command("delete")
def delete(
    which: WhichArgument,
    as_json: JsonOption = False,
    home: HomeOption = None,
    config: ConfigOption = None,
) -> None:
    """Delete a team that has no live key."""
    with ledger(loaded(home, config).settings) as book:
        team = the_team(book.teams.every(), which)
        book.teams.delete(team.id, now=time.time())
    _say(team, as_json, f"Deleted the team {team.name!r}.")


def team_row(team: "Team") -> dict[str, object]:
    """Give a team as it stands in JSON. Times are whole seconds since the epoch."""
    return {
        "id": team.id,
        "name": team.name,
        "models": list(team.models),
        **quota_row(team.quota),
        "created": whole(team.created),
    }


def _say(team: "Team", as_json: bool, message: str) -> None:
    if as_json:
        print_json(team_row(team))
    else:
        typer.echo(message)


def _cells(team: "Team", keys: int) -> tuple[str, ...]:
    models = ", ".join(team.models) or "any"
    return (team.name, team.id, str(keys), models, limits(team.quota), moment(team.created))
