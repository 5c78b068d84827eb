"""Tokens that the files around tokenizer.json name have to be there, and the same."""

import json
from pathlib import Path
from typing import Any

import pytest

from emblem.errors import ModelError
from emblem.models import layout
from tiny_models import TinyModel, write

# Words of the small vocabularies that are no added tokens.
WORDS = {"bert": "query", "roberta": "Ġquery", "xlm-roberta": "▁query", "modernbert": "query"}
MASK = {"__type": "AddedToken", "content": "<mask>", "lstrip": True, "normalized": True}


def changed(folder: Path, name: str, **changes: Any) -> None:
    """Change fields of a JSON file, or write one of them alone; "gone" takes a field away."""
    file = folder / name
    value = json.loads(file.read_text()) if file.is_file() else {}
    kept = {key: one for key, one in (value | changes).items() if one != "gone"}
    file.write_text(json.dumps(kept))


def listed(folder: Path) -> dict[str, Any]:
    """Give the added tokens of tokenizer.json as tokenizer_config.json lists them."""
    tokens = json.loads((folder / "tokenizer.json").read_text())["added_tokens"]
    return {str(token.pop("id")): token for token in tokens}


@pytest.fixture
def bert(tmp_path: Path) -> Path:
    return write(TinyModel("m", "bert"), tmp_path / "m")


@pytest.fixture
def roberta(tmp_path: Path) -> Path:
    return write(TinyModel("m", "roberta"), tmp_path / "m")


@pytest.mark.parametrize("family", WORDS)
@pytest.mark.parametrize(
    ("file", "field", "form"),
    [
        ("tokenizer_config.json", "additional_special_tokens", "list"),
        ("tokenizer_config.json", "extra_special_tokens", "list"),
        ("tokenizer_config.json", "extra_special_tokens", "object"),
        ("tokenizer_config.json", "model_specific_special_tokens", "object"),
        ("tokenizer_config.json", "image_token", "text"),
        ("tokenizer_config.json", "mask_token", "text"),
        ("tokenizer_config.json", "mask_token", "token"),
        ("special_tokens_map.json", "additional_special_tokens", "list"),
        ("special_tokens_map.json", "additional_special_tokens", "tokens"),
    ],
)
def test_a_word_that_is_named_as_a_token_is_refused(
    family: str, file: str, field: str, form: str, tmp_path: Path
) -> None:
    folder = write(TinyModel("m", family), tmp_path / "m")
    word = WORDS[family]
    token = {"content": word, "lstrip": False}
    forms = {"list": [word], "object": {"a": word}, "text": word, "token": token, "tokens": [token]}
    changed(folder, file, **{field: forms[form]})
    with pytest.raises(ModelError, match=rf'{file}: {field}: "{word}" is not among the added_tok'):
        layout.read(folder, "m")


def test_the_tokens_of_the_file_may_be_named_again_wherever_they_are(bert: Path) -> None:
    names = ["[MASK]", {"content": "[SEP]"}]
    changed(bert, "tokenizer_config.json", additional_special_tokens=names, image_token="[UNK]")
    changed(bert, "tokenizer_config.json", extra_special_tokens={"a": "[PAD]"}, bos_token=None)
    changed(bert, "tokenizer_config.json", eos_token={"content": "[SEP]"}, add_image_token=True)
    changed(bert, "special_tokens_map.json", mask_token={"content": "[MASK]"}, pad_token="[PAD]")
    changed(bert, "added_tokens.json", **{"[CLS]": 2, "[MASK]": 4})
    assert layout.read(bert, "m")


def test_the_files_own_flags_go_before_those_beside_a_name(roberta: Path) -> None:
    """As transformers has it, and as older multilingual folders need it."""
    changed(roberta, "tokenizer_config.json", mask_token=MASK | {"lstrip": False})
    assert layout.read(roberta, "m")


