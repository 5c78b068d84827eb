"""OpenAI's tokenizer, made of tiktoken's ranks, reads texts as tiktoken does."""

from pathlib import Path

import pytest
from tokenizers import Tokenizer

from emblem.errors import ModelError
from emblem.models import cl100k_tokenizer

# What tiktoken 0.14 gives: Encoding.encode_ordinary of cl100k_base.
GOLDEN = {
    "Hello world": [9906, 1917],
    "  many   spaces\n\n\nand lines": [220, 1690, 256, 12908, 1432, 438, 5238],
    "na\xefve caf\xe9 \u6771\u4eac\u30bf\u30ef\u30fc \U0001f642\U0001f469\u200d\U0001f469\u200d\U0001f467": [
        3458,
        38672,
        588,
        53050,
        61696,
        109,
        47653,
        47307,
        2845,
        107,
        11972,
        28584,
        9468,
        239,
        102,
        378,
        235,
        9468,
        239,
        102,
        378,
        235,
        9468,
        239,
        100,
    ],
    "it's we'll DON'T": [275, 596, 584, 3358, 45373, 17773],
    "1234567890 3.14159": [4513, 10961, 16474, 15, 220, 18, 13, 9335, 2946],
    "<|endoftext|> is text": [27, 91, 8862, 728, 428, 91, 29, 374, 1495],
    "def f(x):\n\treturn x**2  # ok\r\n": [
        755,
        282,
        2120,
        997,
        862,
        865,
        334,
        17,
        220,
        674,
        5509,
        319,
    ],
    "\u0627\u0644\u0639\u0631\u0628\u064a\u0629 \u0644\u063a\u0629 \u062c\u0645\u064a\u0644\u0629": [
        32482,
        24102,
        11318,
        22071,
        74541,
        57894,
        82878,
        26957,
        83268,
        10386,
        96298,
        26957,
    ],
    "\x00\x01 odd": [188, 189, 10535],
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa": [
        70540,
        70540,
        70540,
        70540,
        70540,
        70540,
        5418,
    ],
    "\ufdfa \ufb01 \ufb00": [171, 115, 118, 33595, 71831, 33595, 105, 222],
    "\xdcn\xefc\xf6d\xe9 \xdcn\xefc\xf6d\xe9 \xdcn\xefc\xf6d\xe9 \xdcn\xefc\xf6d\xe9 \xdcn\xefc\xf6d\xe9 ": [
        53591,
        77,
        38672,
        66,
        3029,
        67,
        978,
        31612,
        77,
        38672,
        66,
        3029,
        67,
        978,
        31612,
        77,
        38672,
        66,
        3029,
        67,
        978,
        31612,
        77,
        38672,
        66,
        3029,
        67,
        978,
        31612,
        77,
        38672,
        66,
        3029,
        67,
        978,
        220,
    ],
}


@pytest.fixture(scope="module")
def made(model_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    ranks = model_home / "files" / "cl100k_base" / "cl100k_base.tiktoken"
    return cl100k_tokenizer.file(ranks, tmp_path_factory.mktemp("made"))


@pytest.fixture(scope="module")
def tokenizer(made: Path) -> Tokenizer:
    return Tokenizer.from_file(str(made))


@pytest.mark.parametrize("text", GOLDEN)
def test_every_text_has_the_ids_that_tiktoken_gives_it(tokenizer: Tokenizer, text: str) -> None:
    read = tokenizer.encode(text, add_special_tokens=False)
    assert read.ids == GOLDEN[text]
    assert tokenizer.decode(read.ids) == text


def test_it_is_made_once(made: Path) -> None:
    before = made.stat().st_mtime_ns
    ranks = made.with_name("cl100k_base.tiktoken")  # which is not there, and not read
    assert cl100k_tokenizer.file(ranks, made.parent) == made
    assert made.stat().st_mtime_ns == before


def test_ranks_that_are_none_are_named(tmp_path: Path) -> None:
    ranks = tmp_path / "cl100k_base.tiktoken"
    ranks.write_text("not ranks")
    with pytest.raises(ModelError, match=r"cl100k_base\.tiktoken: is not as tiktoken writes ranks"):
        cl100k_tokenizer.file(ranks, tmp_path / "made")
