"""Every example of the documentation, run for real against a real server."""

import json
import os
import shutil
import sys
from pathlib import Path

import pytest

from docs import examples
from docs.examples import Environment, ServerFor, Surroundings
from docs.likeness import difference
from docs.pages import (
    ALL,
    LAYERS,
    NOT_RUN,
    PRINTED,
    RUN,
    SERVE_WITH_THIS,
    SLOW,
    TRANSCRIPT,
    Block,
    answers,
)
from emblem.cli.banner import banner
from emblem.config import load
from emblem.serving import plan
from server import linked_home
from system import ROOT

# What cannot run here, by the reason that the page gives: nothing else may carry the mark.
CANNOT_RUN = {
    "docker": 5,
    "kubectl": 1,  # tests/deploy
    "needs a key": 1,  # tests/serve/test_tls.py
    "needs a server of one's own": 1,  # tests/serve/test_processes.py
    "needs a PostgreSQL": 1,  # tests/ledger
    "needs the database of a LiteLLM proxy": 1,  # tests/ledger/test_litellm.py
    "needs the hub": 1,
    "needs sentence-transformers": 1,
    # The same commands run elsewhere: tests/cli/test_quantize.py and tests/benchmarks.
    "it makes a model in the home folder": 1,
    "it serves until it is stopped": 1,
    "needs a file of results": 1,
    "takes eighteen minutes, and the machine for itself": 1,
    "a line of a log": 2,  # tests/observe/test_log_lines.py
    "needs a collector": 1,  # tests/observe/test_server.py
    "needs an upstream for chat": 1,  # tests/api/test_chat.py
    "needs an upstream for rankings": 1,  # tests/api/test_rerank.py
    "takes a quarter of an hour, and the machine for itself": 1,  # tests/benchmarks
}

RUNNING = [block for block in ALL if block.runs and not examples.serves(block)]
SERVING = [block for block in ALL if block.runs and examples.serves(block)]
SLOWLY = [block for block in ALL if block.mark == SLOW]
SETTINGS = [block for block in ALL if block.language == "toml"]


def test_every_block_is_of_a_kind_that_is_tested() -> None:
    marks = {"", SERVE_WITH_THIS, SLOW, TRANSCRIPT, LAYERS}
    for block in ALL:
        assert block.language in (*RUN, *PRINTED, "toml"), f"{block} is {block.language!r}"
        assert block.mark in marks or block.mark.startswith(NOT_RUN), f"{block}: {block.mark}"
    shown = [block for block in ALL if block.language in PRINTED and not block.mark]
    printed = [answer for block in RUNNING for answer in answers(block)]
    assert [str(block) for block in shown] == [str(block) for block in printed]


def test_what_is_not_run_is_what_cannot_run_here() -> None:
    reasons = [block.mark.removeprefix(NOT_RUN) for block in ALL if block.mark.startswith(NOT_RUN)]
    assert {reason: reasons.count(reason) for reason in set(reasons)} == CANNOT_RUN


@pytest.mark.parametrize("block", RUNNING, ids=str)
def test_an_example_runs_and_prints_what_the_page_says(
    block: Block, folder: Path, server_for: ServerFor, surroundings: Surroundings
) -> None:
    printed = examples.run(block, folder, surroundings(server_for(block.config)))
    for answer in answers(block):
        if answer.language == "json":
            assert difference(json.loads(answer.content), json.loads(printed)) == ""
        else:
            assert printed == answer.content


@pytest.mark.parametrize("block", SERVING, ids=str)
def test_an_example_that_serves_is_ready_and_stops_at_ctrl_c(
    block: Block, folder: Path, base_environment: Environment, model_home: Path
) -> None:
    home = linked_home(folder / "home", model_home)
    said = examples.serve(block, folder, base_environment | {"EMBLEM_HOME": str(home)})
    assert "Ready in" in said


@pytest.mark.slow
@pytest.mark.parametrize("block", SLOWLY, ids=str)
def test_the_first_commands_serve_from_a_fresh_clone(
    block: Block, folder: Path, base_environment: Environment, model_home: Path
) -> None:
    """REPOSITORY is this checkout's last commit; packages come from the index."""
    (folder / "REPOSITORY").symlink_to(ROOT, target_is_directory=True)
    (folder / "empty").mkdir()
    home = linked_home(folder / "home", model_home)
    environment = base_environment | {
        "PATH": _without_the_environment(base_environment["PATH"]),
        "HOME": str(folder / "empty"),
        "EMBLEM_HOME": str(home),
    }
    assert "Ready in" in examples.serve(block, folder, environment, time_s=600)
    shutil.rmtree(folder / "emblem")


def _without_the_environment(path: str) -> str:
    own = str(Path(sys.executable).parent)
    return os.pathsep.join(part for part in path.split(os.pathsep) if part != own)


@pytest.mark.parametrize("block", SETTINGS, ids=str)
def test_an_emblem_toml_of_the_pages_is_one(block: Block, tmp_path: Path) -> None:
    file = tmp_path / "emblem.toml"
    file.write_text(block.content, "utf-8")
    loaded = load(flags={}, environ={"HOME": str(tmp_path)}, config_file=file)
    assert loaded.file == file


def test_the_transcript_is_what_a_first_start_says(
    tmp_path: Path, model_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (transcript,) = (block for block in ALL if block.mark == TRANSCRIPT)
    home = tmp_path / "home"
    (home / "models").mkdir(parents=True)
    (home / "models" / "all-MiniLM-L6-v2").symlink_to(model_home / "models" / "all-MiniLM-L6-v2")
    (home / "files").symlink_to(model_home / "files")
    loaded = load(flags={"home": str(home)}, environ={"HOME": str(home)}, directory=tmp_path)
    # As make starts it: by a path that no PATH has.
    monkeypatch.setattr(sys, "argv", [".venv/bin/emblem"])
    monkeypatch.setenv("PATH", "")
    said = banner(plan(loaded.settings), loaded, [], "sk-JJ3l…PTjM")
    said = said.replace(f" --home {home}", "")
    assert said.strip() in transcript.content
    assert transcript.content.rstrip().endswith("s. Stop with Ctrl-C.")
