"""emblem check: what it looks at, and what its exit code says."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from emblem.cli import canaries, speed
from emblem.cli import check as module
from emblem.cli.canaries import Check
from emblem.cli.main import _attempt
from emblem.errors import InvalidResult
from emblem.model import Graph
from emblem.models import layout
from server import linked_home
from tiny_models import TinyModel, write

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def emblem(
    tmp_path: Path,
    model_home: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Run:
    home = linked_home(tmp_path / "home", model_home)

    async def at_once(*_: object) -> float:
        return 1234.5

    monkeypatch.setattr(speed, "pace", at_once)

    def run(*arguments: str) -> tuple[int, str]:
        code = _attempt([*arguments, "--home", str(home)])
        return code, capsys.readouterr().out

    return run


def test_a_good_model_passes_every_check(emblem: Run) -> None:
    code, said = emblem("check", "all-MiniLM-L6-v2", "--json")
    report = json.loads(said)
    assert (code, report["ok"], report["space"]) == (0, True, "all-MiniLM-L6-v2@53aa5117/384")
    found = {one["name"]: one["ok"] for one in report["checks"]}
    assert found == {
        "finite": True,
        "length": True,
        "twice": True,
        "alone": True,
        "sense": True,
        "sentence-transformers": None,
    }
    assert report["load_s"] > 0
    assert (report["short_tokens_per_s"], report["long_tokens_per_s"]) == (1234.5, 1234.5)


def test_a_model_with_prompts_is_checked_for_them(emblem: Run, tmp_path: Path) -> None:
    folder = write(TinyModel("asking", "bert"), tmp_path / "asking")
    said = {"prompts": {"query": "what is it about: "}}
    (folder / "config_sentence_transformers.json").write_text(json.dumps(said))
    _, shown = emblem("check", str(folder), "--json")
    found = {one["name"]: one for one in json.loads(shown)["checks"]}
    assert found["prompts"]["ok"] is True
    assert found["finite"]["ok"] is True


def test_a_failed_check_is_exit_code_1_and_stands_out(
    emblem: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(canaries, "sense", lambda _: Check("sense", False, "nonsense"))
    code, said = emblem("check", "wordllama-256")
    assert code == 1
    assert "WRONG  nonsense" in said
    assert said.splitlines()[-1].endswith("NOT as it must be")


def test_vectors_that_cannot_be_right_are_a_failed_check_too(
    emblem: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> list[Check]:
        raise InvalidResult("wordllama-256", "a value is not finite")

    monkeypatch.setattr(module, "_checks", broken)
    code, said = emblem("check", "wordllama-256", "--json")
    assert code == 1
    assert json.loads(said)["checks"] == [
        {"name": "finite", "ok": False, "said": "a value is not finite"}
    ]


def test_another_library_is_asked_for_a_text_that_is_too_long_too(
    emblem: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def nothing(_: Path, texts: list[str]) -> np.ndarray:
        asked.extend(texts)
        return np.zeros((len(texts), 384), np.float32) + np.float32(1)

    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    monkeypatch.setattr(module, "_theirs", nothing)
    code, said = emblem("check", "all-MiniLM-L6-v2", "--json")
    assert (code, max(len(text.split()) for text in asked) > 512) == (1, True)
    assert json.loads(said)["checks"][-1]["said"].startswith("the smallest cosine of 15 texts is")


def test_a_model_that_is_none_is_wrong_input(emblem: Run) -> None:
    assert emblem("check", "no-such-model") == (2, "")


def vectors(*rows: list[float]) -> np.ndarray:
    return np.array(rows, np.float32)


def test_values_that_are_none_zeros_and_a_wrong_width_are_found() -> None:
    assert canaries.finite(vectors([1, 0], [0, 1]), 2).ok
    assert not canaries.finite(vectors([1, np.nan]), 2).ok
    assert not canaries.finite(vectors([1, np.inf]), 2).ok
    assert not canaries.finite(vectors([1, 0], [0, 0]), 2).ok
    assert not canaries.finite(vectors([1, 0]), 3).ok


def test_lengths_are_judged_only_of_models_that_give_unit_vectors() -> None:
    assert canaries.norm(vectors([1, 0], [0.6, 0.8]), normalised=True).ok
    assert canaries.norm(vectors([1, 0], [0.6, 0.9]), normalised=True).ok is False
    assert canaries.norm(vectors([3, 4]), normalised=False).ok is None


def test_the_same_texts_must_give_the_same_numbers() -> None:
    one = vectors([1, 0])
    assert canaries.same("twice", one, one + np.float32(1e-6)).ok
    assert canaries.same("twice", one, one + np.float32(1e-4)).ok is False
    assert canaries.same("twice", one, vectors([1, 0], [1, 0])).ok is False


def test_a_paraphrase_must_be_nearer_than_something_else() -> None:
    assert canaries.sense(vectors([1, 0], [0.9, 0.1], [0, 1])).ok
    assert canaries.sense(vectors([1, 0], [0, 1], [0.9, 0.1])).ok is False


def test_a_prompt_that_changes_nothing_is_found() -> None:
    plain = vectors([1, 0])
    assert canaries.prompted(plain, [vectors([0, 1])]).ok
    assert canaries.prompted(plain, [vectors([0, 1]), plain]).ok is False


def test_another_librarys_vectors_must_point_the_same_way_unless_quantised() -> None:
    ours, theirs = vectors([1, 0], [0, 1]), vectors([2, 0], [0.1, 1])
    assert canaries.agreement(ours, ours, exact=True).ok
    assert canaries.agreement(ours, theirs, exact=True).ok is False
    assert canaries.agreement(ours, theirs, exact=False).ok is None
    assert canaries.agreement(ours, vectors([1, 0, 0]), exact=True).ok is False


@pytest.mark.parametrize("longest", [8, 37, 512, 8192])
def test_a_text_is_longer_than_what_is_read_and_ends_otherwise_than_it_begins(longest: int) -> None:
    (text,) = canaries.overlong(longest)
    words = text.split()
    assert not set(words[:longest]) & set(words[-longest:]) - {"the", "The", "a", "A", "room."}


def test_no_text_is_longer_than_one_model_reads_or_another_could_be_compared_by() -> None:
    assert canaries.overlong(None) == canaries.overlong(32_768) == ()


def test_the_folder_that_another_library_reads_is_found_from_the_weights(
    minilm_folder: Path, wordllama_folder: Path
) -> None:
    minilm = layout.read(minilm_folder, "minilm")
    assert module._layout(minilm) == minilm_folder
    assert module._layout(layout.read(wordllama_folder, "static")) is None
    graph = Graph(minilm_folder / "onnx" / "model.onnx", 384, 512)
    weights = (minilm_folder / "onnx" / "model.onnx",)
    assert module._layout(replace(minilm, encoder=graph, weights=weights)) == minilm_folder
