"""``emblem doctor`` for chat and rankings: what is wrong with a deployment, and with which."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from chat_upstream import ChatUpstream, Wanted, chat_upstream
from emblem.cli.main import run

KEY = "sk-planted-0123456789-abcdefghij"
CONFIG = """
[upstreams.well]
preset = "openai-compatible"
base_url = "{well}"
key_env = ["THEIR_KEY"]

[upstreams.ill]
preset = "openai-compatible"
base_url = "{ill}"
key_env = ["THEIR_KEY"]

[chat.talker]
deployments = [{{ upstream = "well" }}, {{ upstream = "ill", model = "theirs" }}]

[rerank.ranker]
upstream = "ill"
"""

Doctor = Callable[..., tuple[int, Any, str]]


@pytest.fixture(scope="module")
def well() -> Iterator[ChatUpstream]:
    with chat_upstream() as server:
        yield server


@pytest.fixture
def ill() -> Iterator[ChatUpstream]:
    with chat_upstream() as server:
        yield server


@pytest.fixture
def doctor(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    well: ChatUpstream,
    ill: ChatUpstream,
) -> Doctor:
    for name in os.environ:
        if name.startswith(("EMBLEM_", "OPENAI_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("EMBLEM_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("THEIR_KEY", KEY)
    monkeypatch.chdir(tmp_path)
    config = CONFIG.format(well=well.base_url, ill=ill.base_url)
    (tmp_path / "emblem.toml").write_text(config)

    def end(*arguments: str) -> tuple[int, Any, str]:
        with pytest.raises(SystemExit) as caught:
            run(["doctor", *arguments, "--json", "--timeout", "2"])
        out, err = capfd.readouterr()
        assert KEY not in out + err
        return int(caught.value.code or 0), json.loads(out) if out else None, err

    return end


def checks(report: Any, deployment: int) -> dict[str, bool | None]:
    return {one["name"]: one["ok"] for one in report["deployments"][deployment]["checks"]}


def test_deployments_that_are_well_pass_every_check(doctor: Doctor, ill: ChatUpstream) -> None:
    answer = [(1, 0.9), (0, 0.1), (2, 0.05)]
    code, report, _ = doctor("talker")
    assert code == 0
    assert [one["deployment"] for one in report["deployments"]] == ["well", "ill"]
    for place in (0, 1):
        assert checks(report, place) == {
            "reach": True,
            "model": True,
            "answer": True,
            "usage": True,
            "latency": None,
            "stream": True,
            "stream usage": True,
        }
    results = [{"index": index, "relevance_score": score} for index, score in answer]
    ill.wanted = Wanted(body={"results": results})
    code, report, _ = doctor("ranker")
    assert code == 0
    assert checks(report, 0) == {
        "reach": True,
        "model": True,
        "ranking": True,
        "sense": True,
        "usage": None,
        "latency": None,
    }
    results[0]["relevance_score"] = 0.0
    code, report, _ = doctor("ranker")
    assert code == 1
    assert checks(report, 0)["sense"] is False


@pytest.mark.parametrize(
    ("wanted", "check"),
    [
        (Wanted(401, {"error": {"message": f"bad {KEY}"}}), "key"),
        (Wanted(404, {"error": {"message": "no"}}), "model"),
        (Wanted(500, b"<html>"), "answer"),
        (Wanted(400, {"error": {"message": "max_completion_tokens?"}}), "answer"),
        (Wanted(200, b"<html>"), "answer"),
        (Wanted(200, {"results": []}), "answer"),
        (Wanted(silent=True), "reach"),
        (Wanted(break_after=1), "stream"),
    ],
)
def test_one_that_is_ill_is_named_with_what_is_wrong(
    doctor: Doctor, ill: ChatUpstream, wanted: Wanted, check: str
) -> None:
    ill.wanted = wanted
    code, report, _ = doctor("talker")
    assert code == 1
    assert [one["ok"] for one in report["deployments"]] == [True, False]
    wrong = [name for name, ok in checks(report, 1).items() if ok is False]
    assert wrong[0] == check


def test_a_name_that_there_is_not_is_said(doctor: Doctor) -> None:
    code, _, err = doctor("talkr")
    assert code == 2
    assert "there is no model 'talkr'" in err
    assert "talker, ranker" in err
