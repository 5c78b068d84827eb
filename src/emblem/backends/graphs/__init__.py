"""OpenVINO graphs built from named tensors, one file per family of encoders.

A new family is a new file and a row in ``_FAMILIES``. Every graph gives the last hidden states,
(T, hidden) float32, of a row whose sequences lie end to end; what it takes is its own.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy.typing as npt

from emblem.backends.graphs import bert, inputs, modernbert, nomic
from emblem.backends.graphs.tensors import Tensors
from emblem.backends.runtime import openvino
from emblem.errors import ModelError
from emblem.model import Bert, Encoder, ModernBert, NomicBert
from emblem.types import Row

Inputs = list[npt.NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Built:
    """A graph, how a row is given to it, how many ids it knows, and what a row of it holds.

    While a row of T tokens runs, about T * (``token_floats`` + ``square_floats`` * T) floats are
    held. ``linears`` are the full names of what tokens are multiplied with, less ``.weight``.
    """

    graph: openvino.Model
    inputs: Callable[[Row], Inputs]
    vocabulary: int
    token_floats: int
    square_floats: float
    linears: tuple[str, ...] = ()


def build(encoder: Encoder, weights: Mapping[str, npt.NDArray[Any]]) -> Built:
    """Build the graph of an encoder from its tensors by name.

    Raises ModelError for a family that we don't know and for weights that are not the encoder's.
    """
    family = _FAMILIES.get(encoder.family)
    if family is None:
        known = ", ".join(sorted(_FAMILIES))
        raise ModelError(f"no graph for the family '{encoder.family}'; there is one for: {known}")
    tensors = Tensors(weights, family.words)
    graph = family.build(encoder, tensors)
    return Built(
        graph,
        partial(family.inputs, encoder),
        tensors.vocabulary,
        token_floats=8 * encoder.hidden + family.widened * encoder.intermediate,
        square_floats=family.square_floats,
        linears=tuple(tensors.linears),
    )


@dataclass(frozen=True, slots=True)
class _Family:
    """The name of its table of words, its graph, and what the graph takes, in its order.

    ``widened`` is how many arrays as wide as ``intermediate`` are held at once; ``square_floats``
    is for each pair of tokens: its masks and what they are made from.
    """

    words: str
    build: Callable[[Any, Tensors], openvino.Model]
    inputs: Callable[[Any, Row], Inputs]
    widened: int = 1
    square_floats: float = 1


def _absolute(_: Bert, row: Row) -> Inputs:
    return [inputs.ids(row), inputs.places(row), *_attended(inputs.bins(row.lengths))]


def _behind_padding(encoder: Bert, row: Row) -> Inputs:
    places = inputs.places_behind_padding(row, encoder.position_offset - 1)
    return [inputs.ids(row), places, *_attended(inputs.bins(row.lengths))]


def _turned(_: NomicBert, row: Row) -> Inputs:
    bins = inputs.bins(row.lengths)
    return [inputs.ids(row), bins.of(inputs.places(row)), *_attended(bins)]


def _near_and_far(encoder: ModernBert, row: Row) -> Inputs:
    bins = inputs.bins(row.lengths)
    near = inputs.near_mask(bins, encoder.reach)
    return [inputs.ids(row), bins.of(inputs.places(row)), *_attended(bins), near]


def _attended(bins: inputs.Bins) -> Inputs:
    return [bins.thirds(), bins.back, inputs.mask(bins)]


_WORDS, _TOKENS = "embeddings.word_embeddings.weight", "embeddings.tok_embeddings.weight"
_FAMILIES: Mapping[str, _Family] = {
    "bert": _Family(_WORDS, bert.build, _absolute),
    "roberta": _Family(_WORDS, bert.build, _behind_padding),
    "modernbert": _Family(_TOKENS, modernbert.build, _near_and_far, 4, 2.5),
    "nomic_bert": _Family(_WORDS, nomic.build, _turned, 4),
}
