"""``emblem similarity``: how alike texts are, as a table, as JSON or as a picture."""

import json
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from emblem.cli.embed import BaseUrlOption, KindOption, ModelOption
from emblem.cli.options import ConfigOption, HomeOption, JsonOption, loaded
from emblem.errors import InvalidInput, InvalidRequest

if TYPE_CHECKING:
    from emblem.config import Settings
    from emblem.local import EmbeddingModel
    from emblem.types import Kind, Vectors

SIMILARITY_EPILOG = """
[bold]Examples[/bold]

  [cyan]emblem similarity "a cat" "a kitten" "interest rates"[/cyan]

  [cyan]emblem similarity --file titles.txt --matrix titles.html[/cyan]

  [cyan]cat titles.txt | emblem similarity --file - --json[/cyan]
"""

MAX_TEXTS = 2000  # their cosines take 16 MB
WHOLE = 12  # texts whose cosines fit below and beside one another
MOST_ALIKE = 20  # pairs that are listed of more texts
LABEL_CELLS = 40

TextsArgument = Annotated[list[str] | None, typer.Argument(metavar="[TEXT]...", help="texts")]
FileOption = Annotated[
    str | None, typer.Option("--file", "-f", metavar="FILE", help="a text on each line; - is stdin")
]
MatrixOption = Annotated[
    str | None,
    typer.Option("--matrix", metavar="OUT", help="draw a heat map: a .png or .html file"),
]


def similarity(
    texts: TextsArgument = None,
    file: FileOption = None,
    model: ModelOption = None,
    kind: KindOption = None,
    matrix: MatrixOption = None,
    base_url: BaseUrlOption = None,
    as_json: JsonOption = False,
    home: HomeOption = None,
    config: ConfigOption = None,
) -> None:
    """Compare texts: the cosine of each with each."""
    from msgspec import structs

    from emblem.cli import heatmap

    settings = loaded(home, config).settings
    draw = None if matrix is None else heatmap.drawing(Path(matrix))
    compared = [*(texts or ()), *(_lines(file) if file else ())]
    if not 2 <= len(compared) <= MAX_TEXTS:
        raise InvalidRequest(
            f"similarity compares 2 to {MAX_TEXTS} texts, and was given {len(compared)}"
        )
    if not file:
        # A few texts are done before a model could be compiled for rows side by side.
        settings = structs.replace(settings, streams=1)
    with closing(_model(model, base_url, settings)) as opened:
        vectors = _embedded(opened, compared, _kind(kind))
        cosines, space = opened.similarity(vectors), str(opened.space)
    if draw is not None:
        draw(cosines, compared, f"cosines in {space}")
    if as_json:
        rows = [[round(float(one), 6) for one in row] for row in cosines]
        document = {"space": space, "texts": compared, "cosines": rows}
        typer.echo(json.dumps(document, ensure_ascii=False))
    elif len(compared) <= WHOLE:
        _print_whole(compared, cosines)
    else:
        _print_pairs(compared, cosines)


def _model(reference: str | None, base_url: str | None, settings: "Settings") -> "EmbeddingModel":
    from emblem.cli.progress import bars
    from emblem.local.opening import connect, opened

    name = reference or settings.default_model
    if base_url is not None:
        return connect(name, base_url)
    with bars() as report:
        return opened(name, settings, report)


def _embedded(model: "EmbeddingModel", texts: list[str], kind: "Kind | None") -> "Vectors":
    """Embed the texts; what is wrong is called as this command calls it.

    Its tables count texts from 1.
    """
    try:
        return model.embed(texts, kind=kind)
    except InvalidInput as error:
        raise InvalidInput(
            error.problems, called=lambda at: f"text {at + 1} of {len(texts)}"
        ) from None
    except InvalidRequest as error:
        if error.param != "kind":
            raise
        said = str(error).replace("Leave kind out", "Leave --kind out")
        raise InvalidRequest(said, param="kind") from None


def _kind(given: str | None) -> "Kind | None":
    from emblem.types import Kind

    if given is None or given in list(Kind):
        return None if given is None else Kind(given)
    raise InvalidRequest(f"--kind is {given!r}; it must be one of {', '.join(Kind)}")


def _lines(file: str) -> list[str]:
    """Read a text from each line that is not empty."""
    try:
        content = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
        text = content.decode("utf-8-sig")
    except OSError as error:
        raise InvalidRequest(f"{file}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"{file} is not UTF-8 at byte {error.start}") from None
    return [line for line in map(str.strip, text.splitlines()) if line]


def _print_whole(texts: list[str], cosines: "Vectors") -> None:
    """Print all cosines: a row and a column for each text."""
    from emblem.cli.output import print_table

    numbers = [str(at) for at in range(1, len(texts) + 1)]
    rows = [
        [number, label(text), *(f"{one:.3f}" for one in row)]
        for number, text, row in zip(numbers, texts, cosines, strict=True)
    ]
    print_table(["", "text", *numbers], rows, right=" ".join(numbers))


def _print_pairs(texts: list[str], cosines: "Vectors") -> None:
    """Print the pairs that are most alike."""
    import numpy as np

    from emblem.cli.output import print_table

    left, right = np.triu_indices(len(texts), 1)
    found = cosines[left, right]
    order = np.argsort(-found, kind="stable")[:MOST_ALIKE]
    rows = [[f"{found[at]:.3f}", label(texts[left[at]]), label(texts[right[at]])] for at in order]
    print_table(["cosine", "text", "text"], rows, right="cosine")
    if len(found) > MOST_ALIKE:
        typer.echo(
            f"These are the {MOST_ALIKE} most alike of {len(found):,} pairs; --json has all, and "
            "--matrix draws them.",
            err=True,
        )


def label(text: str, cells: int = LABEL_CELLS) -> str:
    """Give the beginning of a text on one line."""
    from rich.cells import cell_len, set_cell_size

    line = " ".join(text.split())
    return line if cell_len(line) <= cells else f"{set_cell_size(line, cells - 1).rstrip()}…"
