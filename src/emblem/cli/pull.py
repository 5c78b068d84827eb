"""``emblem pull``: have a model's files before they are needed."""

from pathlib import Path
from typing import Annotated

import typer

from emblem.cli.options import ConfigOption, HomeOption, loaded

ReferencesArgument = Annotated[
    list[str], typer.Argument(metavar="REFERENCE...", help="catalogue names or hub repositories")
]
RevisionOption = Annotated[
    str | None, typer.Option("--revision", metavar="REVISION", help="of a hub repository")
]


def pull(
    references: ReferencesArgument,
    revision: RevisionOption = None,
    home: HomeOption = None,
    config: ConfigOption = None,
) -> None:
    """Fetch models and check every byte, so that serving them needs no network."""
    from emblem.cli.progress import bars
    from emblem.models.library import Library

    settings = loaded(home, config).settings
    for reference in references:
        with bars() as report:
            library = Library(
                Path(settings.home), settings.sources, offline=settings.offline, progress=report
            )
            folder = library.fetch(reference, revision)
        typer.echo(f"{reference} is in {folder}")
