"""Tokenizers that transformers would read otherwise than their file says."""

import json
from pathlib import Path
from typing import Any

import pytest

from emblem.errors import ModelError
from emblem.models import layout
from tiny_models import TinyModel, write

TEXT = {"Sequence": {"id": "A", "type_id": 0}}

METASPACE = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True}
SPACES = {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "}


def _folder(tmp_path: Path, family: str, config: dict[str, Any], tokenizer: dict[str, Any]) -> Path:
    folder = write(TinyModel("m", family), tmp_path / "m")
    for name, changes in (("tokenizer_config.json", config), ("tokenizer.json", tokenizer)):
        value = json.loads((folder / name).read_text())
        kept = {key: content for key, content in (value | changes).items() if content != "gone"}
        (folder / name).write_text(json.dumps(kept))
    return folder


def _bert(**changes: Any) -> dict[str, Any]:
    plain = {"clean_text": True, "handle_chinese_chars": True, "strip_accents": None}
    return {"normalizer": {"type": "BertNormalizer", "lowercase": True, **plain, **changes}}


@pytest.mark.parametrize(
    ("config", "tokenizer"),
    [
        ({"do_lower_case": True}, _bert()),
        ({"do_lower_case": False}, _bert(lowercase=False)),
        ({"do_lower_case": "gone"}, _bert()),
        ({"strip_accents": True}, _bert()),
        ({"strip_accents": None}, _bert(strip_accents=True)),
        ({"tokenizer_class": "PreTrainedTokenizerFast", "do_lower_case": "gone"},
         _bert(lowercase=False)),
        ({"tokenizer_class": "gone"}, _bert()),
        ({"tokenizer_class": "DistilBertTokenizerFast"}, _bert()),
        ({"tokenizer_class": "MPNetTokenizer", "bos_token": None, "eos_token": None}, _bert()),
    ],
)  # fmt: skip
def test_a_bert_tokenizer_that_agrees_with_itself_is_read(
    config: dict[str, Any], tokenizer: dict[str, Any], tmp_path: Path
) -> None:
    read = layout.read(_folder(tmp_path, "bert", config, tokenizer), "m").tokenization
    assert not read.strip


@pytest.mark.parametrize(
    ("config", "tokenizer", "why"),
    [
        ({"do_lower_case": True}, _bert(lowercase=False), "do_lower_case: is true, and the norm"),
        ({"do_lower_case": "gone"}, _bert(lowercase=False), r"do_lower_case: is true \(absent\)"),
        ({"strip_accents": False}, _bert(), "strip_accents: is false, and .* strip_accents: true"),
        ({"tokenize_chinese_chars": "gone"}, _bert(handle_chinese_chars=False), "chinese_chars: "),
        ({}, _bert(clean_text=False), "clean_text: is false, and only true"),
        ({}, {"normalizer": None}, "normalizer: is not a BertNormalizer, and the tokenizer_class"),
        ({}, {"pre_tokenizer": METASPACE}, "pre_tokenizer: is not BertPreTokenizer, and that of"),
        ({"tokenizer_class": "DebertaTokenizer"}, {}, "tokenizer_class: is DebertaTokenizer; Bert"),
    ],
)
def test_a_bert_tokenizer_that_contradicts_itself_is_refused(
    config: dict[str, Any], tokenizer: dict[str, Any], why: str, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match=why):
        layout.read(_folder(tmp_path, "bert", config, tokenizer), "m")


@pytest.mark.parametrize(
    ("config", "tokenizer", "why"),
    [
        ({"add_prefix_space": True}, {}, "add_prefix_space: is true, and the pre_tokenizer in"),
        ({}, {"pre_tokenizer": METASPACE}, "pre_tokenizer: is not ByteLevel, and that of the"),
        ({}, {"normalizer": {"type": "NFC"}}, "normalizer: is there, and the tokenizer_class"),
    ],
)
def test_a_roberta_tokenizer_that_contradicts_itself_is_refused(
    config: dict[str, Any], tokenizer: dict[str, Any], why: str, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match=why):
        layout.read(_folder(tmp_path, "roberta", config, tokenizer), "m")


def _template(before: str, after: str, **ids: int) -> dict[str, Any]:
    ends = [{"SpecialToken": {"id": token, "type_id": 0}} for token in (before, after)]
    special = {
        token: {"id": token, "ids": [number], "tokens": [token]} for token, number in ids.items()
    }
    single = [ends[0], TEXT, ends[1]]
    kind = {"type": "TemplateProcessing", "single": single, "pair": [], "special_tokens": special}
    return {"post_processor": kind}


def _processing(kind: str, **ends: Any) -> dict[str, Any]:
    return {"post_processor": {"type": kind, **ends}}


BERT_IDS = {"[CLS]": 2, "[SEP]": 3}


@pytest.mark.parametrize(
    ("family", "config", "tokenizer"),
    [
        ("bert", {}, _template("[CLS]", "[SEP]", **BERT_IDS)),
        ("bert", {"cls_token": "gone", "sep_token": {"content": "[SEP]"}},
         _processing("BertProcessing", cls=["[CLS]", 2], sep=["[SEP]", 3])),
        ("bert", {"cls_token": "[MASK]"}, _template("[MASK]", "[SEP]", **{"[MASK]": 4, "[SEP]": 3})),
        ("bert", {"tokenizer_class": "PreTrainedTokenizerFast"}, {"post_processor": None}),
        ("roberta", {}, _template("<s>", "</s>", **{"<s>": 0, "</s>": 2})),
        ("xlm-roberta", {"tokenizer_class": "CamembertTokenizer"},
         _processing("RobertaProcessing", cls=["<s>", 0], sep=["</s>", 2])),
    ],
)  # fmt: skip
def test_a_text_framed_as_its_class_frames_it_is_read(
    family: str, config: dict[str, Any], tokenizer: dict[str, Any], tmp_path: Path
) -> None:
    folder = _folder(tmp_path, family, config, tokenizer)
    assert layout.read(folder, "m").tokenization.special_tokens


@pytest.mark.parametrize(
    ("family", "config", "tokenizer"),
    [
        ("bert", {}, {"post_processor": None}),
        ("bert", {}, _template("[CLS]", "[CLS]", **BERT_IDS)),
        ("bert", {}, _template("[CLS]", "[SEP]", **{"[CLS]": 2, "[SEP]": 4})),
        ("bert", {}, _template("[CLS]", "[SEP]")),
        ("bert", {"sep_token": "[MASK]"}, _template("[CLS]", "[SEP]", **BERT_IDS)),
        ("bert", {}, _processing("BertProcessing", cls=["[CLS]", 2])),
        ("bert", {}, _processing("BertProcessing", cls=["[CLS]", 3], sep=["[SEP]", 2])),
        ("bert", {}, _processing("ByteLevel", cls=["[CLS]", 2], sep=["[SEP]", 3])),
        ("roberta", {}, {"post_processor": None}),
        ("xlm-roberta", {}, {"post_processor": None}),
        ("xlm-roberta", {"eos_token": "<pad>"}, {}),
        ("bert", {"tokenizer_class": "MPNetTokenizer", "cls_token": "gone"}, {}),
    ],
)
def test_a_text_framed_otherwise_than_its_class_frames_it_is_refused(
    family: str, config: dict[str, Any], tokenizer: dict[str, Any], tmp_path: Path
) -> None:
    folder = _folder(tmp_path, family, config, tokenizer)
    with pytest.raises(
        ModelError, match=r"tokenizer\.json: post_processor: does not put .* before"
    ):
        layout.read(folder, "m")


@pytest.mark.parametrize(
    "name", ["PreTrainedTokenizerFast", "TokenizersBackend", "GPTNeoXTokenizerFast", "gone"]
)
def test_the_tokenizer_of_a_modernbert_is_read_as_it_is_written(name: str, tmp_path: Path) -> None:
    folder = _folder(tmp_path, "modernbert", {"tokenizer_class": name}, {})
    assert not layout.read(folder, "m").tokenization.strip


@pytest.mark.parametrize(
    ("family", "flags"),
    [
        ("modernbert", {"add_bos_token": False, "add_eos_token": False}),
        ("modernbert", {"add_bos_token": True}),
        ("modernbert", {"add_eos_token": False}),
        ("roberta", {"add_bos_token": True, "add_eos_token": False}),
    ],
)
def test_flags_that_frame_a_text_anew_are_refused_where_the_file_says_otherwise(
    family: str, flags: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match=r"tokenizer_config\.json: add_.*: put .* before a text"):
        layout.read(_folder(tmp_path, family, flags, {}), "m")


def test_flags_that_say_what_the_file_says_are_read(tmp_path: Path) -> None:
    flags = {"add_bos_token": True, "add_eos_token": True}
    brackets = {"bos_token": "[CLS]", "eos_token": "[SEP]"}
    assert layout.read(_folder(tmp_path / "a", "modernbert", flags | brackets, {}), "m")
    assert layout.read(_folder(tmp_path / "b", "roberta", flags, {}), "m")


@pytest.mark.parametrize(
    ("config", "strip"),
    [
        ({"tokenizer_class": "XLMRobertaTokenizer"}, True),
        ({"tokenizer_class": "XLMRobertaTokenizerFast"}, True),
        ({"tokenizer_class": "gone"}, True),
        ({"tokenizer_class": "PreTrainedTokenizerFast"}, False),
    ],
)
def test_outer_space_is_dropped_where_transformers_splits_and_the_file_does_not(
    config: dict[str, Any], strip: bool, tmp_path: Path
) -> None:
    tokenizer = {
        "normalizer": {"type": "Sequence", "normalizers": [SPACES]},
        "pre_tokenizer": METASPACE,
    }
    folder = _folder(tmp_path, "xlm-roberta", config, tokenizer)
    assert layout.read(folder, "m").tokenization.strip == strip


@pytest.mark.parametrize(
    ("tokenizer", "why"),
    [
        ({"normalizer": {"type": "Lowercase"}}, "normalizer.type: Lowercase is not a step that"),
        ({"pre_tokenizer": {"type": "ByteLevel"}}, "pre_tokenizer.type: ByteLevel is not a step"),
        ({"normalizer": {"type": "Sequence"}}, "normalizer.normalizers: is missing"),
        ({"normalizer": {"type": "Sequence", "normalizers": [1]}}, "holds something that is not"),
    ],
)
def test_a_sentencepiece_tokenizer_with_a_step_of_its_own_is_refused(
    tokenizer: dict[str, Any], why: str, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match=why):
        layout.read(_folder(tmp_path, "xlm-roberta", {}, tokenizer), "m")


ALWAYS = {"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, METASPACE]}


@pytest.mark.parametrize(
    ("config", "pre_tokenizer", "why"),
    [
        ({"add_prefix_space": False}, ALWAYS, "add_prefix_space: is false, and only true"),
        ({"add_prefix_space": None}, ALWAYS, "add_prefix_space: is null"),
        ({}, METASPACE | {"replacement": "_"}, 'replacement: is "_", and only "▁"'),
        ({}, METASPACE | {"prepend_scheme": "first"}, 'prepend_scheme: is "first", and only "alw'),
        ({}, METASPACE | {"split": False}, "split: is false, and only true"),
        ({}, None, "pre_tokenizer: is absent, and that of the tokenizer_class, XLMRobertaToken"),
        ({}, {"type": "WhitespaceSplit"}, "pre_tokenizer: is WhitespaceSplit, and that of"),
    ],
)
def test_a_sentencepiece_tokenizer_that_begins_words_otherwise_is_refused(
    config: dict[str, Any], pre_tokenizer: Any, why: str, tmp_path: Path
) -> None:
    folder = _folder(tmp_path, "xlm-roberta", config, {"pre_tokenizer": pre_tokenizer})
    with pytest.raises(ModelError, match=why):
        layout.read(folder, "m")


def test_metaspace_as_older_files_have_it_is_read(tmp_path: Path) -> None:
    older = {"type": "Metaspace", "replacement": "▁", "add_prefix_space": True}
    folder = _folder(tmp_path, "xlm-roberta", {}, {"pre_tokenizer": older})
    assert layout.read(folder, "m")


def _with_model(tmp_path: Path, family: str, config: dict[str, Any], **changes: Any) -> Path:
    folder = _folder(tmp_path, family, config, {})
    file = folder / "tokenizer.json"
    tokenizer = json.loads(file.read_text())
    tokenizer["model"] |= changes
    file.write_text(json.dumps(tokenizer))
    return folder


CAMEMBERT = {"tokenizer_class": "CamembertTokenizer"}


@pytest.mark.parametrize(
    ("family", "config", "changes", "why"),
    [
        ("bert", {}, {"unk_token": "[MASK]"}, r'unk_token: is "\[MASK\]", and the .* "\[UNK\]"'),
        (
            "bert",
            {"unk_token": "[PAD]"},
            {},
            r'unk_token: is "\[UNK\]", and the .* takes "\[PAD\]"',
        ),
        ("xlm-roberta", {}, {"unk_id": 2}, "unk_id: is 2, and the tokenizer_class, XLM.* takes 3"),
        ("xlm-roberta", CAMEMBERT | {"unk_token": "<pad>"}, {}, "unk_id: is 3, .*Cam.* takes 1"),
        ("xlm-roberta", {}, {"byte_fallback": True}, "byte_fallback: is true, and only false"),
        ("roberta", {}, {"ignore_merges": True}, "ignore_merges: is true, and only false"),
        ("roberta", {}, {"end_of_word_suffix": "</w>"}, 'end_of_word_suffix: is "</w>"'),
        ("roberta", {}, {"continuing_subword_prefix": "##"}, "continuing_subword_prefix: is"),
    ],
)
def test_a_vocabulary_that_its_class_would_read_otherwise_is_refused(
    family: str, config: dict[str, Any], changes: dict[str, Any], why: str, tmp_path: Path
) -> None:
    folder = _with_model(tmp_path, family, config, **changes)
    with pytest.raises(ModelError, match=rf"tokenizer\.json: model\.{why}"):
        layout.read(folder, "m")


def test_what_is_unknown_matters_only_where_a_byte_is_no_token(tmp_path: Path) -> None:
    folder = _with_model(tmp_path, "roberta", {}, unk_token="<unk>")
    assert layout.read(folder, "m")
    file = folder / "tokenizer.json"
    tokenizer = json.loads(file.read_text())
    tokenizer["model"]["vocab"].pop("Ã")
    file.write_text(json.dumps(tokenizer))
    with pytest.raises(ModelError, match='unk_token: is "<unk>", and only absent is understood'):
        layout.read(folder, "m")


def test_bytes_that_are_cut_without_a_pattern_are_refused(tmp_path: Path) -> None:
    cut = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False}
    with pytest.raises(ModelError, match=r"pre_tokenizer\.use_regex: is false, and only true"):
        layout.read(_folder(tmp_path, "roberta", {}, {"pre_tokenizer": cut}), "m")


def test_the_class_that_config_json_names_is_read_where_no_other_is(tmp_path: Path) -> None:
    folder = _folder(tmp_path, "bert", {"tokenizer_class": "gone"}, {})
    config = json.loads((folder / "config.json").read_text())
    named = config | {"tokenizer_class": "XLMRobertaTokenizer"}
    (folder / "config.json").write_text(json.dumps(named))
    with pytest.raises(ModelError, match="is not a step that XLMRobertaTokenizer takes"):
        layout.read(folder, "m")
