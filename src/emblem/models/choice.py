"""What runs a sentence-transformers model. Decides only; the same for a folder and a repository."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from emblem.errors import ModelError
from emblem.models import graph_files

SAFETENSORS = "safetensors"  # the variant that is no graph

_INSTALL = "pip install 'emblem[torch]'"


class Engine(StrEnum):
    """What runs a model."""

    NATIVE = "native"  # a graph that is built here from safetensors
    GRAPH = "graph"  # one that ships with the model
    LIBRARY = "library"  # sentence-transformers


@dataclass(frozen=True, slots=True)
class Found:
    """What a model has. ``where`` is its folder or repository, for messages.

    ``unknown`` says why its encoder is not built here, ``beyond`` why the modules behind it are not
    run here; both are "" where they are. ``graphs`` are its graphs by their variants. ``library`` is
    whether sentence-transformers and torch are installed.
    """

    where: str
    unknown: str = ""
    beyond: str = ""
    safetensors: bool = True
    graphs: Mapping[str, str] = field(default_factory=dict)
    library: bool = False


@dataclass(frozen=True, slots=True)
class Choice:
    """What runs the model, and the name of the graph where that is one."""

    engine: Engine
    graph: str = ""


def choose(found: Found, variant: str = "", backend: str = "") -> Choice:
    """Say what runs a model, or raise ModelError with every way out.

    ``variant`` names one of its files of weights, ``backend`` is ``openvino`` or ``torch``; "" takes
    what fits best: what is built here from safetensors, else a graph that the model ships, else
    sentence-transformers.
    """
    if backend == "torch":
        return _library(found, variant)
    if variant not in ("", SAFETENSORS):
        return _variant(found, variant)
    if found.beyond:
        return _fallback(found, backend, found.beyond)
    if found.safetensors and not found.unknown:
        return Choice(Engine.NATIVE)
    graph = graph_files.usual(found.graphs)
    if graph is not None and variant != SAFETENSORS:
        return Choice(Engine.GRAPH, graph)
    return _fallback(found, backend, found.unknown)


def _library(found: Found, variant: str) -> Choice:
    if variant not in ("", SAFETENSORS):
        raise ModelError(
            f'{found.where}: backend = "torch" runs safetensors, and the variant {variant} is a graph'
        )
    if not found.safetensors:
        raise ModelError(f"{found.where}: no model.safetensors, which the backend torch needs")
    if not found.library:
        raise ModelError(f"{found.where}: the backend torch needs an optional part: {_INSTALL}")
    return Choice(Engine.LIBRARY)


def _variant(found: Found, variant: str) -> Choice:
    graph = found.graphs.get(variant)
    if graph is None:
        there = [*([SAFETENSORS] if found.safetensors else []), *found.graphs]
        known = f"there are: {', '.join(there)}" if there else "there is none at all"
        raise ModelError(f"{found.where}: there is no variant {variant}; {known}")
    if found.beyond:
        raise ModelError(f"{found.beyond}; so the variant {variant} cannot be run")
    return Choice(Engine.GRAPH, graph)


def _fallback(found: Found, backend: str, why: str) -> Choice:
    """Take sentence-transformers, the last resort."""
    if not found.safetensors:
        several = f"; name one of its variants: {', '.join(found.graphs)}" if found.graphs else ""
        raise ModelError(f"{found.where}: no model.safetensors{several}")
    if backend == "openvino":
        raise ModelError(f'{why}, which backend = "openvino" rules out')
    if not found.library:
        several = (
            f", or name one of its variants: {', '.join(found.graphs)}" if found.graphs else ""
        )
        raise ModelError(why + several)
    return Choice(Engine.LIBRARY)
