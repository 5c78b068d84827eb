"""The pooling module's ``config.json``, in both of the forms that sentence-transformers wrote."""

from emblem.model import Pooling, PoolingMode
from emblem.models.document import Document

# In the order in which sentence-transformers lays the modes side by side.
_FLAGS = {
    "pooling_mode_cls_token": PoolingMode.CLS,
    "pooling_mode_max_tokens": PoolingMode.MAX,
    "pooling_mode_mean_tokens": PoolingMode.MEAN,
    "pooling_mode_mean_sqrt_len_tokens": PoolingMode.MEAN_SQRT_LEN,
    "pooling_mode_weightedmean_tokens": PoolingMode.WEIGHTED_MEAN,
    "pooling_mode_lasttoken": PoolingMode.LAST_TOKEN,
}


def read(config: Document, hidden: int) -> Pooling:
    """Understand a pooling over token states of ``hidden`` numbers, or raise ModelError."""
    for name in ("embedding_dimension", "word_embedding_dimension"):
        width = config.get(name, int)
        if width not in (None, hidden):
            raise config.error(name, f"is {width}, and config.json's hidden_size is {hidden}")
    flagged = tuple(mode for flag, mode in _FLAGS.items() if config.get(flag, bool))
    modes = _named(config) or flagged
    off = [flag for flag in _FLAGS if config.get(flag, bool) is not None]
    if not modes and off:
        raise config.error(off[0], "is false, and so is every other pooling mode that is named")
    include_prompt = config.get("include_prompt", bool)
    config.no_more()
    return Pooling(modes or (PoolingMode.MEAN,), include_prompt=include_prompt is not False)


def _named(config: Document) -> tuple[PoolingMode, ...]:
    """Give the modes of the newer single field, none where it is absent."""
    value = config.get("pooling_mode", str, list)
    names = [value] if isinstance(value, str) else value or []
    known = {str(mode): mode for mode in PoolingMode}
    for name in names:
        if not isinstance(name, str) or name not in known:
            raise config.error("pooling_mode", f"{name!r} is not one of {', '.join(known)}")
    return tuple(known[name] for name in names)
