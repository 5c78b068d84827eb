"""Arrays of cl100k_base ids, read back into the text that they were made from."""

from base64 import b64decode
from pathlib import Path

import pytest

from emblem.core.cl100k import Cl100k
from emblem.errors import ModelError
from emblem.models.library import Library

# As "How to count tokens with tiktoken" in OpenAI's cookbook gives them.
KNOWN = {
    "hello world": (15339, 1917),
    "tiktoken is great!": (83, 1609, 5963, 374, 2294, 0),
    "お誕生日おめでとう": (33334, 45918, 243, 21990, 9080, 33334, 62004, 16556, 78699),
}


@pytest.fixture(scope="module")
def cl100k(model_home: Path) -> Cl100k:
    ranks = Library(model_home, offline=True).cl100k(fetch=False)
    assert ranks is not None
    return Cl100k(ranks.read_bytes())


@pytest.mark.parametrize("text", KNOWN)
def test_ids_are_read_as_the_text_they_were_made_from(cl100k: Cl100k, text: str) -> None:
    assert cl100k.decode(KNOWN[text]) == text


def test_the_bytes_are_joined_before_they_are_read_as_characters(cl100k: Cl100k) -> None:
    # 誕 is two tokens, and neither is a character.
    assert cl100k.decode((45918, 243)) == "誕"


def test_what_a_client_cut_inside_a_character_is_replaced(cl100k: Cl100k) -> None:
    assert cl100k.decode((33334, 45918)) == "お\ufffd"
    assert cl100k.decode((243, 21990)).startswith("\ufffd")


@pytest.mark.parametrize("wrong", [-1, 100_256, 100_257, 100_276, 2**70])
def test_an_id_that_is_no_ordinary_token_is_refused_by_name(cl100k: Cl100k, wrong: int) -> None:
    with pytest.raises(ValueError, match=f"has the id {wrong}, which is no ordinary"):
        cl100k.decode((15339, wrong, 1917))


def test_the_first_and_the_last_ordinary_token_are_read(cl100k: Cl100k) -> None:
    assert cl100k.decode((0,)) == "!"
    assert cl100k.decode((Cl100k.SIZE - 1,)) == " Conveyor"


def test_tokens_of_all_lengths_come_out_as_they_are_in_the_file(
    cl100k: Cl100k, model_home: Path
) -> None:
    ranks = Library(model_home, offline=True).cl100k(fetch=False)
    assert ranks is not None
    lines = [line.split() for line in ranks.read_bytes().splitlines()][::97]
    ids = [int(rank) for _, rank in lines]
    assert cl100k.decode(ids) == b"".join(map(b64decode, (one for one, _ in lines))).decode(
        "utf-8", "replace"
    )


def test_no_ids_are_no_text(cl100k: Cl100k) -> None:
    assert cl100k.decode(()) == ""


@pytest.mark.parametrize(
    ("ranks", "why"),
    [
        (b"IQ== 0\n", "are not those from 0 to 100255"),
        (b"", "are not those from 0 to 100255"),
        (b"IQ==\n", "not as tiktoken writes them"),
        (b"IQ== one\n", "not as tiktoken writes them"),
        (b"I Q== 0\n", "not as tiktoken writes them"),
        (b"*!*! 0\n", "not as tiktoken writes them"),
        (b"IQ== 100256\n", "are not those from 0 to 100255"),
        (b"IQ== 0\nIg== 0\n", "are not those from 0 to 100255"),
        (b"IQ== -1\n", "are not those from 0 to 100255"),
    ],
)
def test_a_rank_file_that_is_something_else_is_refused(ranks: bytes, why: str) -> None:
    with pytest.raises(ModelError, match=why):
        Cl100k(ranks)
