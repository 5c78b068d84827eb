"""``config.json`` of BERT, and of RoBERTa and XLM-R."""

from emblem.model import Bert
from emblem.models.document import Document
from emblem.models.encoders import fields


def read(config: Document) -> Bert:
    """Understand an encoder with a table of positions and token types, or raise ModelError."""
    fields.refuse_foreign_code(config)
    fields.refuse_decoders(config)
    config.only("position_embedding_type", "absolute")
    config.only("rope_parameters")
    family = "bert" if config.need("model_type", str) == "bert" else "roberta"
    bent = fields.activation(config, "hidden_act", "gelu", fields.BERT_ACTIVATIONS)
    hidden, heads = fields.attention(config, "hidden_size", "num_attention_heads")
    config.only("embedding_size", hidden)
    positions = config.positive("max_position_embeddings")
    offset = _offset(config, family, positions)
    if positions <= offset:
        raise config.error("max_position_embeddings", f"{positions} leaves no room for a token")
    epsilon = fields.epsilon(config, "layer_norm_eps")
    return Bert(
        family=family,
        layers=config.positive("num_hidden_layers"),
        heads=heads,
        hidden=hidden,
        intermediate=config.positive("intermediate_size"),
        positions=positions,
        position_offset=offset,
        layer_norm_eps=1e-12 if epsilon is None else epsilon,
        activation=bent,
    )


def _offset(config: Document, family: str, positions: int) -> int:
    """Give the position of a sequence's first token; RoBERTa starts behind its padding index."""
    if family == "bert":
        return 0
    config.not_null("pad_token_id")
    padding: int | None = config.get("pad_token_id", int)
    if padding is None:
        padding = 1
    if not 0 <= padding < positions:
        raise config.error("pad_token_id", f"is {padding}, not within 0…{positions - 1}")
    return padding + 1
