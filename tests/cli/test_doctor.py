"""``emblem doctor``: what is wrong with a deployment, and with which."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from emblem.cli.main import run
from emblem.upstreams.misbehaving import Fault, Hashed, Manners, Running, always, in_turn, running
from emblem.upstreams.misbehaving.faults import FAULTS, Notice

Doctor = Callable[..., tuple[int, Any, str]]

STATIC = "wordllama-256"


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    manners = Manners(model="m", trickle_s=1.0, slow_s=0.01)
    with running(manners=manners, truth=Hashed(32)) as upstream:
        yield upstream


@pytest.fixture
def doctor(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> Doctor:
    for name in os.environ:
        if name.startswith(("EMBLEM_", "OPENAI_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("EMBLEM_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("EMBLEM_OFFLINE", "true")
    monkeypatch.chdir(tmp_path)

    def end(*arguments: str) -> tuple[int, Any, str]:
        with pytest.raises(SystemExit) as caught:
            run(["doctor", *arguments, "--json"])
        out, err = capfd.readouterr()
        return int(caught.value.code or 0), json.loads(out) if out else None, err

    return end


def checks(report: Any, deployment: int = 0) -> dict[str, bool | None]:
    return {one["name"]: one["ok"] for one in report["deployments"][deployment]["checks"]}


def test_a_server_that_is_well_passes_every_check(doctor: Doctor, server: Running) -> None:
    server.play(always(Fault.OK))
    code, report, err = doctor("--url", server.base_url, "--model", "m")
    assert (code, err) == (0, "")
    found = checks(report)
    assert False not in found.values()
    assert {"reach", "key", "model", "count", "order", "base64", "dimensions"} <= found.keys()


# What is wrong with one of the texts, or with all answers, and what says so.
TOLD = {
    Fault.SWAP: "order",
    Fault.REPEAT: "order",
    Fault.INDEX_ZERO: "count",
    Fault.FUSE: "count",
    Fault.BUSY: "answer",
    Fault.BUSY_HUGE: "answer",
    Fault.HANG: "reach",
    Fault.RESET: "reach",
    Fault.CLOSE: "reach",
    Fault.KEY_ECHO: "key",
    Fault.NOT_FOUND: "model",
}


# What is wrong only beside what was said before, is so each time alike, or is right all the same.
UNTOLD = (
    Fault.BAD_UTF8,
    Fault.CUT,
    Fault.NARROW,
    Fault.OTHER_SPACE,
    Fault.RENAMED,
    Fault.SCALED,
    Fault.TRICKLE,
    Fault.WIDE,
)


@pytest.mark.parametrize(
    "fault",
    [
        fault
        for fault, about in FAULTS.items()
        if about.notice is not Notice.HARMLESS and fault not in UNTOLD
    ],
)
def test_a_server_with_a_fault_fails_a_check(doctor: Doctor, server: Running, fault: Fault) -> None:
    server.play(always(fault))
    code, report, err = doctor("--url", server.base_url, "--model", "m", "--timeout", "0.3")
    assert (code, err) == (1, "")
    failed = [name for name, ok in checks(report).items() if ok is False]
    assert failed
    if fault in TOLD:
        assert TOLD[fault] in failed


def test_long_texts_that_are_cut_are_told_of_and_are_wrong_where_they_must_be_refused(
    doctor: Doctor, server: Running
) -> None:
    server.play(always(Fault.CUT))
    code, report, _ = doctor("--url", server.base_url, "--model", "m")
    assert code == 0
    assert checks(report)["long texts"] is None
    code, report, _ = doctor("--url", server.base_url, "--model", "m", "--preset", "openai")
    assert code == 1
    assert checks(report)["long texts"] is False


def test_a_key_is_taken_from_the_environment_and_shown_nowhere(
    doctor: Doctor, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(manners=Manners(key="sk-hidden-and-right")) as locked:
        options = ("--url", locked.base_url, "--model", "m")
        monkeypatch.setenv("OPENAI_API_KEY", "sk-hidden-and-wrong")
        code, report, err = doctor(*options)
        assert (code, checks(report)) == (1, {"reach": True, "key": False})
        assert "sk-hidden" not in json.dumps(report) + err
        monkeypatch.setenv("OPENAI_API_KEY", "sk-hidden-and-right")
        assert doctor(*options)[0] == 0


def config(tables: str) -> str:
    Path("emblem.toml").write_text(tables)
    return "emblem.toml"


TABLES = """
[upstreams.one]
preset = "openai-compatible"
base_url = "{one}"
[upstreams.two]
preset = "openai-compatible"
base_url = "{two}"
[models.passages]
width = {width}
max_length = 512
space = "mine"
deployments = [{{ upstream = "one", model = "m" }}, {{ upstream = "two", model = "m" }}]
"""


def test_every_deployment_is_looked_at_and_held_to_the_space_of_its_model(
    doctor: Doctor, server: Running, tmp_path: Path
) -> None:
    server.play(always(Fault.OK))
    with running(truth=Hashed(32)) as other:
        tables = TABLES.format(one=server.base_url, two=other.base_url, width=32)
        code, report, _ = doctor("--config", config(tables))
        assert code == 0
        assert [one["deployment"] for one in report["deployments"]] == ["one", "two"]
        assert checks(report, 0)["proof"] is checks(report, 1)["proof"] is True
        other.play(always(Fault.OTHER_SPACE))
        code, report, _ = doctor("passages", "--config", config(tables))
        assert code == 1
        # Nobody has proven anything before, so either may be what the other is held to.
        assert {checks(report, 0)["proof"], checks(report, 1)["proof"]} == {True, False}
        assert not (tmp_path / "home" / "spaces").exists()


def test_a_deployment_that_is_away_does_not_hide_the_others(
    doctor: Doctor, server: Running
) -> None:
    server.play(always(Fault.OK))
    tables = TABLES.format(one="http://127.0.0.1:9/v1", two=server.base_url, width=32)
    code, report, _ = doctor("--config", config(tables))
    assert code == 1
    assert checks(report, 0) == {"reach": False}
    assert False not in checks(report, 1).values()


def test_another_width_than_the_configured_one_is_wrong(doctor: Doctor, server: Running) -> None:
    server.play(always(Fault.OK))
    tables = TABLES.format(one=server.base_url, two=server.base_url, width=64)
    code, report, _ = doctor("--config", config(tables))
    assert code == 1
    assert checks(report)["width"] is False


def test_a_model_that_is_here_is_looked_at_too(
    doctor: Doctor, model_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EMBLEM_HOME", str(model_home))
    monkeypatch.setenv("EMBLEM_SERVE", STATIC)
    code, report, err = doctor()
    assert (code, err) == (0, "")
    assert report["deployments"][0]["deployment"] == "local"
    assert checks(report)["order"] is True


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--url", "http://127.0.0.1:9/v1"), "--url needs --model"),
        (("--url", "ftp://x", "--model", "m"), "must be like http://"),
        (("--url", "http://x/v1", "--model", "m", "--preset", "opnai"), "did you mean openai"),
        (("nothing",), "there is no model 'nothing'; there are"),
    ],
)
def test_what_cannot_be_looked_at_is_one_line(
    doctor: Doctor, arguments: tuple[str, ...], said: str
) -> None:
    code, report, err = doctor(*arguments)
    assert (code, report) == (2, None)
    assert said in err
    assert err.count("\n") == 1


def test_people_get_a_table(
    server: Running, doctor: Doctor, capfd: pytest.CaptureFixture[str]
) -> None:
    server.play(in_turn([]))
    with pytest.raises(SystemExit):
        run(["doctor", "--url", server.base_url, "--model", "m"])
    out = capfd.readouterr().out
    assert "check       is  what was seen" in out
    assert out.endswith("1 deployment, and nothing is wrong\n")
