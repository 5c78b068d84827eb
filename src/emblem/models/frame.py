"""The tokens that transformers puts around a text, which some tokenizer classes decide themselves.

Those do not look at the file's ``post_processor``, so one that says otherwise is refused.
"""

from typing import Any

from emblem.models import named_tokens
from emblem.models.document import Document

# For each class, the settings that name the token before a text and the one after it.
_CLS_SEP, _BOS_EOS = ("cls_token", "sep_token"), ("bos_token", "eos_token")
_ENDS = {
    "BertTokenizer": _CLS_SEP,
    "DistilBertTokenizer": _CLS_SEP,
    "MPNetTokenizer": _CLS_SEP,
    "RobertaTokenizer": _CLS_SEP,
    "XLMRobertaTokenizer": _BOS_EOS,
    "CamembertTokenizer": _BOS_EOS,
}


def check(name: str, config: Document, tokenizer: Document) -> None:
    """Refuse a post_processor that frames a text otherwise than the tokenizer's class does.

    ``config`` is tokenizer_config.json. A class that takes the file as it is written may frame a
    text in any way.
    """
    _check_flags(config, tokenizer)
    if name not in _ENDS:
        return
    before, after = (named_tokens.usual(name, config, end) for end in _ENDS[name])
    if not _frames(tokenizer, before, after):
        raise tokenizer.error(
            "post_processor",
            f"does not put {before} before a text and {after} after it, as the tokenizer_class, "
            f"{name}, does",
        )


def special(tokenizer: Document) -> int:
    """Count the tokens that a post_processor puts around a text, as far as it says so."""
    written = tokenizer.inner("post_processor")
    return 0 if written is None else _added(written)


def _added(step: Document) -> int:
    kind = step.fields.get("type")
    if kind in ("BertProcessing", "RobertaProcessing"):
        return 2
    if kind == "TemplateProcessing":
        parts = step.need("single", list)
        return sum(isinstance(part, dict) and "SpecialToken" in part for part in parts)
    inside = (step.get("processors", list) or []) if kind == "Sequence" else []
    return sum(_added(Document(step.file, one)) for one in inside if isinstance(one, dict))


def _check_flags(config: Document, tokenizer: Document) -> None:
    """Compare with add_bos_token and add_eos_token, where one of them is there.

    transformers 5 then frames a text anew; earlier ones left it to the file for most classes.
    """
    flags = ("add_bos_token", "add_eos_token")
    if all(flag not in config.fields for flag in flags):
        return
    before, after = (
        named_tokens.content(config, flag.removeprefix("add_")) if config.get(flag, bool) else ""
        for flag in flags
    )
    if not _frames(tokenizer, before, after):
        raise config.error(
            " and ".join(flag for flag in flags if flag in config.fields),
            f"put {before or 'nothing'} before a text and {after or 'nothing'} after it, and the "
            f"post_processor in {tokenizer.file.name} says otherwise",
        )


def _frames(tokenizer: Document, before: str, after: str) -> bool:
    """Tell whether the post_processor puts these tokens, under their own ids, around a text.

    "" stands for no token at all.
    """
    written = tokenizer.inner("post_processor")
    if written is None:
        return not before and not after
    ids = {token: _id(tokenizer, token) for token in (before, after) if token}
    kind = written.fields.get("type")
    if kind in ("BertProcessing", "RobertaProcessing"):
        ends = [written.fields.get("cls"), written.fields.get("sep")]
        return ends == [[token, ids.get(token)] for token in (before, after)]
    text = {"Sequence": {"id": "A", "type_id": 0}}
    single = [
        text if part is None else _special(part) for part in (before, None, after) if part != ""
    ]
    if kind != "TemplateProcessing" or written.fields.get("single") != single:
        return False
    special = written.need("special_tokens", dict)
    return all(
        isinstance(one := special.get(token), dict) and one.get("ids") == [number]
        for token, number in ids.items()
    )


def _special(token: str) -> dict[str, Any]:
    return {"SpecialToken": {"id": token, "type_id": 0}}


def _id(tokenizer: Document, token: str) -> Any:
    """Give the id of a token: the vocabulary's, else that of an added token, else None."""
    model = tokenizer.inner("model")
    vocab = None if model is None else model.get("vocab", dict, list)
    if isinstance(vocab, dict) and token in vocab:
        return vocab[token]
    for index, piece in enumerate(vocab if isinstance(vocab, list) else []):
        if isinstance(piece, list) and piece[:1] == [token]:
            return index
    added = tokenizer.get("added_tokens", list) or []
    found = (one for one in added if isinstance(one, dict) and one.get("content") == token)
    return next(found, {}).get("id")
