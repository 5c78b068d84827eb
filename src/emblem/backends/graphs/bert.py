"""The graph of BERT, and of RoBERTa and XLM-R, which differ from it only in their inputs."""

from collections.abc import Callable

from emblem.backends.graphs.layers import Bins, Layers, activation, numbers
from emblem.backends.graphs.tensors import Tensors
from emblem.backends.runtime import Node, op, openvino
from emblem.model import Bert


def build(encoder: Bert, tensors: Tensors) -> openvino.Model:
    """Build the encoder, whose inputs are ids, positions and the bins of attention.

    Raises ModelError for an activation that we don't know, and for weights where a tensor is
    missing, has another shape, or is one too many below the layers.
    """
    bend = activation(encoder.activation)
    layers = Layers(
        tensors, hidden=encoder.hidden, heads=encoder.heads, epsilon=encoder.layer_norm_eps
    )
    ids, positions = numbers("ids"), numbers("positions")
    bins = Bins.given()
    x = _embeddings(layers, encoder, ids, positions)
    for number in range(encoder.layers):
        name = f"encoder.layer.{number}"
        x = _attention(layers, x, bins, f"{name}.attention")
        x = _feed_forward(layers, x, name, encoder.intermediate, bend)
    layers.refuse_left(
        "encoder.layer.",
        f"an encoder of {encoder.layers} layers (num_hidden_layers in config.json)",
    )
    return openvino.Model([x], [ids, positions, *bins.parameters], encoder.family)


def _embeddings(layers: Layers, encoder: Bert, ids: Node, positions: Node) -> Node:
    """Add up word, position and the first token type, and normalise: (T, hidden)."""
    words = layers.rows("embeddings.word_embeddings.weight", None, ids)
    places = layers.rows("embeddings.position_embeddings.weight", encoder.positions, positions)
    kind = layers.first_row("embeddings.token_type_embeddings.weight")
    return layers.layer_norm(op.add(op.add(words, places), kind), "embeddings.LayerNorm")


def _attention(layers: Layers, x: Node, bins: Bins, name: str) -> Node:
    """Let the tokens of a sequence see one another: (T, hidden)."""
    hidden = layers.hidden
    names = [f"{name}.self.{part}" for part in ("query", "key", "value")]
    seen = layers.attention(layers.linears(x, names, hidden, hidden), bins)
    out = layers.linear(seen, f"{name}.output.dense", hidden, hidden)
    return layers.layer_norm(op.add(out, x), f"{name}.output.LayerNorm")


def _feed_forward(
    layers: Layers, x: Node, name: str, wide: int, bend: Callable[[Node], Node]
) -> Node:
    """Widen, bend and narrow each token on its own: (T, hidden)."""
    bent = bend(layers.linear(x, f"{name}.intermediate.dense", layers.hidden, wide))
    out = layers.linear(bent, f"{name}.output.dense", wide, layers.hidden)
    return layers.layer_norm(op.add(out, x), f"{name}.output.LayerNorm")
