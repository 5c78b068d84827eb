"""The graph of NomicBERT: BERT with rotary positions and SwiGLU, without biases.

Its repositories and transformers 5 name the tensors differently; both are read.
"""

from dataclasses import dataclass

from emblem.backends.graphs.layers import (
    Bins,
    Layers,
    Rotation,
    activation,
    numbers,
    places_in_bins,
)
from emblem.backends.graphs.tensors import Tensors
from emblem.backends.runtime import Node, op, openvino
from emblem.model import NomicBert


@dataclass(frozen=True, slots=True)
class _Names:
    """What the tensors are called. ``joint`` is that of query, key and value in one, or ""."""

    norm: str
    layers: str
    joint: str
    attention: str
    attention_norm: str
    up: str
    gate: str
    down: str
    mlp_norm: str


_REPOSITORY = _Names(
    norm="emb_ln",
    layers="encoder.layers",
    joint="attn.Wqkv",
    attention="attn.out_proj",
    attention_norm="norm1",
    up="mlp.fc11",
    gate="mlp.fc12",
    down="mlp.fc2",
    mlp_norm="norm2",
)
_TRANSFORMERS = _Names(
    norm="embeddings.LayerNorm",
    layers="layers",
    joint="",
    attention="self_attn.o_proj",
    attention_norm="post_attention_layernorm",
    up="mlp.up_proj",
    gate="mlp.gate_proj",
    down="mlp.down_proj",
    mlp_norm="post_mlp_layernorm",
)


def build(encoder: NomicBert, tensors: Tensors) -> openvino.Model:
    """Build the encoder, whose inputs are ids, positions and the bins of attention.

    Raises ModelError for weights where a tensor is missing, has another shape, or is one too many.
    """
    names = _REPOSITORY if tensors.has(f"{_REPOSITORY.norm}.weight") else _TRANSFORMERS
    layers = Layers(
        tensors, hidden=encoder.hidden, heads=encoder.heads, epsilon=encoder.layer_norm_eps
    )
    ids, positions = numbers("ids"), places_in_bins("positions")
    bins = Bins.given()
    rotation = Rotation(
        encoder.theta, encoder.hidden // encoder.heads, encoder.positions, positions
    )
    words = layers.rows("embeddings.word_embeddings.weight", None, ids)
    kind = layers.first_row("embeddings.token_type_embeddings.weight")
    x = layers.layer_norm(op.add(words, kind), names.norm)
    for number in range(encoder.layers):
        name = f"{names.layers}.{number}"
        out = layers.attention(_queries(layers, names, x, name), bins, rotation.turn)
        out = _plain(layers, out, f"{name}.{names.attention}", encoder.hidden, encoder.hidden)
        x = layers.layer_norm(op.add(out, x), f"{name}.{names.attention_norm}")
        out = _feed_forward(layers, encoder, names, x, name)
        x = layers.layer_norm(op.add(out, x), f"{name}.{names.mlp_norm}")
    for below in ("embeddings.", f"{names.layers}.", f"{names.norm}."):
        layers.refuse_left(below, f"a NomicBERT of {encoder.layers} layers without biases")
    return openvino.Model([x], [ids, positions, *bins.parameters], encoder.family)


def _queries(layers: Layers, names: _Names, x: Node, name: str) -> Node:
    """Give each token's query, key and value side by side: (T, 3 * hidden)."""
    hidden = layers.hidden
    if names.joint:
        return _plain(layers, x, f"{name}.{names.joint}", hidden, 3 * hidden)
    parts = [f"{name}.self_attn.{part}_proj" for part in "qkv"]
    return layers.linears(x, parts, hidden, hidden, bias=False)


def _feed_forward(layers: Layers, encoder: NomicBert, names: _Names, x: Node, name: str) -> Node:
    """Widen each token twice, bend one and multiply it by the other, and narrow: (T, hidden)."""
    hidden, wide = encoder.hidden, encoder.intermediate
    gate = activation("silu")(_plain(layers, x, f"{name}.{names.gate}", hidden, wide))
    up = _plain(layers, x, f"{name}.{names.up}", hidden, wide)
    return _plain(layers, op.multiply(gate, up), f"{name}.{names.down}", wide, hidden)


def _plain(layers: Layers, x: Node, name: str, wide_in: int, wide_out: int) -> Node:
    return layers.linear(x, name, wide_in, wide_out, bias=False)
