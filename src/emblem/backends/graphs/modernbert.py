"""The graph of ModernBERT: normalised before each step, rotary positions, near and far layers."""

from dataclasses import dataclass, replace

from emblem.backends.graphs.layers import (
    Bins,
    Layers,
    Rotation,
    activation,
    halves,
    mask,
    numbers,
    places_in_bins,
)
from emblem.backends.graphs.tensors import Tensors
from emblem.backends.runtime import Node, op, openvino
from emblem.model import ModernBert


@dataclass(frozen=True, slots=True)
class _Kind:
    """What local layers and global layers differ in."""

    rotation: Rotation
    bins: Bins


def build(encoder: ModernBert, tensors: Tensors) -> openvino.Model:
    """Build the encoder, whose inputs are ids, positions, the bins of attention and the local mask.

    Raises ModelError for an activation that we don't know, and for weights where a tensor is
    missing, has another shape, or is one too many.
    """
    layers = Layers(
        tensors, hidden=encoder.hidden, heads=encoder.heads, epsilon=encoder.layer_norm_eps
    )
    ids, positions = numbers("ids"), places_in_bins("positions")
    far, near = Bins.given(), mask("near")
    kinds = [
        _Kind(Rotation(theta, encoder.hidden // encoder.heads, encoder.positions, positions), bins)
        for theta, bins in (
            (encoder.global_theta, far),
            (encoder.local_theta, replace(far, mask=near)),
        )
    ]
    x = layers.rows("embeddings.tok_embeddings.weight", None, ids)
    x = layers.layer_norm(x, "embeddings.norm", bias=encoder.norm_bias)
    for number, local in enumerate(encoder.local):
        x = _layer(layers, encoder, x, number, kinds[local])
    x = layers.layer_norm(x, "final_norm", bias=encoder.norm_bias)
    for below in ("embeddings.", "layers.", "final_norm."):
        layers.refuse_left(below, f"a ModernBERT of {encoder.layers} layers as config.json has it")
    return openvino.Model([x], [ids, positions, *far.parameters, near], encoder.family)


def _layer(layers: Layers, encoder: ModernBert, x: Node, number: int, kind: _Kind) -> Node:
    """Add to the states what their neighbours say, then what each makes of it: (T, hidden)."""
    name, bias = f"layers.{number}", encoder.norm_bias
    # What enters the first layer is normalised already.
    calm = layers.layer_norm(x, f"{name}.attn_norm", bias=bias) if number else x
    x = op.add(x, _attention(layers, encoder, calm, f"{name}.attn", kind))
    calm = layers.layer_norm(x, f"{name}.mlp_norm", bias=bias)
    return op.add(x, _feed_forward(layers, encoder, calm, f"{name}.mlp"))


def _attention(layers: Layers, encoder: ModernBert, x: Node, name: str, kind: _Kind) -> Node:
    """Let the tokens of a sequence see one another: (T, hidden)."""
    hidden, bias = encoder.hidden, encoder.attention_bias
    joint = layers.linear(x, f"{name}.Wqkv", hidden, 3 * hidden, bias=bias)
    seen = layers.attention(joint, kind.bins, kind.rotation.turn)
    return layers.linear(seen, f"{name}.Wo", hidden, hidden, bias=bias)


def _feed_forward(layers: Layers, encoder: ModernBert, x: Node, name: str) -> Node:
    """Widen each token twice, bend one and multiply it by the other, and narrow: (T, hidden)."""
    wide, bias = encoder.intermediate, encoder.mlp_bias
    both = layers.linear(x, f"{name}.Wi", encoder.hidden, 2 * wide, bias=bias)
    bent, gate = halves(both)
    bent = activation(encoder.activation)(bent)
    return layers.linear(op.multiply(bent, gate), f"{name}.Wo", wide, encoder.hidden, bias=bias)
