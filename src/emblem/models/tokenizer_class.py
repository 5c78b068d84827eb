"""What transformers makes of a tokenizer.json, which depends on ``tokenizer_class``.

Some classes build the steps before the vocabulary from tokenizer_config.json and look at the file
for the vocabulary only. Where that would read a text otherwise than the file says, nobody can tell
which of the two the model was trained with, so it is refused.
"""

import re
from typing import Any

from emblem.errors import ModelError
from emblem.models import document, named_tokens
from emblem.models.document import Document

# For a config that names no class, by its model_type.
_USUAL = {
    "bert": "BertTokenizer",
    "roberta": "RobertaTokenizer",
    "xlm-roberta": "XLMRobertaTokenizer",
    "camembert": "CamembertTokenizer",
    "nomic_bert": "BertTokenizer",
    "distilbert": "DistilBertTokenizer",
    "mpnet": "MPNetTokenizer",
}
_WORD_PIECE = ("BertTokenizer", "DistilBertTokenizer", "MPNetTokenizer")
_SENTENCEPIECE = ("XLMRobertaTokenizer", "CamembertTokenizer")
_AS_WRITTEN = ("PreTrainedTokenizer", "TokenizersBackend")
# The BERT normalizer's settings: tokenizer_config.json's name for each, and what its absence means.
_BERT = {
    "lowercase": ("do_lower_case", True),
    "strip_accents": ("strip_accents", None),
    "handle_chinese_chars": ("tokenize_chinese_chars", True),
}


def named(config: Document, model: Document) -> str:
    """Give the class that reads a tokenizer, without the ``Fast`` that some names end in.

    It is named in tokenizer_config.json, else in config.json (``model``). transformers reads a
    ModernBERT's file as it is written, whatever class the folder names.
    """
    model_type = model.need("model_type", str)
    if model_type == "modernbert":
        config.get("tokenizer_class", str)
        return "TokenizersBackend"
    named = config.get("tokenizer_class", str) or model.get("tokenizer_class", str)
    given = named or _USUAL.get(model_type)
    if given is None:
        raise config.error("tokenizer_class", f'is missing, and "{model_type}" has no usual one')
    name = str(given).removesuffix("Fast")
    if name not in (*_USUAL.values(), *_AS_WRITTEN):
        known = ", ".join(dict.fromkeys((*_USUAL.values(), *_AS_WRITTEN)))
        raise config.error("tokenizer_class", f"is {name}; {known} are understood")
    return name


def check(name: str, config: Document, tokenizer: Document) -> None:
    """Refuse a tokenizer.json that says otherwise than tokenizer_config.json or its class."""
    normalizers = _steps(tokenizer, "normalizer", "normalizers")
    bert = next((step for step in normalizers if step.fields.get("type") == "BertNormalizer"), None)
    if name in _WORD_PIECE:
        _check_word_piece(name, tokenizer, normalizers)
        _check_unknown(name, config, tokenizer)
    if name == "RobertaTokenizer" and normalizers:
        raise tokenizer.error("normalizer", f"is there, and the tokenizer_class, {name}, has none")
    if name in _SENTENCEPIECE:
        _check_sentencepiece(name, tokenizer, normalizers)
        _check_metaspace(name, config, tokenizer)
        _check_unigram(name, config, tokenizer)
    if bert is not None:
        _check_bert(config, bert, strict=name in _WORD_PIECE)
    if name == "RobertaTokenizer":
        _check_byte_level(config, tokenizer)
        _check_byte_pairs(tokenizer)


def drops_outer_space(name: str, tokenizer: Document) -> bool:
    """Tell whether white space around a text has to be dropped before its tokenizer.

    transformers cuts at white space before SentencePiece's own step, whatever the file says. Inside
    a text the two agree, because the file's normalizer leaves single spaces; at the ends they do
    not.
    """
    steps = _steps(tokenizer, "pre_tokenizer", "pretokenizers")
    split = any(step.fields.get("type") == "WhitespaceSplit" for step in steps)
    return name in _SENTENCEPIECE and not split


def _steps(tokenizer: Document, name: str, inside: str) -> list[Document]:
    """Give the steps of a normalizer or pre-tokenizer, one or several in a sequence."""
    step = tokenizer.inner(name)
    if step is None:
        return []
    if step.get("type", str) != "Sequence":
        return [step]
    parts = step.need(inside, list)
    if not all(isinstance(part, dict) for part in parts):
        raise step.error(inside, "holds something that is not an object")
    return [Document(step.file, part, f"{step.path}{inside}.") for part in parts]


def _check_word_piece(name: str, tokenizer: Document, normalizers: list[Document]) -> None:
    """Refuse steps other than those that BERT's class and its likes make themselves."""
    if [step.fields.get("type") for step in normalizers] != ["BertNormalizer"]:
        raise tokenizer.error(
            "normalizer", f"is not a BertNormalizer, and the tokenizer_class, {name}, has one"
        )
    cuts = _steps(tokenizer, "pre_tokenizer", "pretokenizers")
    if [step.fields.get("type") for step in cuts] != ["BertPreTokenizer"]:
        raise tokenizer.error(
            "pre_tokenizer", f"is not BertPreTokenizer, and that of {name}, the tokenizer_class, is"
        )
    if (model := tokenizer.inner("model")) is not None:
        model.only("type", "WordPiece")
        model.only("continuing_subword_prefix", "##")
        model.only("max_input_chars_per_word", 100)


