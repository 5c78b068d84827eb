"""``emblem quantize``: make a model of eight bits out of one that is computed here."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from emblem.cli import completion
from emblem.cli.options import ConfigOption, HomeOption, JsonOption, home_folder, loaded
from emblem.errors import ConfigError, ModelError

if TYPE_CHECKING:
    from emblem.cli.quantize_model import Rounding
    from emblem.config import Settings
    from emblem.model import Model

ModelArgument = Annotated[
    str,
    typer.Argument(
        metavar="MODEL", help="a name, hub repository or folder", autocompletion=completion.models
    ),
]
NameOption = Annotated[
    str | None,
    typer.Option("--name", metavar="NAME", help="serve it as NAME:int8, not as MODEL:int8"),
]
TextsOption = Annotated[
    Path | None,
    typer.Option(
        "--texts",
        metavar="FILE",
        help="measure the loss on these, one a line, not on built-in ones",
    ),
]
KeepOption = Annotated[
    list[str] | None,
    typer.Option(
        "--keep", metavar="LAYER", help="leave a layer as it is; * is any part; may be repeated"
    ),
]

QUANTIZE_EPILOG = """
Exit code 1: the vectors moved too far (mean cosine or rank correlation below 0.995), so nothing was
kept.

[bold]Examples[/bold]

  [cyan]emblem quantize all-MiniLM-L6-v2[/cyan]         then: emblem serve all-MiniLM-L6-v2:int8

  [cyan]emblem quantize ./my-model --name support[/cyan]

  [cyan]emblem quantize bge-small-en-v1.5 --keep '*.value' --texts ours.txt[/cyan]
