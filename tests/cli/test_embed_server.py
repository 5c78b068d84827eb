"""``emblem embed --base-url`` with servers that do not keep to what they said."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from emblem.cli import main
from upstreams.scripted import Answer, Script, Scripted, items, refused, reply, right

ROWS = 1100  # three chunks
LATE = "text 700"  # is in the second one
SPACE = "mine@0123abcd/4"

Embed = Callable[[], tuple[int, list[str]]]


@pytest.fixture
def scripted() -> Iterator[Scripted]:
    with Scripted().serving() as serving:
        yield serving


@pytest.fixture
def embed(
    scripted: Scripted,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> Embed:
    """Run the job and give its exit code and what it said on stderr."""
    monkeypatch.chdir(tmp_path)
    for name in os.environ:
        if name.startswith(("EMBLEM_", "OPENAI_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("EMBLEM_HOME", str(tmp_path / "home"))
    Path("in.txt").write_text("".join(f"text {n}\n" for n in range(ROWS)))

    def run() -> tuple[int, list[str]]:
        with pytest.raises(SystemExit) as ended:
            main.run(["embed", "in.txt", "-o", "out.jsonl", "-m", "m", "--base-url", base_url])
        return int(ended.value.code or 0), capfd.readouterr().err.splitlines()

    base_url = scripted.base_url
    return run


def named(space: str | None) -> Script:
    """Answer as one should, as another Emblem where a space is given."""
    headers = {} if space is None else {"x_embedding_space": space}
    return lambda body: reply(items(body), **headers)


def of_model(name: str) -> Script:
    return lambda body: Answer(200, {"data": items(body), "model": name})


def cut(body: dict[str, Any]) -> Answer:
    found = items(body)
    return reply([*found[:-1], {**found[-1], "embedding": [1.0, 0.0]}])


@pytest.mark.parametrize(
    ("before", "later", "said"),
    [
        (named(SPACE), named(None), "vectors without the name of their space"),
        (named(SPACE), named("mine@ffff0000/4"), "vectors of the space mine@ffff0000/4; those of"),
        (of_model("one"), of_model("other"), "vectors of the model 'other', and before of 'one'"),
        (right, lambda body: reply(items(body)[1:]), "index 0 is missing"),
        (right, cut, "2 numbers in vector"),
    ],
    ids=["a space that disappears", "another space", "another model", "a vector less", "narrower"],
)
def test_a_server_that_changes_in_the_middle_ends_the_job_at_once(
    scripted: Scripted, embed: Embed, before: Script, later: Script, said: str
) -> None:
    scripted.script = lambda body: (later if LATE in body["input"] else before)(body)
    code, lines = embed()
    assert code == 2
    assert said in lines[-1]
    assert lines[-1].startswith("emblem: 127.0.0.1:")
    assert not Path("out.jsonl").exists()
    assert sum(LATE in body["input"] for body in scripted.bodies) == 1

    scripted.script = before
    code, lines = embed()
    assert code == 0
    assert len(Path("out.jsonl").read_text().splitlines()) == ROWS


def test_a_job_is_not_gone_on_with_by_another_model_of_the_server(
    scripted: Scripted, embed: Embed
) -> None:
    scripted.script = lambda body: (
        reply(items(body)[1:]) if LATE in body["input"] else of_model("one")(body)
    )
    assert embed()[0] == 2
    scripted.script = of_model("other")
    code, lines = embed()
    assert code == 2
    assert "(one)" in lines[-1]
    assert "(other)" in lines[-1]
    assert "--restart" in lines[-1]


def test_one_text_that_a_server_gives_no_numbers_for_fails_alone(
    scripted: Scripted, embed: Embed
) -> None:
    def script(body: dict[str, Any]) -> Answer:
        found = items(body)
        if LATE in body["input"]:
            found[body["input"].index(LATE)]["embedding"] = [None] * 4
        return reply(found)

    scripted.script = script
    code, _ = embed()
    assert code == 3
    assert len(Path("out.jsonl").read_text().splitlines()) == ROWS - 1
    assert "not finite" in Path("out.jsonl.errors.jsonl").read_text()


def test_what_is_tried_again_is_said(scripted: Scripted, tmp_path: Path) -> None:
    busy = iter([refused(503, "loading", {"retry-after-ms": "1"}), Answer(200, None)])
    met = iter([True, True])  # to be met, a server is asked twice
    scripted.script = lambda body: right(body) if next(met, False) else next(busy, right(body))
    command = [sys.executable, "-m", "emblem", "embed", "a", "-m", "m", "--base-url"]
    done = subprocess.run(
        [*command, scripted.base_url],
        env={"EMBLEM_HOME": str(tmp_path), "HOME": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    first, second = done.stderr.splitlines()
    assert first.endswith("answers 503: loading; trying again (2)")
    assert "connection lost: it was closed" in second
    assert second.endswith("; trying again (3)")
    assert len(done.stdout.splitlines()) == 1
