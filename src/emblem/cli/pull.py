"""``emblem pull``: have a model's files before they are needed."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from emblem.cli.options import ConfigOption, HomeOption, home_folder, loaded

if TYPE_CHECKING:
    from emblem.config import Settings
    from emblem.models.library import Library

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
    """Fetch models and check every byte, so that serving them needs no network.

    The table that decodes OpenAI's token ids is fetched with them.
    """
    settings = loaded(home, config).settings
    for reference in references:
        with _library(settings) as library:
            folder = library.fetch(reference, revision)
        typer.echo(f"{reference} is in {folder}")
    with _library(settings) as library:
        library.cl100k(fetch=True)


@contextmanager
def _library(settings: "Settings") -> Iterator["Library"]:
    """Give the library, with a bar for what it downloads."""
    from emblem.cli.progress import bars
    from emblem.models.library import Library

    with bars() as report:
        yield Library(
            home_folder(settings), settings.sources, offline=settings.offline, progress=report
        )
