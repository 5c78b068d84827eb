"""``emblem db``: the database of keys, spaces and usage."""

from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from emblem.cli.options import ConfigOption, HomeOption, JsonOption, home_folder, loaded
from emblem.cli.output import print_json

db = typer.Typer(help="Upgrade, check and back up the database of keys, spaces and usage.")

FileArgument = Annotated[str, typer.Argument(metavar="FILE", help="a file that is not there yet")]


@db.command("upgrade")
def upgrade(
    as_json: JsonOption = False, home: HomeOption = None, config: ConfigOption = None
) -> None:
    """Bring the tables to this version, as every start of a server does."""
    from emblem.ledger.opening import open_database
    from emblem.ledger.upkeep import upgraded

    settings = loaded(home, config).settings
    home_folder(settings)
    with closing(open_database(settings, upgrade=False)) as database:
        before, after = upgraded(database)
    if as_json:
        print_json({"database": database.name, "before": before, "version": after})
    elif before == after:
        typer.echo(f"{database.name} has the tables of this version ({after}) already.")
    else:
        typer.echo(f"{database.name}: tables {before or 'none'} → {after}.")


@db.command("check")
def check(
    as_json: JsonOption = False, home: HomeOption = None, config: ConfigOption = None
) -> None:
    """Look whether the database is sound and of this version; exit code 1 where it is not."""
    from emblem.ledger.opening import open_database
    from emblem.ledger.upkeep import look

    with closing(open_database(loaded(home, config).settings, upgrade=False)) as database:
        health = look(database)
    if as_json:
        print_json(health)
    elif health.problems:
        for problem in health.problems:
            typer.echo(f"{health.database}: {problem}", err=True)
    else:
        typer.echo(f"{health.database} is sound (tables {health.version}).")
    if health.problems:
        raise typer.Exit(1)


@db.command("backup")
def backup(
    file: FileArgument,
    as_json: JsonOption = False,
    home: HomeOption = None,
    config: ConfigOption = None,
) -> None:
    """Copy SQLite's database to a file, while servers use it. For PostgreSQL, name its own tool."""
    from emblem.ledger.opening import open_database
    from emblem.ledger.upkeep import backup as copy

    target = Path(file).expanduser()
    with closing(open_database(loaded(home, config).settings, upgrade=False)) as database:
        copy(database, target)
    size = target.stat().st_size
    if as_json:
        print_json({"database": database.name, "file": str(target), "bytes": size})
    else:
        typer.echo(f"Copied {database.name} to {target} ({size} bytes).")
