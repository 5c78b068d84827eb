"""What stands behind an encoder: pooling, the dense layers in their order, unit length."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from emblem.core.pool import pool, pooled_width, unit
from emblem.model import Pooling
from emblem.types import Row, Vectors


def _gelu(x: Vectors) -> Vectors:
    flat = (0.5 * value * (1 + math.erf(value / math.sqrt(2))) for value in x.ravel().tolist())
    return np.fromiter(flat, np.float32, x.size).reshape(x.shape)


def _gelu_tanh(x: Vectors) -> Vectors:
    wide = x.astype(np.float64)
    bent = 0.5 * wide * (1 + np.tanh(math.sqrt(2 / math.pi) * (wide + 0.044715 * wide**3)))
    return np.asarray(bent, np.float32)


def _sigmoid(x: Vectors) -> Vectors:
    bent = 0.5 * (1 + np.tanh(x.astype(np.float64) / 2))  # no power of a large number
    return np.asarray(bent, np.float32)


ACTIVATIONS: Mapping[str, Callable[[Vectors], Vectors]] = {
    "identity": lambda x: x,
    "tanh": np.tanh,
    "gelu": _gelu,
    "gelu_tanh": _gelu_tanh,
    "relu": lambda x: np.maximum(x, np.float32(0)),
    "sigmoid": _sigmoid,
}


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """A dense layer: ``weight`` (outputs, inputs) float32, ``bias`` (outputs,) float32 or None.

    ``activation`` is one of ``ACTIVATIONS``.
    """

    weight: npt.NDArray[np.float32]
    bias: npt.NDArray[np.float32] | None
    activation: str

    def apply(self, vectors: Vectors) -> Vectors:
        """Give (n, outputs) float32 for (n, inputs) float32.

        Each vector is multiplied by itself: in one product, the order in which a vector's numbers
        are added up would depend on how many others there are.
        """
        product = np.empty((len(vectors), len(self.weight)), np.float32)
        for vector, out in zip(vectors, product, strict=True):
            np.dot(self.weight, vector, out=out)
        return ACTIVATIONS[self.activation](product if self.bias is None else product + self.bias)


@dataclass(frozen=True, slots=True, eq=False)
class Head:
    """Makes the vectors of a row's sequences from the states of its tokens.

    A pooled vector that is all zeros or not finite is not passed through the layers, whose biases
    would make it look like a vector: it stays what it is, and the check on results finds it.
    """

    pooling: Pooling
    layers: tuple[Layer, ...] = ()
    normalise: bool = False

    def width(self, hidden: int) -> int:
        """Numbers in a vector, made of states that have ``hidden`` numbers each.

        Raises ValueError where a layer takes another number than the one before it gives.
        """
        width = pooled_width(self.pooling, hidden)
        for place, layer in enumerate(self.layers, 1):
            outputs, inputs = layer.weight.shape
            if inputs != width:
                raise ValueError(f"dense layer {place} takes {inputs} numbers and gets {width}")
            width = outputs
        return width

    def vectors(self, states: Vectors, row: Row) -> Vectors:
        """Give one vector for each sequence: (n, width) float32. ``states`` is (T, hidden) float32.

        Raises ValueError where the states are not the row's.
        """
        pooled = pool(states, row.lengths, self.pooling, row.skip)
        if self.layers:
            pooled = self._through_layers(pooled)
        return unit(pooled) if self.normalise else pooled

    def _through_layers(self, pooled: Vectors) -> Vectors:
        sound = np.isfinite(pooled).all(axis=1) & pooled.any(axis=1)
        vectors = pooled[sound]
        for layer in self.layers:
            vectors = layer.apply(vectors)
        whole = np.zeros((len(pooled), vectors.shape[1]), np.float32)
        whole[~sound & ~np.isfinite(pooled).all(axis=1)] = np.nan
        whole[sound] = vectors
        return whole
