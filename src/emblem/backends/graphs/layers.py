"""The layers that every family of encoders is made of, over named tensors."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from emblem.backends.graphs.tensors import Array, Tensors
from emblem.backends.runtime import Node, op, openvino
from emblem.errors import ModelError

_ACTIVATIONS: dict[str, Callable[[Node], Node]] = {
    "gelu": lambda x: op.gelu(x, "erf"),
    "gelu_tanh": lambda x: op.gelu(x, "tanh"),
    "relu": op.relu,
    "silu": op.swish,
}


@dataclass(frozen=True, slots=True)
class Bins:
    """Where the tokens of a row go for attention, as ``inputs.Bins`` has it.

    ``mask`` is (bins, 1, 1 or L, L). For each slot of a bin ``slots`` has three rows of numbers to
    take, (3, bins, L): where each token has three of them, its query, its key and its value.
    ``back`` is the slot of each token, (T,).
    """

    slots: Node
    back: Node
    mask: Node

    @classmethod
    def given(cls) -> "Bins":
        """Make the inputs of a graph, in the order of ``parameters``."""
        slots, back = (
            op.parameter(openvino.PartialShape(shape), openvino.Type.i32, name=name)
            for name, shape in (("slots", [3, -1, -1]), ("back", [-1]))
        )
        return cls(slots, back, mask("mask"))

    @property
    def parameters(self) -> list[Node]:
        """What the graph takes."""
        return [self.slots, self.back, self.mask]


class Layers:
    """What the graph of one encoder is put together from. States are (T, hidden) between layers.

    Raises ModelError for a width that its heads cannot share, and, where a layer is made, for a
    tensor that is missing or has another shape.
    """

    def __init__(self, tensors: Tensors, *, hidden: int, heads: int, epsilon: float) -> None:
        if hidden % heads:
            raise ModelError(f"{hidden} numbers cannot be split over {heads} heads")
        self.tensors = tensors
        self.hidden = hidden
        self._epsilon = epsilon
        self._by_head = op.constant(np.array([0, 0, 0, heads, hidden // heads], np.int64))
        self._joined = op.constant(np.array([-1, hidden], np.int64))
        self._swap = axes(0, 2, 1, 3)
        self._scale = op.constant(np.float32((hidden // heads) ** -0.5))

    def constant(self, name: str, *shape: int | None) -> Node:
        """Give a tensor as a constant over the memory that already holds it."""
        return op.constant(self.tensors.take(name, shape), shared_memory=True)

    def rows(self, name: str, count: int | None, numbers: Node) -> Node:
        """Look rows up in a table by their numbers: (T, hidden)."""
        return op.gather(self.constant(name, count, self.hidden), numbers, op.constant(np.int32(0)))

    def first_row(self, name: str) -> Node:
        """Give the first row of a table, such as the token type of a text that stands alone."""
        table = self.tensors.take(name, (None, self.hidden))
        return op.constant(np.ascontiguousarray(table[:1]))

    def linear(self, x: Node, name: str, wide_in: int, wide_out: int, *, bias: bool = True) -> Node:
        """Multiply by a (out, in) weight and, with ``bias``, add one.

        The weight may have eight bits, beside a scale for each output: ``weight_scale``, (out, 1).
        """
        return self.linears(x, (name,), wide_in, wide_out, bias=bias)

    def linears(
        self, x: Node, names: Sequence[str], wide_in: int, wide_out: int, *, bias: bool = True
    ) -> Node:
        """Do the same with several layers in one product: what they give lies side by side."""
        if len({self.tensors.has(f"{name}.weight_scale") for name in names}) > 1:
            parts = [self.linear(x, name, wide_in, wide_out, bias=bias) for name in names]
            return op.concat(parts, -1)
        for name in names:
            self.tensors.note_linear(name)
        product = op.matmul(x, self._weight(names, wide_out, wide_in), False, True)
        return op.add(product, self._stacked(names, "bias", wide_out)) if bias else product

    def _weight(self, names: Sequence[str], wide_out: int, wide_in: int) -> Node:
        if not self.tensors.has(f"{names[0]}.weight_scale"):
            return self._stacked(names, "weight", wide_out, wide_in)
        parts = [
            self.tensors.take_eight_bits(f"{name}.weight", (wide_out, wide_in)) for name in names
        ]
        # This very form is what the CPU plugin multiplies in eight bits; shared, it is not copied.
        wide = op.convert(op.constant(_stack(parts), shared_memory=True), "f32")
        return op.multiply(wide, self._stacked(names, "weight_scale", wide_out, 1))

    def _stacked(self, names: Sequence[str], ending: str, *shape: int) -> Node:
        parts = [self.tensors.take(f"{name}.{ending}", shape) for name in names]
        return op.constant(_stack(parts), shared_memory=True)

    def layer_norm(self, x: Node, name: str, *, bias: bool = True) -> Node:
        """Give every token mean 0 and variance 1, then its learned scale and, perhaps, shift."""
        flat = op.mvn(x, axes(-1), True, self._epsilon, "inside_sqrt")
        scaled = op.multiply(flat, self.constant(f"{name}.weight", self.hidden))
        return op.add(scaled, self.constant(f"{name}.bias", self.hidden)) if bias else scaled

    def attention(
        self, joint: Node, bins: Bins, turn: Callable[[Node], Node] = lambda x: x
    ) -> Node:
        """Let tokens see one another, as far as the mask lets them: (T, hidden).

        ``joint`` is (T, 3 * hidden), each token's query, key and value; ``turn`` rotates the former
        two, (bins, heads, L, width of a head). A bin's length is a multiple of every vector unit's
        and what is masked adds exactly nothing, so that a sequence's states do not depend on what
        else there is, to the last bit, in bins of up to 512 slots or of one sequence.
        """
        zero = op.constant(np.int64(0))
        laid = op.gather(op.reshape(joint, self._joined, False), bins.slots, zero)
        parts = op.split(op.reshape(laid, self._by_head, True), zero, 3).outputs()
        q, k, v = (op.transpose(op.squeeze(part, zero), self._swap) for part in parts)
        likeness = op.multiply(op.matmul(turn(q), turn(k), False, True), self._scale)
        shares = op.softmax(op.add(likeness, bins.mask), -1)
        seen = op.transpose(op.matmul(shares, v, False, False), self._swap)
        return op.gather(op.reshape(seen, self._joined, False), bins.back, zero)

    def refuse_left(self, below: str, why: str) -> None:
        """Raise ModelError for a tensor below that name which nothing was made from.

        The speeds of a rotation, which some checkpoints keep, follow from its base.
        """
        left = [name for name in self.tensors.left(below) if not name.endswith(".inv_freq")]
        if left:
            raise ModelError(f"the tensor {left[0]} has no place in {why}")


def activation(name: str) -> Callable[[Node], Node]:
    """Give an activation by its name. Raises ModelError for one that we don't know."""
    if name not in _ACTIVATIONS:
        raise ModelError(f"no activation '{name}'; there are: {', '.join(_ACTIVATIONS)}")
    return _ACTIVATIONS[name]


