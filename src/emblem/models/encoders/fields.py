"""Fields that several families share. Each raises ModelError for what it does not understand."""

from collections.abc import Sequence
from math import inf

from emblem.models.document import Document

_ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
}
BERT_ACTIVATIONS = ("gelu", "gelu_new", "gelu_pytorch_tanh", "relu")


def activation(config: Document, name: str, usual: str, allowed: Sequence[str] = ()) -> str:
    """Give an activation under Emblem's own name for it; ``usual`` is what absence stands for."""
    config.not_null(name)
    given = config.get(name, str) or usual
    known = allowed or tuple(_ACTIVATIONS)
    if given not in known:
        raise config.error(name, f'is "{given}", not {", ".join(known)}')
    return _ACTIVATIONS[given]


def attention(config: Document, hidden: str, heads: str) -> tuple[int, int]:
    """Give the width and the number of heads that it is split over, by their fields' names."""
    wide, parts = config.positive(hidden), config.positive(heads)
    if wide % parts:
        raise config.error(hidden, f"{wide} is no multiple of {parts} attention heads")
    return wide, parts


def rotary_attention(config: Document, hidden: str, heads: str) -> tuple[int, int]:
    """Give the same where numbers are rotated two by two, the whole of each head."""
    wide, parts = attention(config, hidden, heads)
    if wide // parts % 2:
        raise config.error(hidden, f"{wide} gives {parts} heads an odd width, which cannot rotate")
    config.only("head_dim", wide // parts)
    return wide, parts


def positive(config: Document | None, name: str) -> float | None:
    """Give a number above zero; None where the field, or what it would be in, is absent."""
    given: float | None = None if config is None else config.get(name, float)
    if config is not None and given is not None and not 0 < given < inf:
        raise config.error(name, f"is {given}, not a number above zero")
    return None if given is None else float(given)


def epsilon(config: Document, name: str) -> float | None:
    """Give what a layer norm adds to the variance; None where the field is absent."""
    config.not_null(name)
    given: float | None = config.get(name, float)
    if given is not None and not 0 <= given < inf:
        raise config.error(name, f"is {given}, not a number from zero upwards")
    return None if given is None else float(given)


def theta(parameters: Document | None) -> float | None:
    """Give the base that an object of ``rope_parameters`` names, and refuse any scaling in it."""
    if parameters is None:
        return None
    parameters.only("rope_type", "default")
    parameters.only("partial_rotary_factor", 1.0)
    parameters.not_null("rope_theta")
    base = positive(parameters, "rope_theta")
    parameters.no_more()
    return base


def refuse_foreign_code(config: Document) -> None:
    """Refuse a model that asks for code of its own."""
    if config.get("auto_map", dict):
        raise config.error("auto_map", "the model needs code of its own, which Emblem never runs")


def refuse_decoders(config: Document) -> None:
    """Refuse what makes any encoder compute something else."""
    config.only("is_decoder", False)
    config.only("is_causal", False)
    config.only("is_encoder_decoder", False)
    config.only("add_cross_attention", False)
    config.only("pruned_heads", {})
    config.only("quantization_config")
    config.only("rope_scaling")