"""

_ASK = "; give it another name with --name NAME"


@dataclass(frozen=True, slots=True)
class Report:
    """What was made, or would have been.

    ``kept`` are layers that stayed float32, ``chosen`` those among them that nobody asked for.
    ``folder`` is "" where the loss is too large and nothing was made.
    """

    name: str
    ok: bool
    folder: str
    space: str
    source: str
    group: int
    layers: int
    kept: tuple[str, ...]
    chosen: tuple[str, ...]
    mean_cosine: float
    worst_cosine: float
    rank_correlation: float
    texts: int
    bytes: int
    source_bytes: int


def quantize(
    model: ModelArgument,
    name: NameOption = None,
    texts: TextsOption = None,
    keep: KeepOption = None,
    as_json: JsonOption = False,
    home: HomeOption = None,
    config: ConfigOption = None,
) -> int:
    """Make a model about twice as fast, at a small loss that is measured and kept with it.

    What it makes is another model, in a space of its own, called MODEL:int8.
    """
    from emblem.cli.output import print_json

    settings = loaded(home, config).settings
    home_folder(settings)
    report = _quantised(model, name, _texts(texts), keep or [], settings)
    if as_json:
        print_json(report)
    else:
        _print(report)
    return 0 if report.ok else 1


def _quantised(
    reference: str,
    name: str | None,
    texts: tuple[str, ...],
    keep: list[str],
    settings: Settings,
) -> Report:
    from emblem import serving
    from emblem.cli.progress import bars
    from emblem.cli.quantize_model import Place, Quantiser, encoder_of, put
    from emblem.cli.quantize_texts import CANARIES
    from emblem.core.quantise import Bound

    with bars() as progress:
        before = serving.model(reference, settings, progress)
    called = _called(name, reference, before, settings)
    encoder_of(before)  # what cannot be quantised at all is said first
    serving.open_library(settings).check_free(called, str(before.space))
    quantiser = Quantiser(before, settings, texts, _say)
    rounding = quantiser.round(quantiser.keeping(keep))
    if not Bound().holds(rounding.loss):
        return _report(called, rounding)
    folder = serving.find(reference, settings)
    if folder is None:
        raise ModelError(f"{reference}: is gone, or has changed, while it was read")
    _say("writing it, and reading it again")
    proof = quantiser.proof(rounding, CANARIES)
    place = put(rounding, proof, CANARIES, Place(called, folder), settings)
    after = serving.understand(place, called, settings)
    return replace(
        _report(called, rounding),
        folder=str(place),
        space=str(after.space),
        bytes=sum(file.stat().st_size for file in after.weights),
        source_bytes=sum(file.stat().st_size for file in before.weights),
    )


def _called(name: str | None, reference: str, before: Model, settings: Settings) -> str:
    """Give the name of what is made. Raises ConfigError for one that means another model."""
    from emblem.models import catalog
    from emblem.models.identity import identify, is_own_name
    from emblem.models.reference import INT8
    from emblem.names import OPENAI_WIDTHS

    own = settings.models.get(reference)
    named = identify((own.source if own else "") or reference)
    base = reference if own else named.base or (named.folder or Path()).resolve().name
    if name is not None:
        base = name.removesuffix(f":{INT8}")
    row = named.row
    if row is None and before.space.known_recipe:  # a folder with what the catalogue pins
        row = catalog.of_weights(before.space.weights)
    known = catalog.find(base)
    if known is not None and known is row:
        return f"{row.name}:{INT8}"
    other = f"{base!r} " if name is None else f"--name {base!r}: "
    if known is not None:
        raise ConfigError(f"{other}is a model of the catalogue, and not what is quantised{_ASK}")
    if base in (INT8, catalog.CL100K.name, *OPENAI_WIDTHS):
        raise ConfigError(f"{other}stands for something else{_ASK}")
    is_repository = bool(base) and base == named.base
    if not is_repository and not is_own_name(base):
        raise ConfigError(f"{other}can be no name (letters, digits, _ . -){_ASK}")
    return f"{base}:{INT8}"


def _texts(file: Path | None) -> tuple[str, ...]:
    """Read the texts that the loss is measured on. Raises ConfigError."""
    from emblem.cli.quantize_texts import FEWEST, built_in, spread

    if file is None:
        return built_in()
    try:
        content = file.read_text("utf-8-sig")
    except OSError as error:
        raise ConfigError(f"--texts {file}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"--texts {file}: is not UTF-8: {error}") from error
    texts = spread([line for line in content.splitlines() if line.strip()])
    if len(texts) < FEWEST:
        raise ConfigError(
            f"--texts {file}: has {len(texts)} different lines that are not empty, and {FEWEST} are "
            "the fewest that a loss can be measured on"
        )
    return texts


def _say(what: str) -> None:
    """Say what is being done, on a terminal only."""
    if sys.stderr.isatty():
        typer.echo(f"{what} …", err=True)


def _report(name: str, rounding: Rounding) -> Report:
    from emblem.core.quantise import Bound

    made, loss = rounding.made, rounding.loss
    return Report(
        name=name,
        ok=Bound().holds(loss),
        folder="",
        space="",
        source=made.source,
        group=made.group,
        layers=rounding.layers,
        kept=made.kept,
        chosen=rounding.chosen,
        mean_cosine=round(loss.mean, 5),
        worst_cosine=round(loss.worst, 5),
        rank_correlation=round(loss.rank, 5),
        texts=loss.texts,
        bytes=0,
        source_bytes=0,
    )


def _print(report: Report) -> None:
    from emblem.cli.output import print_facts, size

    chosen = ", ".join(report.chosen)
    print_facts(
        [
            ("model", report.name if report.ok else ""),
            ("space", report.space),
            ("made from", report.source),
            ("rounded", f"{report.layers - len(report.kept)} of {report.layers} layers, to int8"),
            ("kept", "\n".join(report.kept)),
            ("", f"(the loss was too large without {chosen})" if chosen and report.ok else ""),
            ("texts", f"{report.texts} were compared"),
            ("mean cosine", f"{report.mean_cosine:.5f}"),
            ("worst cosine", f"{report.worst_cosine:.5f}"),
            ("rank correlation", f"{report.rank_correlation:.5f}"),
            ("weights", f"{size(report.bytes)}, were {size(report.source_bytes)}" * report.ok),
            ("folder", report.folder),
            ("serve it", f"emblem serve {quote(report.name)}" if report.ok else ""),
        ]
    )
    if not report.ok:
        typer.echo(
            "The vectors moved too far: mean cosine and rank correlation have to be 0.995. Nothing "
            "was kept. Other layers may be left as they are with --keep, or other texts be given "
            "with --texts.",
            err=True,
        )
