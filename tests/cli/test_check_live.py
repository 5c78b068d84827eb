"""emblem check beside sentence-transformers itself; see ``make test-slow``."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from server import linked_home

pytestmark = pytest.mark.slow


def test_a_check_agrees_with_sentence_transformers_where_that_is_installed(
    tmp_path: Path, model_home: Path
) -> None:
    python = os.environ.get("EMBLEM_TORCH_PYTHON", "")
    if not python:
        pytest.skip("EMBLEM_TORCH_PYTHON names no Python with sentence-transformers")
    home = linked_home(tmp_path / "home", model_home)
    done = subprocess.run(
        [python, "-m", "emblem", "check", "all-MiniLM-L6-v2", "--json", "--home", str(home)],
        capture_output=True,
        encoding="utf-8",
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    compared = json.loads(done.stdout)["checks"][-1]
    assert (compared["name"], compared["ok"]) == ("sentence-transformers", True)
    said = re.fullmatch(r"the smallest cosine of (\d+) texts is ([\d.]+)", compared["said"])
    assert said is not None
    assert int(said[1]) > 10
    assert float(said[2]) > 0.99999
