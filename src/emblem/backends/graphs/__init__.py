"""OpenVINO graphs built from named tensors, one file per family of encoders.

A new family is a new file and a line in ``_BUILDERS``. Every graph takes ``ids`` (T,) int32,
``positions`` (T,) int32 and ``mask`` (T, T) or (1, 1) float32, which is added to the attention
scores, and gives the last hidden states, (T, hidden) float32.
"""

from collections.abc import Callable, Mapping

from emblem.backends.graphs import bert
from emblem.backends.graphs.tensors import Tensors
from emblem.backends.runtime import openvino
from emblem.errors import ModelError
from emblem.model import Encoder

_BUILDERS: Mapping[str, Callable[[Encoder, Tensors], openvino.Model]] = {
    "bert": bert.build,
    "roberta": bert.build,  # differs in where positions begin, and that comes in as an input
}


def build(encoder: Encoder, tensors: Tensors) -> openvino.Model:
    """Build the graph of an encoder. Raises ModelError for a family or a tensor we don't know."""
    builder = _BUILDERS.get(encoder.family)
    if builder is None:
        known = ", ".join(sorted(_BUILDERS))
        raise ModelError(f"no graph for the family '{encoder.family}'; there is one for: {known}")
    return builder(encoder, tensors)
