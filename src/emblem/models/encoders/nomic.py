"""``config.json`` of NomicBERT.

Its first repositories name their fields as GPT-2 does and point to code of their own, transformers
5 has names of its own, and later revisions have both. Nothing of that code is ever run here: what
it computes is built in ``backends/graphs/nomic.py``.
"""

from typing import Any

from emblem.model import NomicBert
from emblem.models.document import Document
from emblem.models.encoders import fields

# What the code of the repositories can compute beside NomicBERT as it is built here.
_AS_BUILT: dict[str, tuple[Any, ...]] = {
    "prenorm": (False,),
    "parallel_block": (False,),
    "causal": (False,),
    "use_rms_norm": (False,),
    "rotary_emb_fraction": (1.0,),
    "rotary_emb_interleaved": (False,),
    "rotary_emb_scale_base": (),
    "rotary_scaling_factor": (),
    "scale_attn_weights": (True,),
    "scale_attn_by_inverse_layer_idx": (False,),
    "qkv_proj_bias": (False,),
    "mlp_fc1_bias": (False,),
    "mlp_fc2_bias": (False,),
    "moe_every_n_layers": (0,),
    "num_experts": (0,),
    "norm_mlp": (False,),
    "rotary_head_dim": (False,),
    "activation_function": ("swiglu",),
    "hidden_act": ("silu",),
    "position_embedding_type": ("absolute",),  # left over from BERT, and never looked at
}

_OLD_NAMES = {
    "n_head": "num_attention_heads",
    "n_layer": "num_hidden_layers",
    "n_inner": "intermediate_size",
    "n_positions": "max_position_embeddings",
    "rotary_emb_base": "rope_parameters.rope_theta",
    "layer_norm_epsilon": "layer_norm_eps",
}


def read(config: Document) -> NomicBert:
    """Understand the encoder, or raise ModelError."""
    _refuse_other_code(config)
    fields.refuse_decoders(config)
    for name, allowed in _AS_BUILT.items():
        config.only(name, *allowed)
    gpt = config.get("n_embd", int) is not None
    if not gpt:
        _refuse_old_names(config)
    names = ("n_embd", "n_head") if gpt else ("hidden_size", "num_attention_heads")
    hidden, heads = fields.rotary_attention(config, *names)
    config.only("hidden_size", hidden)
    config.only("num_attention_heads", heads)
    config.only("num_heads_kv", heads)
    return NomicBert(
        layers=_one(config, "n_layer", "num_hidden_layers"),
        heads=heads,
        hidden=hidden,
        intermediate=_one(config, "n_inner", "intermediate_size"),
        positions=_positions(config),
        theta=_theta(config),
        layer_norm_eps=_epsilon(config),
    )


def _refuse_other_code(config: Document) -> None:
    """Let the family's own code pass, since it is not needed, and no other."""
    for name, code in (config.get("auto_map", dict) or {}).items():
        if not isinstance(code, str) or not code.rpartition(".")[2].startswith("NomicBert"):
            raise config.error(f"auto_map.{name}", "is not NomicBERT's, and Emblem runs no code")


def _refuse_old_names(config: Document) -> None:
    """Refuse names that transformers passes over in a config without ``n_embd``."""
    for name, new in _OLD_NAMES.items():
        if config.fields.get(name) is not None:
            raise config.error(name, f"goes with n_embd, which is missing; {new} says it")


def _one(config: Document, gpt: str, own: str) -> int:
    """Give a number that has two names; where both are there they have to agree."""
    if config.get(gpt, int) is None:
        return config.positive(own)
    number = config.positive(gpt)
    config.only(own, number)
    return number


def _positions(config: Document) -> int:
    """Give the length. ``max_position_embeddings`` beside ``n_positions`` is that of the training."""
    if config.get("n_positions", int) is None:
        return config.positive("max_position_embeddings")
    return config.positive("n_positions")


def _theta(config: Document) -> float:
    """Give the base of the rotation, which has had three places; those that are used agree."""
    given = {
        "rotary_emb_base": fields.positive(config, "rotary_emb_base"),
        "rope_theta": fields.positive(config, "rope_theta"),
        "rope_parameters.rope_theta": fields.theta(config.inner("rope_parameters")),
    }
    return _agreed(config, given, 1000.0)


def _epsilon(config: Document) -> float:
    """Give what the layer norms add, under the old name, the new one or both."""
    names = ("layer_norm_epsilon", "layer_norm_eps")
    return _agreed(config, {name: fields.epsilon(config, name) for name in names}, 1e-12)


def _agreed(config: Document, given: dict[str, float | None], usual: float) -> float:
    """Give the one number that several fields say; transformers 5 alone has a usual one."""
    said = {name: number for name, number in given.items() if number is not None}
    first = next(iter(said), None)
    if first is None:
        if config.get("n_embd", int) is not None:
            raise config.error(next(iter(given)), "is missing")
        return usual
    for name, number in said.items():
        if number != said[first]:
            raise config.error(name, f"is {number:g}, and {first} is {said[first]:g}")
    return said[first]
