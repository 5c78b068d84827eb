"""How requests for vectors are written and answers read: a row for each dialect. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from emblem.types import Kind, Lane, Overflow, value
from emblem.upstreams.answers import Embeddings
from emblem.upstreams.presets import FLOAT, Preset

Input = str | tuple[int, ...]


@value()
class Wanted:
    """Vectors of some texts, of a model by the provider's name for it.

    ``encoding`` is one of the preset's; ``dimensions`` is None where as many numbers are wanted as
    the model gives. ``overflow`` and ``lane`` are for another Emblem.
    """

    model: str
    inputs: tuple[Input, ...]
    encoding: str = FLOAT
    kind: Kind | None = None
    dimensions: int | None = None
    overflow: Overflow | None = None
    lane: Lane | None = None


@dataclass(frozen=True, slots=True)
class Dialect:
    """``encode`` gives the fields of a request, ``decode`` reads the body of a success.

    That is given how many texts there were and how many numbers are due, None where that is to be
    found out, and raises Malformed.
    """

    encode: Callable[[Preset, Wanted], dict[str, Any]]
    decode: Callable[[bytes, int, int | None], Embeddings]


def shared(preset: Preset, wanted: Wanted) -> dict[str, Any]:
    """Give the fields that a preset's rows decide: those of every request, kind and width."""
    fields: dict[str, Any] = {"model": wanted.model, **preset.extra, **(preset.refuses_long or {})}
    if wanted.kind is not None:
        fields |= _of_kind(preset.kinds, wanted.kind)
    if wanted.dimensions is not None and preset.dimensions_field is not None:
        fields[preset.dimensions_field] = wanted.dimensions
    return fields


def _of_kind(kinds: Mapping[Kind, Mapping[str, Any]], kind: Kind) -> Mapping[str, Any]:
    return kinds.get(kind, {})
