"""``emblem keys``: who may ask, for what and how much."""

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from emblem.cli.keys_import import import_keys
from emblem.cli.ledger import (
    ledger,
    limits,
    moment,
    quota_row,
    say,
    the_key,
    whole,
)
from emblem.cli.options import ConfigOption, HomeOption, JsonOption, loaded
from emblem.cli.output import print_facts, print_json, print_table
from emblem.cli.terms import GivenTerms, taking
from emblem.errors import InvalidRequest

if TYPE_CHECKING:
    from emblem.accounts import Key, Team, Terms

keys = typer.Typer(help="Make, list, change, rotate and revoke API keys.")
keys.command("import")(import_keys)

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="what the key is for")]
WhichArgument = Annotated[
    str, typer.Argument(metavar="NAME|ID", help="which key, as keys list shows it")
]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="the key and nothing else")]
OverlapOption = Annotated[
    str,
    typer.Option("--overlap", metavar="SPAN", help="how long the old secret goes on working"),
]
RenameOption = Annotated[str | None, typer.Option("--name", metavar="NAME", help="another name")]
AllOption = Annotated[bool, typer.Option("--all", help="those that are revoked or expired, too")]


@keys.command("create")
@taking(GivenTerms)
def create(
    name: NameArgument,
    given: GivenTerms,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
    home: HomeOption = None,
    config: ConfigOption = None,
) -> None:
    """Make a key and print it, this once. A running server accepts it at once."""
    from emblem.accounts import Terms

    now = time.time()
    with ledger(loaded(home, config).settings) as book:
        teams = book.teams.every()
        terms = given.terms(Terms(name), teams, now)
        key, secret = book.keys.issue(terms, now=now)
    if as_json:
        print_json({**key_row(key, teams), "key": secret})
        return
    typer.echo(secret)
    if not quiet:
        say(f"That is the key {key.terms.name!r}. It is shown only now; keep it safe.")


@keys.command("list")
def show_all(
    as_json: JsonOption = False, home: HomeOption = None, config: ConfigOption = None
) -> None:
    """List the keys, by name and the last four characters of their secrets."""
    with ledger(loaded(home, config).settings) as book:
        found, teams = book.keys.every(), book.teams.every()
    if as_json:
        print_json([key_row(key, teams) for key in found])
    elif found:
        _table(found, teams, time.time())
    else:
        say("There is no key yet. Make one with: emblem keys create NAME")


@keys.command("show")
def show(
    which: WhichArgument,
    as_json: JsonOption = False,
    home: HomeOption = None,
    config: ConfigOption = None,
) -> None:
    """Print all that is known of one key."""
    with ledger(loaded(home, config).settings) as book:
        key, teams = the_key(book, which), book.teams.every()
    if as_json:
        print_json(key_row(key, teams))
    else:
        print_facts(_facts(key, teams, time.time()))


@keys.command("set")
@taking(GivenTerms)
def change(
    which: WhichArgument,
    given: GivenTerms,
    name: RenameOption = None,
    as_json: JsonOption = False,
    home: HomeOption = None,
    config: ConfigOption = None,
) -> None:
    """Change what a key allows; what is not given stays. A running server follows within a second."""
    now = time.time()
    with ledger(loaded(home, config).settings) as book:
        teams = book.teams.every()

        def other(before: "Terms") -> "Terms":
            terms = given.terms(before, teams, now)
            terms = terms if name is None else replace(terms, name=name)
            if terms == before:
                raise InvalidRequest(
                    "nothing was asked for that is not so already; see keys set --help"
                )
            return terms

        key = book.keys.change(the_key(book, which).id, other, now=now)
    if as_json:
        print_json(key_row(key, teams))
    else:
        print_facts(_facts(key, teams, now))


