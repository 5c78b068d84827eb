"""``emblem pull``: have a model's files before they are needed."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from emblem.cli import completion
from emblem.cli.options import ConfigOption, HomeOption, JsonOption, home_folder, loaded

if TYPE_CHECKING:
    from emblem.config import Settings
    from emblem.models.library import Library

ReferencesArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="REFERENCE...",
        help="catalogue names or hub repositories",
        autocompletion=completion.models,
    ),
]
RevisionOption = Annotated[
    str | None, typer.Option("--revision", metavar="REVISION", help="of a hub repository")
]

PULL_EPILOG = """
[bold]Examples[/bold]

  [cyan]emblem pull bge-small-en-v1.5 nomic-embed-text[/cyan]

  [cyan]emblem pull org/name:quantized@v1.0[/cyan]     a variant of it, at a revision
"""


@dataclass(frozen=True, slots=True)
class Pulled:
    """What a pull gave. ``new`` is false where every file was here and proven already."""

    reference: str
    name: str
    folder: str
    bytes: int
    new: bool
    source: str
    revision: str | None


def pull(
    references: ReferencesArgument,
    revision: RevisionOption = None,
    as_json: JsonOption = False,
    home: HomeOption = None,
    config: ConfigOption = None,
) -> None:
    """Fetch models and check every byte, so that serving them needs no network.

    The table that decodes OpenAI's token ids is fetched with them.
    """
    from emblem.cli.output import print_json, size

    settings = loaded(home, config).settings
    done = []
    for reference in references:
        if (own := _own_folder(reference, revision, settings)) is not None:
            done.append(own)
            if not as_json:
                typer.echo(
                    f"{reference} is a folder of yours, which needs no pull: "
                    f"emblem serve {quote(reference)}"
                )
            continue
        with _library(settings) as library:
            new = library.find(reference, revision) is None
            one = _pulled(library, reference, library.fetch(reference, revision), new)
        done.append(one)
        if not as_json:
            took = f"{size(one.bytes)}, {'fetched' if new else 'here already'}"
            typer.echo(f"{reference} is in {one.folder} ({took})")
            _say_what_is_missing(reference)
    with _library(settings) as library:
        library.cl100k(fetch=True)
    if as_json:
        print_json(done)


def _own_folder(reference: str, revision: str | None, settings: "Settings") -> Pulled | None:
    """Give a model folder that lies where it is; None where a pull is meant.

    Raises ModelError for a folder that is no model.
    """
    from emblem.models.identity import identify
    from emblem.models.library import Library
    from emblem.serving import understand

    folder = identify(reference, revision).folder
    if folder is None:
        return None
    found = Library(home_folder(settings), settings.sources).fetch(reference)
    model = understand(found, reference, settings)
    return Pulled(reference, model.name, str(folder), _bytes_below(folder), False, "", None)


def _pulled(library: "Library", reference: str, folder: Path, new: bool) -> Pulled:
    known = library.in_folder(folder)
    return Pulled(
        reference,
        known.name if known else folder.name,
        str(folder),
        known.bytes if known else _bytes_below(folder),
        new,
        known.manifest.source if known else "",
        known.manifest.revision if known else None,
    )


def _bytes_below(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _say_what_is_missing(reference: str) -> None:
    """Say it now where the model will need a part that is not installed."""
    from importlib.util import find_spec

    from emblem.models import catalog

    row = catalog.find(reference)
    if row is not None and row.needs_torch and find_spec("sentence_transformers") is None:
        typer.echo(f"To run {row.name}, install: pip install 'emblem[torch]'", err=True)


@contextmanager
def _library(settings: "Settings") -> Iterator["Library"]:
    """Give the library, with a bar for what it downloads."""
    from emblem.cli.progress import bars
    from emblem.models.library import Library

    with bars() as report:
        yield Library(
            home_folder(settings), settings.sources, offline=settings.offline, progress=report
        )
