"""Opening tokenizers that are whole, and in one line refusing those that are not."""

import json
import struct
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer

from emblem.core.tokenize import TextTokenizer
from emblem.errors import ModelError
from emblem.model import Tokenization
from emblem.models import document, tokenization, tokenizer
from tiny_models import TinyModel, write

A = {"Sequence": {"id": "A", "type_id": 0}}
CLS = {"SpecialToken": {"id": "[CLS]", "type_id": 0}}
# A trie that leads out of itself at the first letter, with all that the format asks for.
TORN = b64encode(struct.pack("<II", 4, 1 << 30)).decode()


def _file(tmp_path: Path, family: str = "bert", **changes: Any) -> Path:
    file = write(TinyModel("m", family), tmp_path / "m") / "tokenizer.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))
    return file


def _load(file: Path, **options: Any) -> Tokenizer:
    return tokenizer.load(Tokenization(file, max_length=None, **options))


def _template(*single: dict[str, Any]) -> dict[str, Any]:
    tokens = {"[CLS]": {"id": "[CLS]", "ids": [2], "tokens": ["[CLS]"]}}
    return {"type": "TemplateProcessing", "single": single, "pair": [], "special_tokens": tokens}


def _precompiled(table: object) -> dict[str, Any]:
    return {"type": "Precompiled", "precompiled_charsmap": table}


@pytest.mark.parametrize("family", ["bert", "roberta", "xlm-roberta"])
def test_a_tokenizer_that_is_whole_is_opened_without_padding_and_truncation(
    family: str, tmp_path: Path
) -> None:
    file = _file(tmp_path, family, truncation={"direction": "Right", "max_length": 3,
                                               "strategy": "LongestFirst", "stride": 0})  # fmt: skip
    opened = _load(file)
    assert len(TextTokenizer(opened, max_length=None).read(["a b c d e f"])[0].ids) >= 6


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"post_processor": _template(CLS, A, A)}, "does not put the same tokens around every"),
        ({"post_processor": _template(A, CLS, A)}, "does not put the same tokens around every"),
        ({"post_processor": _template(CLS)}, "post_processor changes a text's own tokens"),
        ({"normalizer": {"type": "Replace", "pattern": {"Regex": "("}, "content": ""}}, "Onig"),
        ({"normalizer": _precompiled(TORN)}, "index out of bounds"),
        ({"normalizer": {"type": "New"}}, "did not match any variant"),
        ({"model": {"type": "WordPiece", "vocab": {}, "unk_token": "[UNK]",
                    "continuing_subword_prefix": "##", "max_input_chars_per_word": 9}}, "UNK"),
        ({"model": {"type": "BPE", "vocab": {}, "merges": []}}, "gives no token for the text a"),
    ],
)  # fmt: skip
def test_a_tokenizer_that_cannot_be_used_is_one_line_that_names_its_file(
    changes: dict[str, Any], why: str, tmp_path: Path
) -> None:
    file = _file(tmp_path, **changes)
    with pytest.raises(ModelError, match=why) as caught:
        _load(file)
    assert str(caught.value).startswith(f"{file}: ")
    assert "\n" not in str(caught.value)


def test_a_table_that_uses_no_special_tokens_needs_no_template(tmp_path: Path) -> None:
    file = _file(tmp_path, post_processor=_template(CLS, A, A))
    assert _load(file, special_tokens=False).encode("a", add_special_tokens=False).ids


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_whoever_wants_to_stop_is_let_go(
    error: type[BaseException], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(tokenizer: Tokenizer) -> None:
        raise error

    monkeypatch.setattr(tokenizer, "added_tokens", stop)
    with pytest.raises(error):
        _load(_file(tmp_path))


@pytest.mark.parametrize(
    "table",
    [
        None,
        1,
        "",
        "?",
        "é",
        "AAAA",
        "AAAAAA==",
        "/////w==",
        b64encode(b"\4\0\0\0abcd\xff").decode(),
    ],
)
@pytest.mark.parametrize("nested", [False, True])
def test_a_table_of_characters_that_is_none_is_refused_before_the_library_panics(
    nested: bool, table: object, tmp_path: Path
) -> None:
    step = _precompiled(table)
    if nested:
        step = {"type": "Sequence", "normalizers": [{"type": "Sequence", "normalizers": [step]}]}
    file = _file(tmp_path, "xlm-roberta", normalizer=step)
    rows = len(document.read(file).need("model", dict)["vocab"])
    with pytest.raises(ModelError, match=r"tokenizer\.json: normalizer: precompiled_charsmap is"):
        tokenization.file(file.parent, rows)