@keys.command("rotate")
def rotate(
    which: WhichArgument,
    overlap: OverlapOption = "24h",
    quiet: QuietOption = False,
    as_json: JsonOption = False,
    home: HomeOption = None,
    config: ConfigOption = None,
) -> None:
    """Give a key a new secret and print it, this once. The old one works for a while longer."""
    from emblem.ledger.terms import span

    now = time.time()
    with ledger(loaded(home, config).settings) as book:
        key = the_key(book, which)
        key, secret = book.keys.rotate(key.id, overlap_s=span(overlap), now=now)
        teams = book.teams.every()
    if as_json:
        print_json({**key_row(key, teams), "key": secret})
        return
    typer.echo(secret)
    if not quiet:
        until = moment(now + span(overlap))
        say(f"That is the new secret of {key.terms.name!r}, shown only now; others end at {until}.")


@keys.command("revoke")
def revoke(
    name: WhichArgument,
    as_json: JsonOption = False,
    home: HomeOption = None,
    config: ConfigOption = None,
) -> None:
    """Revoke every live key of that name, or the one with that id, for good.

    A running server refuses it within a second.
    """
    with ledger(loaded(home, config).settings) as book:
        count = book.keys.revoke(name, now=time.time())
    if count == 0:
        raise InvalidRequest(f"there is no live key {name!r}; emblem keys list shows what there is")
    if as_json:
        print_json({"revoked": count})
    else:
        typer.echo(f"Revoked {count} key{'s' if count > 1 else ''} {name!r}.")


def key_row(key: "Key", teams: "list[Team]") -> dict[str, object]:
    """Give a key as it stands in JSON. Times are whole seconds since the epoch."""
    terms = key.terms
    return {
        "id": key.id,
        "name": terms.name,
        "last_four": key.secrets[-1].last_four if key.secrets else "",
        "owner": terms.owner,
        "team": _team_name(terms.team, teams),
        "role": terms.role,
        "models": list(terms.models),
        "sources": list(terms.sources),
        **quota_row(terms.quota),
        "priority": terms.priority,
        "created": whole(key.created),
        "expires": whole(terms.expires),
        "revoked": whole(key.revoked),
        "last_used": whole(key.last_used),
        "secrets": [
            {
                "last_four": one.last_four,
                "created": whole(one.created),
                "expires": whole(one.expires),
            }
            for one in key.secrets
        ],
    }


def state(key: "Key", now: float) -> str:
    """Say in a word or two whether a key works."""
    if key.revoked is not None:
        return f"revoked {moment(key.revoked)}"
    if key.terms.expires is None:
        return "live"
    return f"{'expired' if key.terms.expires <= now else 'until'} {moment(key.terms.expires)}"


def _table(found: "list[Key]", teams: "list[Team]", now: float) -> None:
    head = ("name", "key", "id", "team", "role", "limits", "created", "last used", "state")
    rows = [
        (
            key.terms.name,
            _shown(key),
            key.id,
            _team_name(key.terms.team, teams) or "",
            str(key.terms.role),
            limits(key.terms.quota),
            moment(key.created),
            moment(key.last_used),
            state(key, now),
        )
        for key in found
    ]
    print_table(head, rows)


def _facts(key: "Key", teams: "list[Team]", now: float) -> list[tuple[str, str]]:
    terms = key.terms
    return [
        ("name", terms.name),
        ("id", key.id),
        ("key", "\n".join(_secret(one.last_four, one.expires) for one in key.secrets)),
        ("state", state(key, now)),
        ("owner", terms.owner),
        ("team", _team_name(terms.team, teams) or ""),
        ("role", str(terms.role)),
        ("models", ", ".join(terms.models) or "any"),
        ("from", ", ".join(terms.sources) or "anywhere"),
        ("limits", limits(terms.quota) or "none"),
        ("priority", str(terms.priority or "auto")),
        ("created", moment(key.created)),
        ("last used", moment(key.last_used) or "never"),
    ]


def _secret(last_four: str, expires: float | None) -> str:
    return f"sk-…{last_four}{f' until {moment(expires)}' if expires is not None else ''}"


def _shown(key: "Key") -> str:
    return f"sk-…{key.secrets[-1].last_four}" if key.secrets else ""


def _team_name(team_id: str | None, teams: "list[Team]") -> str | None:
    return next((team.name for team in teams if team.id == team_id), None)
