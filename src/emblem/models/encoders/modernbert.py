"""``config.json`` of ModernBERT, as transformers 4 and 5 write it."""

from emblem.model import ModernBert
from emblem.models.document import Document
from emblem.models.encoders import fields

_LOCAL = {"sliding_attention": True, "full_attention": False}
_GLOBAL_THETA, _LOCAL_THETA = 160_000.0, 10_000.0


def read(config: Document) -> ModernBert:
    """Understand the encoder, or raise ModelError."""
    fields.refuse_foreign_code(config)
    fields.refuse_decoders(config)
    hidden, heads = fields.rotary_attention(config, "hidden_size", "num_attention_heads")
    local_theta, global_theta = _thetas(config)
    epsilon = fields.epsilon(config, "norm_eps")
    return ModernBert(
        heads=heads,
        hidden=hidden,
        intermediate=config.positive("intermediate_size"),
        positions=config.positive("max_position_embeddings"),
        local=_local(config),
        reach=_reach(config),
        local_theta=local_theta,
        global_theta=global_theta,
        layer_norm_eps=1e-5 if epsilon is None else epsilon,
        activation=fields.activation(config, "hidden_activation", "gelu"),
        attention_bias=bool(config.get("attention_bias", bool)),
        mlp_bias=bool(config.get("mlp_bias", bool)),
        norm_bias=bool(config.get("norm_bias", bool)),
    )


def _local(config: Document) -> tuple[bool, ...]:
    """Say of each layer whether it sees only what is near; a list of them goes before a rhythm."""
    layers = config.positive("num_hidden_layers")
    kinds = config.get("layer_types", list)
    if kinds is None:
        config.not_null("global_attn_every_n_layers")
        absent = config.get("global_attn_every_n_layers", int) is None
        every = 3 if absent else config.positive("global_attn_every_n_layers")
        return tuple(layer % every != 0 for layer in range(layers))
    if len(kinds) != layers:
        raise config.error("layer_types", f"names {len(kinds)} layers, and there are {layers}")
    if unknown := [kind for kind in kinds if not isinstance(kind, str) or kind not in _LOCAL]:
        raise config.error("layer_types", f"{unknown[0]!r} is not {' or '.join(_LOCAL)}")
    return tuple(_LOCAL[kind] for kind in kinds)


def _reach(config: Document) -> int:
    """Give how many places away a token of a local layer sees; the file gives both sides."""
    config.not_null("local_attention")
    both = 128 if config.get("local_attention", int) is None else config.positive("local_attention")
    config.only("sliding_window", both // 2)
    return both // 2


def _thetas(config: Document) -> tuple[float, float]:
    """Give the bases of local and global layers; transformers 5 has an object for each of them."""
    both = config.inner("rope_parameters")
    near = far = None
    if both is not None:
        near = fields.theta(both.inner("sliding_attention"))
        far = fields.theta(both.inner("full_attention"))
        both.no_more()
    return (
        near or _theta(config, "local_rope_theta", _LOCAL_THETA),
        far or _theta(config, "global_rope_theta", _GLOBAL_THETA),
    )


def _theta(config: Document, name: str, usual: float) -> float:
    """Give the base that an old name has; transformers 5 fails on null."""
    config.not_null(name)
    return fields.positive(config, name) or usual
