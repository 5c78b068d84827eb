"""emblem recommend: which models fit, and where their speeds come from."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from emblem.cli import recommend, speed
from emblem.cli.main import _attempt
from emblem.config import Settings
from emblem.errors import InvalidRequest
from emblem.types import EmbedRequest, EmbedResult

Run = Callable[..., str]


@pytest.fixture
def home(tmp_path: Path, model_home: Path) -> Path:
    """A home with the static model alone, and speeds of its own."""
    (tmp_path / "models").mkdir()
    static = model_home / "models" / "wordllama-256"
    (tmp_path / "models" / static.name).symlink_to(static, target_is_directory=True)
    return tmp_path


@pytest.fixture
def emblem(home: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*arguments: str) -> str:
        assert _attempt([*arguments, "--home", str(home)]) == 0
        return capsys.readouterr().out

    return run


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is measured: the machine is as fast as it is said to be."""
    monkeypatch.setattr(
        speed, "measured", lambda name, active, _: ("", speed.Speed(name, 50_000.0, active, 1))
    )
    monkeypatch.setattr(
        speed, "random_encoder", lambda _: speed.Speed(speed.RANDOM, 2000.0, 10_000_000, 1)
    )


def test_what_is_here_is_measured_once_and_others_are_estimated_and_say_so(
    emblem: Run, home: Path
) -> None:
    found = json.loads(emblem("recommend", "--json", "--tokens", "1M"))
    by_name = {one["name"]: one for one in found["models"]}
    static, base = by_name["wordllama-256"], by_name["bge-base-en-v1.5"]
    assert (static["speed"], static["installed"], static["estimated_from"]) == (
        "measured",
        True,
        None,
    )
    assert static["tokens_per_s"] > base["tokens_per_s"] > 0
    assert (base["speed"], base["estimated_from"]) == ("estimated", speed.RANDOM)
    assert by_name["potion-retrieval-32M"]["estimated_from"] == "wordllama-256"
    assert base["seconds"] == pytest.approx(1e6 / base["tokens_per_s"], rel=0.01)
    assert found["machine"]["threads"] >= 1
    kept = json.loads((home / speed.KEPT_IN).read_text())["speeds"]
    assert sorted(one["model"] for one in kept.values()) == [speed.RANDOM, "wordllama-256"]


def test_a_speed_is_kept_for_the_next_time_and_measured_again_when_asked(
    emblem: Run, home: Path, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = emblem("recommend", "--json")
    monkeypatch.setattr(
        speed, "measured", lambda name, active, _: ("", speed.Speed(name, 9.0, active, 2))
    )
    assert emblem("recommend", "--json") == first
    again = json.loads(emblem("recommend", "--json", "--again"))
    assert [one["tokens_per_s"] for one in again["models"] if one["installed"]] == [9.0]


def test_speeds_of_another_machine_are_not_believed(home: Path) -> None:
    settings = Settings(home=str(home))
    mine = speed.Kept(speed.machine(settings), {"space": speed.Speed("m", 1.0, 0, 1)})
    speed.keep(settings, mine)
    assert speed.kept(settings) == mine
    assert speed.kept(Settings(home=str(home), streams=2)).speeds == {}
    (home / speed.KEPT_IN).write_text("{")
    assert speed.kept(settings).speeds == {}


def test_a_home_that_cannot_be_written_keeps_nothing_and_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    settings = Settings(home=str(tmp_path / "file"))
    speed.keep(settings, speed.Kept(speed.machine(settings)))
    assert speed.kept(settings).speeds == {}


def test_the_table_says_what_was_measured_and_what_was_estimated(emblem: Run, quick: None) -> None:
    shown = emblem("recommend", "--language", "de", "--tokens", "20M")
    lines = shown.splitlines()
    assert "20,000,000 tokens" in lines[0]
    assert lines[1].split()[0] == "bge-m3"
    assert "multilingual-e5-small" in shown
    assert "bge-small-en-v1.5" not in shown
    assert "more than 100" in lines[1]
    assert "estimated, with torch" in shown
    assert "Scores of different benchmarks cannot be compared" in shown
    assert f"estimated: from what was measured of {speed.RANDOM}, by operations" in shown


def test_the_best_of_each_benchmark_comes_first_and_what_has_no_score_last() -> None:
    rows = recommend.fitting("en")
    assert rows[-1].name == "wordllama-256"
    english = [row.score.value for row in rows if row.score and "English" in row.score.benchmark]
    assert english == sorted(english, reverse=True)
    assert [row.name for row in recommend.fitting(None)] == [row.name for row in rows]
    assert [row.name for row in recommend.fitting("DE-at")] == [
        row.name for row in recommend.fitting("de")
    ]
    assert all("de" in row.languages for row in recommend.fitting("de"))


def test_models_that_claim_more_than_they_list_are_not_left_out_in_silence() -> None:
    polish = recommend.fitting("pl")
    assert recommend.left_out(polish) == ("bge-m3", "embeddinggemma-300m")
    assert recommend.left_out(recommend.fitting(None)) == ()


def test_a_language_that_no_model_lists_is_said_with_those_that_are() -> None:
    with pytest.raises(InvalidRequest, match=r"lists the language 'xx'; those listed are af am ar"):
        recommend.fitting("xx")


@pytest.mark.parametrize(
    ("text", "meant"),
    [("7", 7), ("250_000", 250_000), ("1,000,000", 10**6), ("20M", 20_000_000), ("1.5b", 1.5e9)],
)
def test_numbers_of_tokens_are_read_as_people_write_them(text: str, meant: float) -> None:
    assert recommend.count(text) == meant


@pytest.mark.parametrize("text", ["", "abc", "-5", "1e9", "5T", "1__0"])
def test_what_is_no_number_of_tokens_is_said(text: str) -> None:
    with pytest.raises(InvalidRequest, match=r"--tokens is .*; it must be a number such as 250000"):
        recommend.count(text)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (None, ""),
        (3.2, "3 s"),
        (119, "119 s"),
        (600, "10.0 min"),
        (9000, "2.5 h"),
        (3e5, "3.5 days"),
    ],
)
def test_a_duration_is_written_as_people_say_it(seconds: float | None, said: str) -> None:
    assert recommend.duration(seconds) == said


def test_an_estimate_scales_by_operations_from_the_model_nearest_in_size() -> None:
    small, large = speed.Speed("s", 1000.0, 10, 0), speed.Speed("l", 40.0, 300, 0)
    table = speed.Speed("t", 90_000.0, 0, 0)
    assert speed.estimated(20, [small, large, table]) == (500.0, small)
    assert speed.estimated(600, [small, large, table]) == (20.0, large)
    assert speed.estimated(0, [small, table]) == (90_000.0, table)
    assert speed.estimated(0, [small]) is None
    assert speed.estimated(20, [table]) is None


class FakeEmbedder:
    """Every text costs ten tokens, and every request a quarter of a second."""

    def __init__(self) -> None:
        self.now = 0.0

    async def embed(self, request: EmbedRequest) -> EmbedResult:
        self.now += 0.25
        count = len(request.inputs)
        vectors, tokens = np.ones((count, 1), np.float32), np.full(count, 10, np.int32)
        return EmbedResult(vectors, tokens, (), "fake")


def test_a_pace_leaves_the_first_time_out() -> None:
    fake = FakeEmbedder()
    found = asyncio.run(speed.pace(fake, ["a", "b"], 1.0, lambda: fake.now))
    assert found == 4 * 20 / 1.0
    assert fake.now == 1.25
