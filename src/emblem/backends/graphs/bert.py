"""The graph of BERT, and of RoBERTa and XLM-R, which differ from it only in their inputs."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from emblem.backends.graphs.tensors import Tensors
from emblem.backends.runtime import Node, op, openvino
from emblem.errors import ModelError
from emblem.model import Encoder

_ACTIVATIONS: dict[str, Callable[[Node], Node]] = {
    "gelu": lambda x: op.gelu(x, "erf"),
    "gelu_tanh": lambda x: op.gelu(x, "tanh"),
    "relu": op.relu,
}


@dataclass(frozen=True, slots=True)
class _Builder:
    """What every part of the graph is made from."""

    encoder: Encoder
    tensors: Tensors
    activation: Callable[[Node], Node] = field(repr=False)

    def constant(self, name: str, *shape: int | None) -> Node:
        """Give a weight as a constant over the memory that already holds it."""
        return op.constant(self.tensors.take(name, shape), shared_memory=True)

    def linear(self, x: Node, name: str, wide_in: int, wide_out: int) -> Node:
        """Multiply by a (out, in) weight and add its bias."""
        product = op.matmul(x, self.constant(f"{name}.weight", wide_out, wide_in), False, True)
        return op.add(product, self.constant(f"{name}.bias", wide_out))

    def layer_norm(self, x: Node, name: str) -> Node:
        """Give every token mean 0 and variance 1, then its learned scale and shift."""
        hidden = self.encoder.hidden
        flat = op.mvn(x, _axes(-1), True, self.encoder.layer_norm_eps, "inside_sqrt")
        scaled = op.multiply(flat, self.constant(f"{name}.weight", hidden))
        return op.add(scaled, self.constant(f"{name}.bias", hidden))

    def embeddings(self, ids: Node, positions: Node) -> Node:
        """Add up word, position and the first token type, and normalise: (T, hidden)."""
        hidden = self.encoder.hidden
        rows = op.constant(np.int32(0))
        words = self.constant("embeddings.word_embeddings.weight", None, hidden)
        places = self.constant(
            "embeddings.position_embeddings.weight", self.encoder.positions, hidden
        )
        kinds = self.tensors.take("embeddings.token_type_embeddings.weight", (None, hidden))
        x = op.add(op.gather(words, ids, rows), op.gather(places, positions, rows))
        x = op.add(x, op.constant(np.ascontiguousarray(kinds[:1])))
        return self.layer_norm(x, "embeddings.LayerNorm")

    def attention(self, x: Node, mask: Node, name: str) -> Node:
        """Let the tokens of a sequence see one another: (T, hidden)."""
        hidden, heads = self.encoder.hidden, self.encoder.heads
        split = op.constant(np.array([1, -1, heads, hidden // heads], np.int64))
        swap = _axes(0, 2, 1, 3)
        q, k, v = (
            op.transpose(
                op.reshape(self.linear(x, f"{name}.self.{part}", hidden, hidden), split, False),
                swap,
            )
            for part in ("query", "key", "value")
        )
        seen = op.transpose(op.scaled_dot_product_attention(q, k, v, mask), swap)
        joined = op.reshape(seen, op.constant(np.array([-1, hidden], np.int64)), False)
        out = self.linear(joined, f"{name}.output.dense", hidden, hidden)
        return self.layer_norm(op.add(out, x), f"{name}.output.LayerNorm")

    def feed_forward(self, x: Node, name: str) -> Node:
        """Widen, bend and narrow each token on its own: (T, hidden)."""
        hidden, wide = self.encoder.hidden, self.encoder.intermediate
        bent = self.activation(self.linear(x, f"{name}.intermediate.dense", hidden, wide))
        out = self.linear(bent, f"{name}.output.dense", wide, hidden)
        return self.layer_norm(op.add(out, x), f"{name}.output.LayerNorm")


def build(encoder: Encoder, tensors: Tensors) -> openvino.Model:
    """Build the encoder.

    Raises ModelError for an activation that we don't know, and for weights where a tensor is
    missing, has another shape, or is one too many below the layers.
    """
    activation = _ACTIVATIONS.get(encoder.activation)
    if activation is None:
        known = ", ".join(_ACTIVATIONS)
        raise ModelError(f"no activation '{encoder.activation}'; there are: {known}")
    if encoder.hidden % encoder.heads:
        raise ModelError(f"{encoder.hidden} numbers cannot be split over {encoder.heads} heads")
    ids, positions, mask = _inputs()
    builder = _Builder(encoder, tensors, activation)
    x = builder.embeddings(ids, positions)
    mask4 = op.unsqueeze(mask, _axes(0, 1))  # one mask for every head
    for layer in range(encoder.layers):
        x = builder.attention(x, mask4, f"encoder.layer.{layer}.attention")
        x = builder.feed_forward(x, f"encoder.layer.{layer}")
    if left := tensors.left("encoder.layer."):
        raise ModelError(
            f"the tensor {left[0]} has no place in an encoder of {encoder.layers} layers "
            "(num_hidden_layers in config.json)"
        )
    return openvino.Model([x], [ids, positions, mask], encoder.family)


def _inputs() -> tuple[Node, Node, Node]:
    ids = op.parameter(openvino.PartialShape([-1]), openvino.Type.i32, name="ids")
    positions = op.parameter(openvino.PartialShape([-1]), openvino.Type.i32, name="positions")
    mask = op.parameter(openvino.PartialShape([-1, -1]), openvino.Type.f32, name="mask")
    return ids, positions, mask


def _axes(*axes: int) -> Node:
    values: npt.NDArray[np.int64] = np.array(axes, np.int64)
    return op.constant(values)
