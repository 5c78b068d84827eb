"""``emblem env`` and ``emblem rebind``: pointing programs here, and names at other spaces."""

import platform
import shlex
import sys
import time
from typing import Annotated

import typer

from emblem.cli.address import base_url
from emblem.cli.ledger import ledger
from emblem.cli.options import (
    ConfigOption,
    HomeOption,
    HostOption,
    JsonOption,
    PortOption,
    loaded,
)
from emblem.cli.output import print_json
from emblem.errors import InvalidRequest

MAX_HOST = 40  # characters of this machine's name in the name of a key


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
    from emblem.accounts import Terms

    settings = loaded(home, config, {"host": host, "port": port}).settings
    with ledger(settings) as book:
        key, secret = book.keys.issue(Terms(name or _env_name()), now=time.time())
    url = base_url(settings.host, settings.port, tls=settings.tls_cert)
    if as_json:
        print_json({"base_url": url, "key": secret, "name": key.terms.name})
        return
    typer.echo(f"export OPENAI_BASE_URL={shlex.quote(url)}")
    typer.echo(f"export OPENAI_API_KEY={shlex.quote(secret)}")
    if sys.stdout.isatty():
        typer.echo(
            f'# the key {key.terms.name!r}; to set both at once: eval "$(emblem env)"', err=True
        )


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
        spaces = book.spaces.every()
        for name in names:
            if name not in spaces:
                known = ", ".join(spaces) or "none"
                raise InvalidRequest(f"no space is recorded for {name!r}; recorded names: {known}")
        for name in names:
            book.spaces.unbind(name, now=time.time())
    if as_json:
        print_json([{"name": name, "space": spaces[name][1]} for name in names])
        return
    for name in names:
        typer.echo(
            f"{name!r} stood for {spaces[name][1]}. The space that it serves at the next start is "
            "recorded in its place; fill every index under this name anew."
        )


def _env_name() -> str:
    host = platform.node().partition(".")[0][:MAX_HOST]
    return f"env-{host or 'localhost'}-{time.strftime('%Y-%m-%d')}"
