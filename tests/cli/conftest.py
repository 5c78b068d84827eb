"""The command line as users have it: a process, an empty home and nothing in the environment."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Emblem = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def emblem(tmp_path: Path) -> Emblem:
    def run(*arguments: str, **environ: str) -> "subprocess.CompletedProcess[str]":
        inherited = {"PATH": os.environ["PATH"], "SYSTEMROOT": os.environ.get("SYSTEMROOT", "")}
        return subprocess.run(
            [sys.executable, "-m", "emblem", *arguments],
            cwd=tmp_path,
            env={**inherited, "HOME": str(tmp_path), "EMBLEM_HOME": str(tmp_path / "h"), **environ},
            capture_output=True,
            encoding="utf-8",
            timeout=60,
        )

    return run
