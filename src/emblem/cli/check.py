"""``emblem check``: load a model, and see that its vectors are what they must be."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from emblem.cli import completion
from emblem.cli.options import ConfigOption, HomeOption, JsonOption, home_folder, loaded

if TYPE_CHECKING:
    from emblem.cli.canaries import Check
    from emblem.config import Settings
    from emblem.model import Model
    from emblem.ports import Embedder
    from emblem.types import Kind, Vectors

ModelArgument = Annotated[
    str,
    typer.Argument(
        metavar="MODEL", help="a name, hub repository or folder", autocompletion=completion.models
    ),
]

CHECK_EPILOG = """
Exit code 1: something is not as it must be.

[bold]Examples[/bold]

  [cyan]emblem check all-MiniLM-L6-v2[/cyan]

  [cyan]emblem check ./my-model --json[/cyan]
"""


@dataclass(frozen=True, slots=True)
class Report:
    """What was seen. Times are seconds, speeds tokens per second; None where it is not known."""

    model: str
    space: str
    ok: bool
    checks: tuple[Check, ...]
    load_s: float
    short_tokens_per_s: float | None
    long_tokens_per_s: float | None
    memory_bytes: int | None


def check(
    model: ModelArgument,
    as_json: JsonOption = False,
    home: HomeOption = None,
    config: ConfigOption = None,
) -> int:
    """Load a model, embed texts of several lengths and languages, and look at what it gives.

    Compares with sentence-transformers where that is installed beside. Fetches what is missing.
    """
    from emblem.cli.output import print_json

    settings = loaded(home, config).settings
    home_folder(settings)
    report = _examine(model, settings)
    if as_json:
        print_json(report)
    else:
        _print(report)
    return 0 if report.ok else 1


def _examine(reference: str, settings: Settings) -> Report:
    from emblem import serving
    from emblem.backends.memory import resident_bytes
    from emblem.cli.progress import bars

    before = resident_bytes()
    with bars() as progress:
        found = serving.model(reference, settings, progress)
    seen = asyncio.run(_run(found, settings))
    known = before is not None and seen.resident_bytes is not None
    return Report(
        found.name,
        str(found.space),
        all(one.ok is not False for one in seen.checks),
        tuple(seen.checks),
        round(seen.load_s, 3),
        seen.short,
        seen.long,
        max(0, (seen.resident_bytes or 0) - (before or 0)) if known else None,
    )


@dataclass(frozen=True, slots=True)
class _Seen:
    checks: list[Check]
    load_s: float
    short: float | None = None
    long: float | None = None
    resident_bytes: int | None = None


async def _run(model: Model, settings: Settings) -> _Seen:
    from emblem import opening
    from emblem.backends.memory import resident_bytes
    from emblem.cli import canaries
    from emblem.cli.speed import pace, passages
    from emblem.errors import InvalidResult

    begun = time.perf_counter()
    embedder = await asyncio.to_thread(opening.open_engine, model, settings)
    load_s = time.perf_counter() - begun
    try:
        checks = await _checks(model, embedder)
        short = await pace(embedder, [canaries.SENTENCE] * 16)
        long = await pace(embedder, passages())
        resident = resident_bytes()  # before torch comes in, and takes threads and memory too
        checks.append(await _compared(model, embedder))
        return _Seen(checks, load_s, round(short, 1), round(long, 1), resident)
    except InvalidResult as error:
        return _Seen([canaries.Check("finite", False, error.what)], load_s)
    finally:
        await embedder.aclose()


async def _checks(model: Model, embedder: Embedder) -> list[Check]:
    from emblem.cli import canaries
    from emblem.types import Kind

    texts = [*canaries.SHORT, canaries.LONG]
    together = await _vectors(embedder, texts)
    again = await _vectors(embedder, texts)
    alone = [await _vectors(embedder, [text]) for text in texts]
    three = [canaries.SENTENCE, canaries.PARAPHRASE, canaries.UNRELATED]
    kind = Kind.DOCUMENT if model.prompts.document else None
    rounded = model.quantised is not None
    checks = [
        canaries.finite(together, model.width),
        canaries.norm(together, model.space.normalised),
        canaries.same("twice", together, again, rounded=rounded),
        canaries.same("alone", together, _stacked(alone), rounded=rounded),
        canaries.sense(await _vectors(embedder, three, kind)),
    ]
    kinds = [kind for kind in Kind if model.prompts.of(kind)]
    if kinds:
        of_kind = [await _vectors(embedder, [canaries.SENTENCE], kind) for kind in kinds]
        plain = await _vectors(embedder, [canaries.SENTENCE])
        checks.append(canaries.prompted(plain, of_kind))
    return checks


async def _vectors(embedder: Embedder, texts: list[str], kind: Kind | None = None) -> Vectors:
    from emblem.types import EmbedRequest, Overflow

    result = await embedder.embed(EmbedRequest(tuple(texts), kind=kind, overflow=Overflow.TRUNCATE))
    return result.vectors


def _stacked(parts: list[Vectors]) -> Any:
    import numpy as np

    return np.concatenate(parts)


async def _compared(model: Model, embedder: Embedder) -> Check:
    """Embed the same texts with sentence-transformers, where that can be."""
    from importlib.util import find_spec

    from emblem.cli import canaries
    from emblem.model import Graph

    name = "sentence-transformers"
    folder = _layout(model)
    if find_spec("sentence_transformers") is None:
        return canaries.Check(name, None, "is not installed here, so nothing was compared")
    if folder is None or model.quantised is not None:
        return canaries.Check(name, None, "does not read this layout, so nothing was compared")
    texts = [*canaries.SHORT, *canaries.overlong(model.tokenization.max_length)]
    try:
        theirs = await asyncio.to_thread(_theirs, folder, texts)
    except Exception as error:  # noqa: BLE001 - whatever a foreign library raises is its answer
        text = (str(error).strip().splitlines() or [type(error).__name__])[0]
        return canaries.Check(name, None, f"could not load it: {text[:200]}")
    ours = await _vectors(embedder, texts)
    return canaries.agreement(ours, theirs, exact=not isinstance(model.encoder, Graph))


def _theirs(folder: Path, texts: list[str]) -> Any:
    import torch
    from sentence_transformers import SentenceTransformer

    # In float32, whatever its files hold: that is what is computed with here.
    other = SentenceTransformer(
        str(folder),
        device="cpu",
        local_files_only=True,
        model_kwargs={"dtype": torch.float32},
    )
    return other.encode(texts, prompt="", show_progress_bar=False, convert_to_numpy=True)


def _layout(model: Model) -> Path | None:
    """Give the folder that has the modules of a model, looking upwards from its weights."""
    for file in (*model.weights[:1], model.tokenization.file):
        for folder in list(file.parents)[:3]:
            if (folder / "modules.json").is_file():
                return folder
    return None


def _print(report: Report) -> None:
    from emblem.cli.output import print_facts, size

    words = {True: "ok", False: "WRONG", None: "-"}
    memory = size(report.memory_bytes) if report.memory_bytes is not None else ""
    print_facts(
        [
            ("model", report.model),
            ("space", report.space),
            *((one.name, f"{words[one.ok]:<5}  {one.said}") for one in report.checks),
            ("loaded in", f"{report.load_s:.2f} s"),
            ("short texts", _pace(report.short_tokens_per_s)),
            ("passages", _pace(report.long_tokens_per_s)),
            ("memory", f"{memory} more than before" if memory else ""),
            ("result", "as it must be" if report.ok else "NOT as it must be"),
        ]
    )


def _pace(tokens_per_s: float | None) -> str:
    return "" if tokens_per_s is None else f"{tokens_per_s:,.0f} tokens/s"
