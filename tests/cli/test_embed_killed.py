"""``kill -9`` at moments by chance, then the same command again: the bytes of an undisturbed run."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cli.killed_embed import Killer

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL and SIGINT")

WORDS = [
    "old",
    "gold",
    "seven",
    "brave",
    "knights",
    "ride",
    "through",
    "dark",
    "forests",
    "while",
    "a",
    "lazy",
    "dog",
    "jumps",
    "over",
]


def texts(path: Path, rows: int, longest: int) -> None:
    """Write texts of any length up to so many words, always the same."""
    chance = random.Random(7)
    with path.open("w") as out:
        for row in range(rows):
            text = " ".join(chance.choices(WORDS, k=chance.randint(1, longest)))
            out.write(json.dumps({"id": row, "text": text}) + "\n")


def killer(folder: Path, home: Path, arguments: list[str], rows: int, seed: int) -> Killer:
    environ = {"EMBLEM_HOME": str(home), "EMBLEM_OFFLINE": "true"}
    return Killer(arguments, folder, environ, random.Random(seed), rows)


def prove(folder: Path, home: Path, model: str, rows: int, kills: int, most: int) -> None:
    """Kill a job that many times and compare with one that was not disturbed."""
    texts(folder / "in.jsonl", rows, 20)
    arguments = ["in.jsonl", "-m", model, "-o"]
    whole = killer(folder, home, [*arguments, "whole.jsonl"], rows, 0)
    whole.finish()
    job = killer(folder, home, [*arguments, "out.jsonl"], rows, 20)
    for _ in range(kills - 2):
        job.kill_once(most)
    for _ in range(2):
        job.kill_at_the_end()
    assert job.landed == kills, f"only {job.landed} of {kills} kills landed"
    assert job.inside >= kills // 2, f"only {job.inside} of {kills} kills came in the middle"
    print(
        f"{job.landed} kills landed, {job.inside} of them between the first chunk and the last move"
    )
    job.finish()
    assert (folder / "out.jsonl").read_bytes() == (folder / "whole.jsonl").read_bytes()
    assert not job.partial.exists()


def test_a_job_killed_four_times_gives_the_same_bytes(tmp_path: Path, model_home: Path) -> None:
    prove(tmp_path, model_home, "wordllama-256", rows=5000, kills=4, most=3)


@pytest.mark.slow
def test_a_job_of_20000_rows_killed_20_times_gives_the_same_bytes(
    tmp_path: Path, model_home: Path
) -> None:
    prove(tmp_path, model_home, "wordllama-256", rows=20_000, kills=20, most=2)


@pytest.mark.slow
def test_a_transformers_job_killed_4_times_gives_the_same_bytes(
    tmp_path: Path, model_home: Path
) -> None:
    prove(tmp_path, model_home, "all-MiniLM-L6-v2", rows=2100, kills=4, most=1)


def test_ctrl_c_says_how_to_go_on(tmp_path: Path, model_home: Path) -> None:
    texts(tmp_path / "in.jsonl", 20_000, 20)
    arguments = ["in.jsonl", "-m", "wordllama-256", "-o", "out.npy"]
    job = killer(tmp_path, model_home, arguments, 20_000, 1)
    with job.start() as process:
        while job.chunks() < 2:
            assert process.poll() is None, process.communicate()
            time.sleep(0.002)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate()
    assert process.returncode == 130
    assert said == (
        b"interrupted; what is done is in out.npy.partial; the same command goes on from there\n"
    )
    assert job.chunks() < 40
    resumed = job.finish()
    assert resumed.startswith(b"resuming: ")
    assert b" of 20,000 rows are done\n" in resumed


def test_a_job_that_is_at_work_is_not_run_twice(tmp_path: Path, model_home: Path) -> None:
    texts(tmp_path / "in.jsonl", 5000, 20)
    arguments = ["in.jsonl", "-m", "wordllama-256", "-o", "out.jsonl"]
    job = killer(tmp_path, model_home, arguments, 5000, 1)
    with job.start() as process:
        while not job.locked():
            time.sleep(0.002)
        os.kill(process.pid, signal.SIGSTOP)
        try:
            second = subprocess.run(
                [sys.executable, "-m", "emblem", "embed", *arguments],
                cwd=tmp_path,
                env=os.environ | job.environ,
                capture_output=True,
                timeout=120,
            )
        finally:
            os.kill(process.pid, signal.SIGCONT)
        process.communicate()
    assert second.returncode == 2
    assert second.stderr == b"emblem: another run is at work in out.jsonl.partial\n"
    assert process.returncode == 0