def test_two_files_that_name_different_tokens_are_refused(bert: Path) -> None:
    changed(bert, "special_tokens_map.json", cls_token="[SEP]")
    why = (
        r'special_tokens_map\.json: cls_token: is "\[SEP\]", and tokenizer_config\.json says "\[CL'
    )
    with pytest.raises(ModelError, match=why):
        layout.read(bert, "m")


@pytest.mark.parametrize("absent", ["gone", None])
def test_a_token_that_only_the_map_names_frames_a_text(absent: str | None, bert: Path) -> None:
    changed(bert, "tokenizer_config.json", cls_token=absent)
    changed(bert, "special_tokens_map.json", cls_token="[MASK]")
    with pytest.raises(ModelError, match=r"post_processor: does not put \[MASK\] before a text"):
        layout.read(bert, "m")


def test_what_a_class_takes_for_an_absent_name_has_to_be_a_token_too(bert: Path) -> None:
    tokens = json.loads((bert / "tokenizer.json").read_text())["added_tokens"]
    changed(bert, "tokenizer.json", added_tokens=tokens[:-1])
    changed(bert, "tokenizer_config.json", mask_token="gone")
    with pytest.raises(ModelError, match=r'config\.json: mask_token \(absent\): "\[MASK\]" is not'):
        layout.read(bert, "m")
    changed(bert, "tokenizer_config.json", mask_token=None)
    assert layout.read(bert, "m")


@pytest.mark.parametrize("name", ["cls_token", "unk_token"])
def test_null_for_a_token_that_a_class_needs_is_refused(name: str, bert: Path) -> None:
    changed(bert, "tokenizer_config.json", **{name: None})
    with pytest.raises(ModelError, match=f"{name}: is null, and the tokenizer_class, BertToken"):
        layout.read(bert, "m")


def test_the_token_that_pads_in_the_file_is_named_by_it(tmp_path: Path) -> None:
    folder = write(TinyModel("m", "modernbert"), tmp_path / "m")
    padding = {"strategy": "BatchLongest", "direction": "Right", "pad_to_multiple_of": None}
    padding |= {"pad_id": 0, "pad_type_id": 0, "pad_token": "query"}
    changed(folder, "tokenizer.json", padding=padding)
    assert layout.read(folder, "m")
    changed(folder, "tokenizer_config.json", pad_token="gone")
    with pytest.raises(ModelError, match=r'tokenizer\.json: padding\.pad_token: "query" is not'):
        layout.read(folder, "m")


@pytest.mark.parametrize("family", WORDS)
def test_a_list_of_all_tokens_as_they_are_is_read(family: str, tmp_path: Path) -> None:
    folder = write(TinyModel("m", family), tmp_path / "m")
    changed(folder, "tokenizer_config.json", added_tokens_decoder=listed(folder))
    assert layout.read(folder, "m")


@pytest.mark.parametrize(
    ("number", "token", "why"),
    [
        ("287", {"content": "query"}, r'287: "query" is not the token of that id'),
        ("4", {"content": "[PAD]"}, r'4: "\[PAD\]" is not the token of that id'),
        ("4", {"content": "[MASK]", "special": True, "lstrip": True},
         r'4\.lstrip: is true for "\[MASK\]", and tokenizer\.json says false'),
        ("4", {"content": "[MASK]", "special": True, "normalized": True}, r"4\.normalized: is true"),
        ("4", {"content": "[MASK]", "special": True, "single_word": True}, r"4\.single_word: is t"),
        ("4", {"content": "[MASK]"}, r"4\.normalized: is true"),
        ("4", {}, r"4\.content: is missing"),
        ("4", None, r"4: is null"),
        ("4", "[MASK]", r"4: is .* not an object"),
    ],
)  # fmt: skip
def test_a_listed_token_that_differs_is_refused(
    number: str, token: Any, why: str, bert: Path
) -> None:
    tokens = listed(bert) | {number: token}
    changed(bert, "tokenizer_config.json", added_tokens_decoder=tokens)
    with pytest.raises(ModelError, match=rf"config\.json: added_tokens_decoder\.{why}"):
        layout.read(bert, "m")


