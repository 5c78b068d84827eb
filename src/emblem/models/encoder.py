"""``config.json`` of a transformers model, as the numbers of a BERT-like encoder."""

from math import inf

from emblem.errors import UnknownFamily
from emblem.model import Encoder
from emblem.models.document import Document

_FAMILIES = {"bert": "bert", "roberta": "roberta", "xlm-roberta": "roberta", "camembert": "roberta"}
_ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "relu": "relu",
}


def read(config: Document) -> Encoder:
    """Understand the encoder, or raise ModelError; UnknownFamily where its family is not ours.

    Fields that only training uses are passed over, and what transformers takes for an absent field
    is taken here too.
    """
    kind = config.need("model_type", str)
    if kind not in _FAMILIES:
        raise UnknownFamily(
            f'{config.file}: model_type: is "{kind}"; from safetensors Emblem reads '
            f"{', '.join(_FAMILIES)}. Any other family needs an ONNX or OpenVINO file in its "
            "repository, or pip install 'emblem[torch]'"
        )
    _refuse_variants(config)
    family = _FAMILIES[kind]
    activation = config.get("hidden_act", str) or "gelu"
    if activation not in _ACTIVATIONS:
        raise config.error("hidden_act", f'is "{activation}", not {", ".join(_ACTIVATIONS)}')
    hidden, heads = config.positive("hidden_size"), config.positive("num_attention_heads")
    if hidden % heads:
        raise config.error("hidden_size", f"{hidden} is no multiple of {heads} attention heads")
    config.only("embedding_size", hidden)
    positions = config.positive("max_position_embeddings")
    offset = _offset(config, family, positions)
    if positions <= offset:
        raise config.error("max_position_embeddings", f"{positions} leaves no room for a token")
    return Encoder(
        family=family,
        layers=config.positive("num_hidden_layers"),
        heads=heads,
        hidden=hidden,
        intermediate=config.positive("intermediate_size"),
        positions=positions,
        position_offset=offset,
        layer_norm_eps=_epsilon(config),
        activation=_ACTIVATIONS[activation],
    )


def _epsilon(config: Document) -> float:
    epsilon: float | None = config.get("layer_norm_eps", float)
    if epsilon is None:
        return 1e-12
    if not 0 <= epsilon < inf:
        raise config.error("layer_norm_eps", f"is {epsilon}, not a number from zero upwards")
    return float(epsilon)


def _offset(config: Document, family: str, positions: int) -> int:
    """Give the position of a sequence's first token; RoBERTa starts behind its padding index."""
    if family == "bert":
        return 0
    padding: int | None = config.get("pad_token_id", int)
    if padding is None:
        padding = 1
    if not 0 <= padding < positions:
        raise config.error("pad_token_id", f"is {padding}, not within 0…{positions - 1}")
    return padding + 1


def _refuse_variants(config: Document) -> None:
    """Refuse what makes an encoder of a known name compute something else."""
    if config.get("auto_map", dict):
        raise config.error("auto_map", "the model needs code of its own, which Emblem never runs")
    config.only("position_embedding_type", "absolute")
    config.only("is_decoder", False)
    config.only("is_encoder_decoder", False)
    config.only("add_cross_attention", False)
    config.only("pruned_heads", {})
    config.only("quantization_config")
    config.only("rope_scaling")
    config.only("rope_parameters")
