"""Heat maps of cosines: a PNG by matplotlib, a page by plotly. Both come with the extra ``plots``."""

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from emblem.errors import InvalidRequest, MissingExtra

if TYPE_CHECKING:
    from emblem.types import Vectors

    Draw = Callable[[Vectors, Sequence[str], str], None]

LABELLED = 40  # texts that are named beside their rows
WRITTEN = 20  # texts whose cosines are written into their cells
LABEL_CELLS = 28
LOWEST = 0.0  # a lower cosine is drawn as this one: those of real texts hardly are


def drawing(file: Path) -> "Draw":
    """Give what draws cosines (n, n), texts and a title into a file, by how its name ends.

    Raises InvalidRequest for another ending or folder, MissingExtra without the libraries.
    """
    if file.suffix.lower() not in (".png", ".html"):
        raise InvalidRequest(f"--matrix is {str(file)!r}; it must end in .png or .html")
    if not file.absolute().parent.is_dir():
        raise InvalidRequest(f"--matrix is {str(file)!r}; there is no folder {file.parent}")
    try:
        return _png(file) if file.suffix.lower() == ".png" else _html(file)
    except ModuleNotFoundError as error:
        raise MissingExtra("drawing a heat map", "plots") from error


def _png(file: Path) -> "Draw":
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    def draw(cosines: "Vectors", texts: Sequence[str], title: str) -> None:
        count = len(texts)
        side = min(16.0, 3.0 + 0.4 * count)
        figure = Figure(figsize=(side + 2, side), dpi=120, layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        image = axes.imshow(cosines, cmap="viridis", vmin=LOWEST, vmax=1.0)
        axes.set_title(_plain(title), fontsize=10)
        shown = [_plain(one) for one in _labels(texts)]
        axes.set_xticks(range(len(shown)), shown, rotation=45, ha="right", rotation_mode="anchor")
        axes.set_yticks(range(len(shown)), shown)
        if count <= WRITTEN:
            for row in range(count):
                for column in range(count):
                    value = float(cosines[row, column])
                    ink = "black" if value > 0.6 else "white"
                    where: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 8}
                    axes.text(column, row, f"{value:.2f}", color=ink, **where)
        figure.colorbar(image, ax=axes, label="cosine")
        with warnings.catch_warnings(record=True) as met:
            warnings.simplefilter("always")
            _write(file, lambda: figure.savefig(file))
        if any("missing from font" in str(one.message) for one in met):
            typer.echo(f"{file}: no font here has some of the characters; an .html has", err=True)

    return draw


def _html(file: Path) -> "Draw":
    import plotly.graph_objects as graphs

    def draw(cosines: "Vectors", texts: Sequence[str], title: str) -> None:
        names = [f"{at}. {one}" for at, one in enumerate(_escaped(texts), 1)]
        heat: Any = graphs.Heatmap(
            z=[[round(float(one), 4) for one in row] for row in cosines],
            x=names,
            y=names,
            zmin=LOWEST,
            zmax=1.0,
            colorscale="Viridis",
            colorbar={"title": "cosine"},
            hovertemplate="%{y}<br>%{x}<br>%{z:.3f}<extra></extra>",
        )
        figure = graphs.Figure(heat)
        labelled = len(texts) <= LABELLED
        figure.update_xaxes(showticklabels=labelled)
        figure.update_yaxes(showticklabels=labelled, autorange="reversed", scaleanchor="x")
        figure.update_layout(title=title)
        # The page holds all it needs: it opens without a network.
        _write(file, lambda: figure.write_html(file, include_plotlyjs=True))

    return draw


def _write(file: Path, write: Callable[[], object]) -> None:
    try:
        write()
    except OSError as error:
        raise InvalidRequest(f"{file} cannot be written: {error.strerror}") from None


def _labels(texts: Sequence[str]) -> list[str]:
    """Give the beginnings of texts, or nothing where there are too many to be read."""
    from emblem.cli.similarity import label

    return [label(text, LABEL_CELLS) for text in texts] if len(texts) <= LABELLED else []


def _escaped(texts: Sequence[str]) -> list[str]:
    """Give the beginnings of texts as plotly shows them: it reads a few tags of HTML."""
    from html import escape

    from emblem.cli.similarity import label

    return [escape(label(text, LABEL_CELLS)) for text in texts]


def _plain(text: str) -> str:
    r"""Keep matplotlib from reading ``$…$`` as mathematics."""
    return text.replace("$", r"\$")
