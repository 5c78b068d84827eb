"""Tokens that the files around ``tokenizer.json`` name, and that transformers cuts out of a text.

transformers makes an added token of every one that ``tokenizer_config.json``,
``special_tokens_map.json`` or ``added_tokens.json`` names, and some classes take those of
``tokenizer_config.json`` instead of the file's own. Texts are read here with ``tokenizer.json``
alone, so each has to be there, and the same.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from emblem.models import document
from emblem.models.document import Document

_SPECIAL = tuple(f"{one}_token" for one in ("bos", "eos", "unk", "sep", "pad", "cls", "mask"))
_LISTS = ("additional_special_tokens", "extra_special_tokens", "model_specific_special_tokens")

_BERT = {"unk_token": "[UNK]", "sep_token": "[SEP]", "pad_token": "[PAD]", "cls_token": "[CLS]"}
_BERT |= {"mask_token": "[MASK]"}
_ROBERTA = {"bos_token": "<s>", "eos_token": "</s>", "sep_token": "</s>", "cls_token": "<s>"}
_ROBERTA |= {"unk_token": "<unk>", "pad_token": "<pad>", "mask_token": "<mask>"}
# What a class that builds a tokenizer itself takes for a setting that is absent.
_USUAL = {
    "BertTokenizer": _BERT,
    "DistilBertTokenizer": _BERT,
    "MPNetTokenizer": _ROBERTA | {"unk_token": "[UNK]"},
    "RobertaTokenizer": _ROBERTA,
    "XLMRobertaTokenizer": _ROBERTA,
    "CamembertTokenizer": _ROBERTA,
}
# How a token is looked for in a text; these are False where nothing is said.
_FLAGS = ("special", "lstrip", "rstrip", "single_word")


def settings(folder: Path) -> Document:
    """Read ``tokenizer_config.json``, with the tokens that ``special_tokens_map.json`` adds to it.

    transformers looks at the second only where the first does not list all added tokens. Raises
    ModelError where the two name different tokens.
    """
    config = document.read_if_there(folder / "tokenizer_config.json")
    if config.fields.get("added_tokens_decoder") is not None:
        return config
    marks = document.read_if_there(folder / "special_tokens_map.json")
    own = {name: value for name, value in config.fields.items() if value is not None}
    for name in _SPECIAL:
        ours, theirs = content(marks, name), content(config, name)
        if ours and theirs and ours != theirs:
            raise marks.error(
                name,
                f"is {document.shown(ours)}, and {config.file.name} says {document.shown(theirs)}",
            )
    return Document(config.file, config.fields | marks.fields | own)


def usual(kind: str, config: Document, name: str) -> str:
    """Give the token that a class takes for a setting. Raises ModelError where that is null."""
    if name not in config.fields:
        return _USUAL[kind][name]
    token = _content(config, name, config.fields[name])
    if token is None:
        raise config.error(name, f"is null, and the tokenizer_class, {kind}, needs a token")
    return token


def content(config: Document, name: str) -> str:
    """Give the token that a setting names, "" where it names none."""
    return _content(config, name, config.fields.get(name)) or ""


def check(folder: Path, config: Document, tokenizer: Document, kind: str = "") -> None:
    """Refuse a token that is named and that ``tokenizer.json`` does not have so.

    ``config`` is from ``settings``. ``kind`` is the tokenizer's class; "" is for one that nothing
    is known of.
    """
    there = {one.need("content", str): one for one in _added(tokenizer)}
    marks = document.read_if_there(folder / "special_tokens_map.json")
    own = document.read_if_there(folder / "tokenizer_config.json")
    named = [(file, *pair) for file in (own, marks) for pair in _named(file)]
    absent = {
        name: token for name, token in _USUAL.get(kind, {}).items() if name not in config.fields
    }
    named += [(own, f"{name} (absent)", token) for name, token in absent.items()]
    padding = tokenizer.inner("padding")
    if padding is not None and "pad_token" not in config.fields and not absent:
        named.append((padding, "pad_token", padding.need("pad_token", str)))
    for file, name, token in named:
        if token not in there:
            raise file.error(
                name,
                f"{document.shown(token)} is not among the added_tokens of {tokenizer.file.name}, and "
                "transformers would make it one; it has to be there, or not to be named",
            )
    _check_numbers(folder, there)
    special = {token for _, _, token in named}
    _check_listed(own, there, special, complete=kind in _USUAL)


def _check_numbers(folder: Path, there: dict[str, Document]) -> None:
    """Compare with ``added_tokens.json``, which gives each token's id."""
    listed = document.read_if_there(folder / "added_tokens.json")
    for token in listed.fields:
        number = listed.need(token, int)
        if token not in there or there[token].fields.get("id") != number:
            raise listed.error(
                token, f"is {number}, and the added_tokens of tokenizer.json have no such token"
            )