def _check_bert(config: Document, normalizer: Document, *, strict: bool) -> None:
    """Compare a BERT normalizer with tokenizer_config.json; absent there counts if ``strict``."""
    says = {field: normalizer.get(field, bool) for field in _BERT}
    # transformers' own order: accents go where case goes, unless something is said about them.
    if says["strip_accents"] is None:
        says["strip_accents"] = says["lowercase"]
    for field, (name, default) in _BERT.items():
        said: Any = config.get(name, bool)
        absent = " (absent)" if said is None else ""
        if said is None and strict:
            said = default
        if said is None and field == "strip_accents" and strict:
            said = says["lowercase"]
        if said is not None and said != says[field]:
            raise ModelError(
                f"{config.file}: {name}: is {_json(said)}{absent}, and the normalizer in "
                f"{normalizer.file.name} says {field}: {_json(says[field])}"
            )
    if strict:
        normalizer.only("clean_text", True)


def _check_byte_level(config: Document, tokenizer: Document) -> None:
    steps = _steps(tokenizer, "pre_tokenizer", "pretokenizers")
    if len(steps) != 1 or steps[0].fields.get("type") != "ByteLevel":
        raise tokenizer.error(
            "pre_tokenizer",
            "is not ByteLevel, and that of the tokenizer_class, RobertaTokenizer, is",
        )
    steps[0].only("use_regex", True)
    says = steps[0].get("add_prefix_space", bool) is not False
    said = bool(config.get("add_prefix_space", bool))
    if says != said:
        raise ModelError(
            f"{config.file}: add_prefix_space: is {_json(said)}, and the pre_tokenizer in "
            f"{tokenizer.file.name} says {_json(says)}"
        )


def _check_byte_pairs(tokenizer: Document) -> None:
    """Refuse byte pairs that RobertaTokenizer, which takes words and merges alone, makes others of."""
    from tokenizers.pre_tokenizers import ByteLevel

    model = tokenizer.inner("model")
    if model is None:
        return
    model.only("type", "BPE")
    model.only("ignore_merges", False)
    model.only("continuing_subword_prefix", "")
    model.only("end_of_word_suffix", "")
    words = model.need("vocab", dict, list)
    lacking = [byte for byte in sorted(ByteLevel.alphabet()) if byte not in words]
    if lacking:  # else nothing is unknown, and what is said of that is never looked at
        model.only("unk_token")
        model.only("byte_fallback", False)


def _check_unknown(name: str, config: Document, tokenizer: Document) -> None:
    """Compare what stands for an unknown word; the class takes it from tokenizer_config.json."""
    model = tokenizer.inner("model")
    token = named_tokens.usual(name, config, "unk_token")
    if model is not None and model.get("unk_token", str) != token:
        raise model.error(
            "unk_token",
            f"is {document.shown(model.fields.get('unk_token'))}, and the tokenizer_class, {name}, "
            f"takes {document.shown(token)}, the unk_token of {config.file.name}",
        )


def _check_unigram(name: str, config: Document, tokenizer: Document) -> None:
    """Compare the place of what stands for an unknown piece: XLM-R's is 3, CamemBERT's is found."""
    model = tokenizer.inner("model")
    if model is None:
        return
    model.only("type", "Unigram")
    model.only("byte_fallback", False)
    place = 3
    if name == "CamembertTokenizer":
        token = named_tokens.usual(name, config, "unk_token")
        pieces = enumerate(model.need("vocab", list))
        place = next((n for n, one in pieces if isinstance(one, list) and one[:1] == [token]), 0)
    if model.get("unk_id", int) != place:
        raise model.error(
            "unk_id",
            f"is {document.shown(model.fields.get('unk_id'))}, and the tokenizer_class, {name}, "
            f"takes {place}",
        )


def _check_metaspace(name: str, config: Document, tokenizer: Document) -> None:
    """Refuse words that begin otherwise than the class lets them begin."""
    config.not_null("add_prefix_space")
    config.only("add_prefix_space", True)
    steps = _steps(tokenizer, "pre_tokenizer", "pretokenizers")
    kinds = [step.fields["type"] for step in steps]
    if kinds not in (["Metaspace"], ["WhitespaceSplit", "Metaspace"]):
        raise tokenizer.error(
            "pre_tokenizer",
            f"is {', '.join(kinds) or 'absent'}, and that of the tokenizer_class, {name}, is "
            "WhitespaceSplit, Metaspace",
        )
    steps[-1].only("replacement", "▁")
    steps[-1].only("prepend_scheme", "always")
    steps[-1].only("add_prefix_space", True)
    steps[-1].only("split", True)


def _check_sentencepiece(name: str, tokenizer: Document, normalizers: list[Document]) -> None:
    """Allow what leaves characters as SentencePiece's own table makes them, less extra spaces."""
    for step in normalizers:
        kind = step.get("type", str)
        pattern = step.fields.get("pattern")
        if kind in ("Precompiled", "Strip") or (kind, pattern) == ("Replace", {"Regex": " {2,}"}):
            continue
        raise step.error("type", f"{kind} is not a step that {name} takes")
    for step in _steps(tokenizer, "pre_tokenizer", "pretokenizers"):
        if not re.fullmatch("WhitespaceSplit|Metaspace", step.need("type", str)):
            raise step.error("type", f"{step.fields['type']} is not a step that {name} takes")


def _json(value: object) -> str:
    return "null" if value is None else str(value).lower()
