"""What is known of a model: from the catalogue, from its files, or from both."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from emblem.config import Settings
    from emblem.model import Model, Network
    from emblem.models.catalog import Row, Score
    from emblem.models.library import Installed


@dataclass(frozen=True, slots=True)
class File:
    """One file of a model. ``size`` is in bytes."""

    name: str
    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class QuantisedFacts:
    """How a model was quantised here, and at what loss to the model that it was made from.

    Cosines and ranks are those of ``texts`` texts; ``kept`` are the layers that were not rounded.
    """

    source: str
    group: int
    kept: tuple[str, ...]
    mean_cosine: float
    worst_cosine: float
    rank_correlation: float
    texts: int


@dataclass(frozen=True, slots=True)
class Facts:
    """All that is known of one model; None, "" or () where it is not.

    ``reference`` is what a command line calls it, where that is not its name: a folder's path.
    ``pooling`` has the ways in which token states become one vector, laid side by side; ``dense``
    the layers after that. ``problem`` says why a model that is here cannot be served. ``fetched`` is seconds of the epoch,
    ``bytes`` what its files take, ``download_bytes`` about what its weights take as published.
    """

    name: str
    reference: str = ""
    other_names: tuple[str, ...] = ()
    installed: bool = False
    space: str = ""
    family: str = ""
    engine: str = ""
    width: int | None = None
    shorter_widths: tuple[int, ...] = ()
    min_width: int | None = None
    max_length: int | None = None
    any_length: bool = False
    overflow: str = ""
    quantised: QuantisedFacts | None = None
    pooling: tuple[str, ...] = ()
    dense: tuple[str, ...] = ()
    normalised: bool | None = None
    query_prompt: str = ""
    document_prompt: str = ""
    prompts_needed: bool = False
    languages: tuple[str, ...] = ()
    languages_claimed: str = ""
    licence: str = ""
    gated: bool = False
    page: str = ""
    score: Score | None = None
    parameters: int | None = None
    download_bytes: int | None = None
    note: str = ""
    folder: str = ""
    source: str = ""
    revision: str = ""
    fetched: int | None = None
    bytes: int | None = None
    files: tuple[File, ...] = ()
    problem: str = ""


def of_row(row: Row, variant: str = "") -> Facts:
    """Give what the catalogue knows of a model that is not here.

    How good and how big a variant is nobody published.
    """
    from emblem.models.identity import with_variant

    return Facts(
        name=with_variant(row.name, variant),
        other_names=row.names[1:] if not variant else (),
        family=row.family,
        engine=_engine_of_row(row),
        width=row.width,
        shorter_widths=row.widths,
        min_width=row.min_width,
        max_length=row.max_length,
        any_length=row.max_length is None,
        query_prompt=row.prompts.query or "",
        document_prompt=row.prompts.document or "",
        prompts_needed=row.prompts_needed,
        languages=row.languages,
        languages_claimed=row.claims,
        licence=row.licence,
        gated=row.gated,
        page=row.page,
        score=None if variant else row.score,
        parameters=row.size.all if row.size else None,
        download_bytes=None if variant else _download(row),
        note=row.note,
        revision=(row.asset.hub.revision or "") if row.asset.hub else "",
    )


def of_folder(
    folder: Path, reference: str, settings: Settings, installed: Installed | None
) -> Facts:
    """Give what the files of a model say, and what the catalogue adds."""
    from dataclasses import replace

    from emblem.errors import EmblemError
    from emblem.models.identity import identify
    from emblem.serving import understand

    own = settings.models.get(reference)
    source = (own.source if own else "") or reference
    named = identify(source, own.revision if own else None, own.variant if own else "")
    facts = of_row(named.row, named.variant) if named.row else Facts(named.name)
    name = reference if own else named.name
    facts = replace(facts, name=name, installed=True, folder=str(folder), download_bytes=None)
    if installed is not None:
        facts = _fetched(facts, installed)
    elif not own:
        facts = replace(facts, reference=_path(reference))
    try:
        if installed is None:
            facts = _of_own_files(facts, folder)
        return _understood(facts, understand(folder, reference, settings))
    except EmblemError as error:
        return replace(facts, problem=str(error))


def _fetched(facts: Facts, installed: Installed) -> Facts:
    from dataclasses import replace

    manifest = installed.manifest
    files = (File(name, seal.sha256, seal.size) for name, seal in manifest.files.items())
    return replace(
        facts,
        source=manifest.source,
        revision=manifest.revision or "",
        fetched=int(installed.fetched),
        bytes=installed.bytes,
        files=tuple(sorted(files, key=lambda file: file.name)),
    )


def _path(reference: str) -> str:
    """Write the path of a folder so that no name can be meant."""
    return reference if reference.startswith((".", "/", "~")) else f"./{reference}"


def _of_own_files(facts: Facts, folder: Path) -> Facts:
    """Add the files of a folder that was not fetched. Raises ModelError."""
    from dataclasses import replace

    from emblem.errors import ModelError
    from emblem.models.shelf import seals

    try:
        found = seals(folder)
    except OSError as error:
        raise ModelError(f"{error.filename}: {error.strerror}") from error
    files = tuple(File(name, seal.sha256, seal.size) for name, seal in found.items())
    return replace(facts, files=files, bytes=sum(file.size for file in files))


def _understood(facts: Facts, model: Model) -> Facts:
    from dataclasses import replace

    return replace(
        facts,
        space=str(model.space),
        family=_family(model.encoder, facts.family),
        engine=_engine(model.encoder) + (", with weights of eight bits" if model.quantised else ""),
        width=model.width,
        max_length=model.tokenization.max_length,
        any_length=model.tokenization.max_length is None,
        quantised=_quantised(model),
        pooling=_pooling(model),
        dense=tuple(
            f"{one.inputs} to {one.outputs}{', with a bias' * one.bias}, {one.activation}"
            for one in model.dense
        ),
        normalised=model.space.normalised,
        overflow=str(model.space.overflow) if model.tokenization.max_length else "",
        query_prompt=model.prompts.query or "",
        document_prompt=model.prompts.document or "",
        languages=model.languages,
        licence=model.licence,
    )


def _quantised(model: Model) -> QuantisedFacts | None:
    made = model.quantised
    if made is None:
        return None
    mean, worst, rank = (round(one, 5) for one in (made.loss.mean, made.loss.worst, made.loss.rank))
    return QuantisedFacts(made.source, made.group, made.kept, mean, worst, rank, made.loss.texts)


def _pooling(model: Model) -> tuple[str, ...]:
    """Say how token states become a vector; a model that is run whole pools by itself."""
    from emblem.model import Modules

    if isinstance(model.encoder, Modules):
        return ()
    without = "" if model.pooling.include_prompt else ", without the prompt"
    return tuple(f"{mode}{without}" for mode in model.pooling.modes)


def _download(row: Row) -> int | None:
    return row.asset.size or (row.size.mib << 20 if row.size else None)


def _family(network: Network | None, known: str) -> str:
    from emblem.model import Graph, Modules

    if network is None:
        return "static"
    if isinstance(network, Graph):
        return known or "onnx" if network.file.suffix == ".onnx" else known or "openvino"
    return known if isinstance(network, Modules) else network.family


def _engine(network: Network | None) -> str:
    from emblem.model import Graph, Modules

    if network is None:
        return "a table in memory: a look-up and a mean"
    if isinstance(network, Graph):
        return f"OpenVINO, from {network.file.name}"
    if isinstance(network, Modules):
        return "torch, through sentence-transformers"
    return "OpenVINO, built from its safetensors"


def _engine_of_row(row: Row) -> str:
    if row.needs_torch:
        return "torch, through sentence-transformers: pip install 'emblem[torch]'"
    if row.family == "static":
        return "a table in memory: a look-up and a mean"
    return "OpenVINO"
