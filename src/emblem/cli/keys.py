"""``emblem keys``, ``emblem env`` and ``emblem rebind``: what the ledger holds."""

import json
import platform
import shlex
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from emblem.cli.address import base_url
from emblem.cli.options import (
    ConfigOption,
    HomeOption,
    HostOption,
    JsonOption,
    PortOption,
    home_folder,
    loaded,
)
from emblem.errors import InvalidRequest

if TYPE_CHECKING:
    from emblem.config import Settings
    from emblem.ports import Key, Ledger

DATABASE = "emblem.db"
MAX_HOST = 40  # characters of this machine's name in the name of a key

keys = typer.Typer(help="Make, list and revoke API keys.")

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="what the key is for")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="the key and nothing else")]


@contextmanager
def ledger(settings: "Settings") -> Iterator["Ledger"]:
    """Open the ledger of the home folder, and close it."""
    from emblem.ledger.sqlite import SqliteLedger

    with closing(SqliteLedger(home_folder(settings) / DATABASE)) as opened:
        yield opened


@keys.command("create")
def create(
    name: NameArgument,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
    home: HomeOption = None,
    config: ConfigOption = None,
) -> None:
    """Make a key and print it, this once. A running server accepts it within a second."""
    with ledger(loaded(home, config).settings) as book:
        key, secret = book.issue(name, now=time.time())
    if as_json:
        _json({**_row(key), "key": secret})
        return
    typer.echo(secret)
    if not quiet:
        typer.echo(f"That is the key {key.name!r}. It is shown only now; keep it safe.", err=True)


@keys.command("list")
def show(as_json: JsonOption = False, home: HomeOption = None, config: ConfigOption = None) -> None:
    """List the keys by name and last four characters."""
    with ledger(loaded(home, config).settings) as book:
        found = book.keys()
    if as_json:
        _json([_row(key) for key in found])
    elif found:
        _table(found)
    else:
        typer.echo("There is no key yet. Make one with: emblem keys create NAME", err=True)


@keys.command("revoke")
def revoke(
    name: Annotated[
        str, typer.Argument(metavar="NAME|ID", help="which key, as keys list shows it")
    ],
    as_json: JsonOption = False,
    home: HomeOption = None,
    config: ConfigOption = None,
) -> None:
    """Revoke every live key of that name, or the one with that id, for good.

    A running server refuses it within a second.
    """
    with ledger(loaded(home, config).settings) as book:
        count = book.revoke(name, now=time.time())
    if count == 0:
        raise InvalidRequest(f"there is no live key {name!r}; emblem keys list shows what there is")
    if as_json:
        _json({"revoked": count})
    else:
        typer.echo(f"Revoked {count} key{'s' if count > 1 else ''} {name!r}.")


def env(
    name: Annotated[
        str | None, typer.Option("--name", help="what the new key is for  [default: env-HOST-DATE]")
    ] = None,
    host: HostOption = None,
    port: PortOption = None,
    as_json: JsonOption = False,
    home: HomeOption = None,
    config: ConfigOption = None,
) -> None:
    """Print the two lines that point any OpenAI program here, with a new key."""
    settings = loaded(home, config, {"host": host, "port": port}).settings
    with ledger(settings) as book:
        key, secret = book.issue(name or _env_name(), now=time.time())
    url = base_url(settings.host, settings.port)
    if as_json:
        _json({"base_url": url, "key": secret, "name": key.name})
        return
    typer.echo(f"export OPENAI_BASE_URL={shlex.quote(url)}")
    typer.echo(f"export OPENAI_API_KEY={shlex.quote(secret)}")
    if sys.stdout.isatty():
        typer.echo(f'# the key {key.name!r}; to set both at once: eval "$(emblem env)"', err=True)


def rebind(
    names: Annotated[
        list[str], typer.Argument(metavar="NAME...", help="names that were served before")
    ],
    as_json: JsonOption = False,
    home: HomeOption = None,
    config: ConfigOption = None,
) -> None:
    """Let a name stand for another vector space from the next start on.

    Vectors made before must not be compared with those made after: every index that was filled
    under this name has to be filled anew.
    """
    with ledger(loaded(home, config).settings) as book:
        spaces = book.spaces()
        for name in names:
            if name not in spaces:
                known = ", ".join(spaces) or "none"
                raise InvalidRequest(f"no space is recorded for {name!r}; recorded names: {known}")
        for name in names:
            book.unbind(name)
    if as_json:
        _json([{"name": name, "space": spaces[name][1]} for name in names])
        return
    for name in names:
        typer.echo(
            f"{name!r} stood for {spaces[name][1]}. The space that it serves at the next start is "
            "recorded in its place; fill every index under this name anew."
        )


def _env_name() -> str:
    host = platform.node().partition(".")[0][:MAX_HOST]
    return f"env-{host or 'localhost'}-{time.strftime('%Y-%m-%d')}"


def _row(key: "Key") -> dict[str, str | int | None]:
    return {
        "id": key.id,
        "name": key.name,
        "last_four": key.last_four,
        "created": int(key.created),
        "revoked": None if key.revoked is None else int(key.revoked),
    }


def _json(value: object) -> None:
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))


def _table(found: "list[Key]") -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("name", "key", "id", "created", "revoked", box=None, pad_edge=False)
    for key in found:
        shown = f"sk-…{key.last_four}"
        table.add_row(key.name, shown, key.id, _moment(key.created), _moment(key.revoked))
    # A pipe has no width: nothing is cut or wrapped for it.
    width = None if sys.stdout.isatty() else 1000
    Console(markup=False, highlight=False, width=width, soft_wrap=width is not None).print(table)


def _moment(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))