def test_a_list_that_lacks_a_token_is_refused_where_the_class_takes_no_other(bert: Path) -> None:
    tokens = json.loads((bert / "tokenizer.json").read_text())["added_tokens"]
    own = {"id": 90, "content": "x", "special": False, "normalized": False}
    before = listed(bert)
    changed(bert, "tokenizer.json", added_tokens=[*tokens, own])
    changed(bert, "tokenizer_config.json", added_tokens_decoder=before)
    with pytest.raises(ModelError, match='added_tokens_decoder: lacks "x", which is among'):
        layout.read(bert, "m")
    del before["4"]  # [MASK], which is named, and is as transformers makes what is named
    changed(bert, "tokenizer.json", added_tokens=tokens)
    changed(bert, "tokenizer_config.json", added_tokens_decoder=before)
    assert layout.read(bert, "m")


@pytest.mark.parametrize("tokens", [{"query": 287}, {"[MASK]": 3}, {"[MASK]": "4"}])
def test_an_older_list_of_added_tokens_is_compared_too(tokens: dict[str, Any], bert: Path) -> None:
    changed(bert, "added_tokens.json", **tokens)
    with pytest.raises(ModelError, match=r"added_tokens\.json: .*: is "):
        layout.read(bert, "m")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"mask_token": 5}, "mask_token: is 5, not a token"),
        ({"mask_token": {}}, r"mask_token\.content: is null, not a token"),
        ({"additional_special_tokens": "a"}, 'additional_special_tokens: is "a", not a list or an'),
        ({"extra_special_tokens": [5]}, "extra_special_tokens: is 5, not a token"),
    ],
)
def test_what_is_no_token_is_refused(changes: dict[str, Any], why: str, bert: Path) -> None:
    changed(bert, "tokenizer_config.json", **changes)
    with pytest.raises(ModelError, match=why):
        layout.read(bert, "m")


@pytest.mark.parametrize(
    ("file", "changes", "why"),
    [
        ("tokenizer_config.json", {"truncation_side": "left"}, 'truncation_side: is "left", and on'),
        ("tokenizer_config.json", {"split_special_tokens": True}, "split_special_tokens: is true"),
        ("tokenizer.json",
         {"truncation": {"direction": "Left", "max_length": 9, "stride": 0, "strategy": "OnlyFirst"}},
         r'truncation\.direction: is "Left", and only "Right" is understood'),
        ("sentence_bert_config.json", {"max_seq_length": 2},
         "max_seq_length: is 2, which leaves no room for a text beside 2 special tokens; .* 3 at le"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("family", WORDS)
def test_what_would_read_a_text_in_another_way_is_refused(
    family: str, file: str, changes: dict[str, Any], why: str, tmp_path: Path
) -> None:
    folder = write(TinyModel("m", family), tmp_path / "m")
    changed(folder, file, **changes)
    with pytest.raises(ModelError, match=rf"{file}: {why}"):
        layout.read(folder, "m")


def test_the_length_of_the_tokenizers_own_settings_is_named_too(bert: Path) -> None:
    changed(bert, "sentence_bert_config.json", max_seq_length="gone")
    changed(bert, "tokenizer_config.json", model_max_length=2)
    with pytest.raises(ModelError, match=r"tokenizer_config\.json: model_max_length: is 2, which"):
        layout.read(bert, "m")
    changed(bert, "tokenizer_config.json", model_max_length=3)
    assert layout.read(bert, "m").tokenization.max_length == 3


def test_words_that_fall_apart_by_chance_are_refused(roberta: Path) -> None:
    model = json.loads((roberta / "tokenizer.json").read_text())["model"]
    changed(roberta, "tokenizer.json", model=model | {"dropout": 0.0})
    assert layout.read(roberta, "m")
    changed(roberta, "tokenizer.json", model=model | {"dropout": 0.002})
    with pytest.raises(ModelError, match=r"tokenizer\.json: model\.dropout: is 0\.002, and only 0"):
        layout.read(roberta, "m")
