"""Whose prompts a catalogue model gets: the user's, its folder's, or the catalogue's."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from emblem.errors import ModelError
from emblem.models.recommended import prompts
from emblem.offer import Prompts
from models.small_source import row

ROW = replace(row(), prompts=Prompts("query: ", "passage: "))


def says(folder: Path, named: object) -> Path:
    config = folder / "config_sentence_transformers.json"
    config.write_text(json.dumps({"prompts": named}))
    return folder


def test_the_row_speaks_where_the_folder_says_nothing(tmp_path: Path) -> None:
    assert prompts(tmp_path, ROW, Prompts()) == Prompts("query: ", "passage: ")
    for nothing in ({}, None, {"query": "", "document": ""}):
        assert prompts(says(tmp_path, nothing), ROW, Prompts()).query == "query: "


def test_a_folder_that_names_any_prompt_speaks_for_itself(tmp_path: Path) -> None:
    assert prompts(says(tmp_path, {"query": "ask: "}), ROW, Prompts()) == Prompts()
    assert prompts(says(tmp_path, {"clustering": "group: "}), ROW, Prompts()) == Prompts()


def test_what_somebody_set_comes_first_prompt_by_prompt(tmp_path: Path) -> None:
    assert prompts(tmp_path, ROW, Prompts(query="mine: ")) == Prompts("mine: ", "passage: ")
    assert prompts(tmp_path, ROW, Prompts("", "")) == Prompts("", "")


def test_without_a_row_or_without_its_prompts_nothing_is_added(tmp_path: Path) -> None:
    assert prompts(tmp_path, None, Prompts(document="d: ")) == Prompts(document="d: ")
    assert prompts(tmp_path, row(), Prompts()) == Prompts()


def test_prompts_that_are_no_object_are_an_error_that_names_the_field(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"config_sentence_transformers\.json: prompts: is"):
        prompts(says(tmp_path, ["query: "]), ROW, Prompts())
