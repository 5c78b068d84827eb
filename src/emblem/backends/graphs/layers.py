"""The layers that every family of encoders is made of, over named tensors."""

from collections.abc import Callable

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
        self._split = op.constant(np.array([1, -1, heads, hidden // heads], np.int64))
        self._joined = op.constant(np.array([-1, hidden], np.int64))
        self._swap = axes(0, 2, 1, 3)

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
        self.tensors.note_linear(name)
        if self.tensors.has(f"{name}.weight_scale"):
            weight = self._eight_bits(name, wide_out, wide_in)
        else:
            weight = self.constant(f"{name}.weight", wide_out, wide_in)
        product = op.matmul(x, weight, False, True)
        return op.add(product, self.constant(f"{name}.bias", wide_out)) if bias else product

    def _eight_bits(self, name: str, wide_out: int, wide_in: int) -> Node:
        whole = self.tensors.take_eight_bits(f"{name}.weight", (wide_out, wide_in))
        # This very form is what the CPU plugin multiplies in eight bits; shared, it is not copied.
        wide = op.convert(op.constant(whole, shared_memory=True), "f32")
        return op.multiply(wide, self.constant(f"{name}.weight_scale", wide_out, 1))

    def layer_norm(self, x: Node, name: str, *, bias: bool = True) -> Node:
        """Give every token mean 0 and variance 1, then its learned scale and, perhaps, shift."""
        flat = op.mvn(x, axes(-1), True, self._epsilon, "inside_sqrt")
        scaled = op.multiply(flat, self.constant(f"{name}.weight", self.hidden))
        return op.add(scaled, self.constant(f"{name}.bias", self.hidden)) if bias else scaled

    def heads(self, x: Node) -> Node:
        """Split states over the heads: (1, heads, T, width of a head)."""
        return op.transpose(op.reshape(x, self._split, False), self._swap)

    def attention(self, q: Node, k: Node, v: Node, mask: Node) -> Node:
        """Let tokens see one another, as far as the mask lets them: (T, hidden)."""
        seen = op.transpose(op.scaled_dot_product_attention(q, k, v, mask), self._swap)
        return op.reshape(seen, self._joined, False)

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


def thirds(x: Node) -> list[Node]:
    """Split (T, 3n) into three of (T, n): query, key and value, computed at once."""
    return list(op.split(x, op.constant(np.int64(-1)), 3).outputs())


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


def mask(name: str) -> tuple[Node, Node]:
    """Make an input of (T, T) or (1, 1), and give it with what all heads share of it."""
    given = op.parameter(openvino.PartialShape([-1, -1]), openvino.Type.f32, name=name)
    return given, op.unsqueeze(given, axes(0, 1))


class Rotation:
    """Turns pairs of numbers by an angle that grows with a token's place in its text.

    The pairs are a head's first half and its second; ``theta`` is the base of the angles' series.
    """

    def __init__(self, theta: float, width: int, positions: int, places: Node) -> None:
        cosines, sines = (
            self._by_place(table, places) for table in angles(theta, width, positions)
        )
        self._cosines, self._sines = cosines, sines

    def turn(self, x: Node) -> Node:
        """Turn (1, heads, T, width)."""
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
            op.gather(op.constant(table), places, op.constant(np.int32(0))), axes(0, 1)
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