def _check_listed(
    config: Document, there: dict[str, Document], special: set[str], *, complete: bool
) -> None:
    """Compare with ``added_tokens_decoder``, which goes before what ``tokenizer.json`` says.

    It has to list every token where it is ``complete``: a class that builds a tokenizer takes no
    other. A token that something names is special, whatever its entry says.
    """
    listed = config.inner("added_tokens_decoder")
    if listed is None:
        return
    known: set[str] = set()
    for number in listed.fields:
        entry = listed.inner(number)
        if entry is None:
            raise listed.error(number, "is null, not a token")
        token = entry.need("content", str)
        known.add(token)
        one = there.get(token)
        if one is None or str(one.fields.get("id")) != number:
            raise listed.error(
                number,
                f"{document.shown(token)} is not the token of that id among the added_tokens of "
                "tokenizer.json",
            )
        ours, theirs = _flags(one, token in special), _flags(entry, token in special)
        for flag in (flag for flag in ours if ours[flag] != theirs[flag]):
            raise entry.error(
                flag,
                f"is {document.shown(theirs[flag])} for {document.shown(token)}, and {one.file.name} says "
                f"{document.shown(ours[flag])}",
            )
    left = [token for token in sorted(set(there) - known) if not _plain(there[token], special)]
    if complete and left:
        raise config.error(
            "added_tokens_decoder",
            f"lacks {document.shown(left[0])}, which is among the added_tokens of tokenizer.json",
        )


def _added(tokenizer: Document) -> Iterator[Document]:
    for index, token in enumerate(tokenizer.get("added_tokens", list) or []):
        if not isinstance(token, dict):
            raise tokenizer.error(
                f"added_tokens.{index}", f"is {document.shown(token)}, not an object"
            )
        yield Document(tokenizer.file, token, f"added_tokens.{index}.")


def _named(file: Document) -> Iterator[tuple[str, str]]:
    """Give the fields that name tokens, each with one."""
    for name, value in file.fields.items():
        several = [value]
        if name in _LISTS:
            found = file.get(name, list, dict) or []
            several = list(found.values() if isinstance(found, dict) else found)
        elif name not in _SPECIAL and not (
            name.endswith("_token") and isinstance(value, str | dict)
        ):
            continue
        for one in several:
            if token := _content(file, name, one):
                yield name, token


def _content(file: Document, name: str, value: Any) -> str | None:
    """Give a token, which is a text or an object with its content."""
    if isinstance(value, dict):
        value = value.get("content")
        name = f"{name}.content"
    elif value is None:
        return None
    if not isinstance(value, str):
        raise file.error(name, f"is {document.shown(value)}, not a token")
    return value


def _plain(token: Document, special: set[str]) -> bool:
    """Tell whether a token is as transformers makes one that is only named."""
    made = Document(token.file, {"special": True})
    return token.fields["content"] in special and _flags(token, True) == _flags(made, True)


def _flags(token: Document, special: bool) -> dict[str, bool]:
    """Give how a token is looked for; a special one not in the normalised text, if nothing is said."""
    flags = {flag: bool(token.get(flag, bool)) for flag in _FLAGS}
    normalized = token.get("normalized", bool)
    flags["normalized"] = not flags["special"] if normalized is None else normalized
    return flags | {"special": flags["special"] or special}
