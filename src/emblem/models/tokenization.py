"""How a model reads text: ``tokenizer.json`` and the settings around it."""

from pathlib import Path
from typing import Any

from emblem.model import Tokenization
from emblem.models import charsmap, document, frame, named_tokens, outline, tokenizer_class
from emblem.models.document import Document

# Where sentence-transformers has kept the settings of its Transformer module.
_SETTINGS = tuple(
    f"sentence_{kind}_config.json"
    for kind in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
)
_NO_LIMIT = 1e29  # 1e30 stands for that in files that transformers writes
_TEXT_ONLY = {"text": {"method": "forward", "method_output_name": "last_hidden_state"}}


def read(
    folder: Path, model: Document, longest: int | None, *, compared: bool = False
) -> Tokenization:
    """Understand the tokenizer of a transformers folder, or raise ModelError.

    ``model`` is the folder's config.json; ``longest`` is how many tokens the encoder reads at once,
    None where it has no limit of its own. sentence-transformers 6 hands a text to the tokenizer
    untouched, so what is stripped here is only what the tokenizer's own class drops. Where the
    tokenizer will be ``compared`` with the library's own before it reads a text, its class may be
    any.
    """
    settings = _settings(folder)
    config = named_tokens.settings(folder)
    path = file(folder, outline.vocabulary(model))
    tokenizer = document.read(path)
    max_length = _max_length(settings, config, longest, frame.special(tokenizer))
    lowercase = bool(settings.get("do_lower_case", bool))
    _check_cut(config, tokenizer)
    if compared:
        named_tokens.check(folder, config, tokenizer)
        return Tokenization(path, max_length, strip=False, lowercase=lowercase)
    kind = tokenizer_class.named(config, model)
    tokenizer_class.check(kind, config, tokenizer)
    frame.check(kind, config, tokenizer)
    named_tokens.check(folder, config, tokenizer, kind)
    return Tokenization(
        file=path,
        max_length=max_length,
        strip=tokenizer_class.drops_outer_space(kind, tokenizer),
        lowercase=lowercase,
    )


def file(folder: Path, rows: int) -> Path:
    """Give the tokenizer's file after checking that a table of so many rows has all its ids."""
    path = folder / "tokenizer.json"
    tokenizer = document.read(path)
    charsmap.check(tokenizer)
    model = tokenizer.inner("model")
    if model is None:
        raise tokenizer.error("model", "is missing")
    model.only("dropout", 0)
    vocab = model.need("vocab", dict, list)
    numbers = list(vocab.values()) if isinstance(vocab, dict) else [len(vocab) - 1]
    added = tokenizer.get("added_tokens", list) or []
    numbers += [token.get("id") if isinstance(token, dict) else None for token in added]
    if not all(type(number) is int for number in numbers):
        raise model.error("vocab", "an id there or in added_tokens is not a whole number")
    highest = max(numbers, default=-1)
    if highest >= rows:
        raise model.error(
            "vocab", f"goes up to id {highest}, and the model's table has {rows} rows"
        )
    return path


def _settings(folder: Path) -> Document:
    found = next((path for name in _SETTINGS if (path := folder / name).is_file()), None)
    settings = document.read_if_there(found or folder / _SETTINGS[0])
    settings.get("max_seq_length", int)
    settings.get("do_lower_case", bool)
    settings.only("transformer_task", "feature-extraction")
    settings.only("modality_config", _TEXT_ONLY)
    settings.only("module_output_name", "token_embeddings")
    empty: tuple[Any, ...] = ({},)
    for name in ("processing_kwargs", "model_args", "tokenizer_args", "config_args"):
        settings.only(name, *empty)
    for name in ("model_kwargs", "processor_kwargs", "config_kwargs"):
        settings.only(name, *empty)
    for name in ("query_length", "document_length", "query_expansion", "tokenizer_name_or_path"):
        settings.only(name)
    settings.no_more("unpad_inputs")
    return settings


def _check_cut(config: Document, tokenizer: Document) -> None:
    """Refuse to cut a text at its beginning, and to read special tokens as any other text."""
    config.only("truncation_side", "right")
    config.only("split_special_tokens", False)
    if (cut := tokenizer.inner("truncation")) is not None:
        cut.only("direction", "Right")


def _max_length(settings: Document, config: Document, room: int | None, special: int) -> int:
    """Give the length in tokens that sentence-transformers cuts at, within what there is room for.

    ``special`` is how many of them the model adds.
    """
    wanted = settings.get("max_seq_length", int)
    source, name = settings, "max_seq_length"
    if wanted is None:
        source, name = config, "model_max_length"
        wanted = config.get(name, int, float)
    if wanted is not None and wanted < 1:
        raise source.error(name, f"is {wanted}, which leaves no room for a text")
    if wanted is not None and wanted <= special:
        raise source.error(
            name,
            f"is {wanted}, which leaves no room for a text beside {special} special tokens; it has "
            f"to be {special + 1} at least",
        )
    if wanted is not None and wanted >= _NO_LIMIT:
        wanted = None
    if room is None and wanted is None:
        raise settings.error("max_seq_length", "is missing, and nothing else says how much is read")
    return int(min(one for one in (room, wanted) if one is not None))