def _stack(parts: Sequence[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def halves(x: Node) -> list[Node]:
    """Split the last axis into two of the same size."""
    return list(op.split(x, op.constant(np.int64(-1)), 2).outputs())


def axes(*numbers: int) -> Node:
    """Give the numbers of axes as a constant."""
    values: npt.NDArray[np.int64] = np.array(numbers, np.int64)
    return op.constant(values)


def numbers(name: str) -> Node:
    """Make an input of (T,) whole numbers."""
    return op.parameter(openvino.PartialShape([-1]), openvino.Type.i32, name=name)


def mask(name: str) -> Node:
    """Make an input of (bins, 1, 1 or L, L), which all heads share."""
    return op.parameter(openvino.PartialShape([-1, 1, -1, -1]), openvino.Type.f32, name=name)


def places_in_bins(name: str) -> Node:
    """Make an input of (bins, L) whole numbers."""
    return op.parameter(openvino.PartialShape([-1, -1]), openvino.Type.i32, name=name)


class Rotation:
    """Turns pairs of numbers by an angle that grows with a token's place in its text.

    The pairs are a head's first half and its second; ``theta`` is the base of the angles' series;
    ``places`` is (bins, L).
    """

    def __init__(self, theta: float, width: int, positions: int, places: Node) -> None:
        cosines, sines = (
            self._by_place(table, places) for table in angles(theta, width, positions)
        )
        self._cosines, self._sines = cosines, sines

    def turn(self, x: Node) -> Node:
        """Turn (bins, heads, L, width)."""
        first, second = halves(x)
        return op.concat(
            [
                op.subtract(op.multiply(first, self._cosines), op.multiply(second, self._sines)),
                op.add(op.multiply(second, self._cosines), op.multiply(first, self._sines)),
            ],
            -1,
        )

    @staticmethod
    def _by_place(table: Array, places: Node) -> Node:
        return op.unsqueeze(
            op.gather(op.constant(table), places, op.constant(np.int32(0))), axes(1)
        )


def angles(theta: float, width: int, positions: int) -> tuple[Array, Array]:
    """Give cosines and sines of every position's angles: twice (positions, width / 2) float32.

    The angles themselves are float32, as they are wherever such models were trained: far from a
    text's beginning, more digits would give another angle.
    """
    series = np.arange(0, width, 2, dtype=np.float32) / np.float32(width)
    speeds = np.float32(1) / np.power(np.float32(theta), series)
    turned = np.arange(positions, dtype=np.float32)[:, None] * speeds
    exact = turned.astype(np.float64)
    return np.cos(exact).astype(np.float32), np.sin(exact).astype(np.float32)
