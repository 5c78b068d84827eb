"""How large an encoder is that is not built here: what any ``config.json`` of transformers says."""

from emblem.models.document import Document

_HIDDEN = ("hidden_size", "dim", "d_model", "n_embd")
_POSITIONS = ("max_position_embeddings", "n_positions", "max_trained_positions")

# Families that count positions from behind the padding token's id, as RoBERTa does.
_OFFSET = {
    *("roberta", "xlm-roberta", "camembert", "xlm-roberta-xl", "roberta-prelayernorm", "mpnet"),
    *("data2vec-text", "xmod", "longformer", "ibert", "luke", "mluke", "esm", "layoutlmv3"),
}


def hidden(config: Document) -> int:
    """Give the numbers in a token's state. Raises ModelError where nothing says it."""
    inner = _text(config)
    for name in _HIDDEN:
        if inner.get(name, int) is not None:
            return inner.positive(name)
    raise config.error(_HIDDEN[0], f"is missing, and so are {', '.join(_HIDDEN[1:])}")


def longest(config: Document) -> int | None:
    """Give the tokens that are read at once, special ones too; None where the config has no limit."""
    inner = _text(config)
    for name in _POSITIONS:
        if (said := inner.get(name, int)) is None or said == -1:  # XLNet's for no limit
            continue
        positions = inner.positive(name)
        offset = 0
        if config.get("model_type", str) in _OFFSET:
            padding = inner.get("pad_token_id", int)
            offset = 2 if padding is None else padding + 1
        if not 0 <= offset < positions:
            raise inner.error(name, f"{positions} leaves no room for a token")
        return positions - offset
    return None


def vocabulary(config: Document) -> int:
    """Give the number of ids that the encoder has a state for."""
    return _text(config).positive("vocab_size")


def _text(config: Document) -> Document:
    """Give the part about texts, of a config that is about images or sounds too."""
    return config.inner("text_config") or config
