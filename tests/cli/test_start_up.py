"""What a quick question costs."""

import subprocess
import sys

import pytest

SLOW = {"numpy", "openvino", "granian", "huggingface_hub", "sqlalchemy", "starlette", "tokenizers"}
PROGRAM = """
import sys
sys.argv = ["emblem", *sys.argv[1:]]
from emblem.cli.main import run
try:
    run()
except SystemExit:
    print("\\nloaded:", *sorted(sys.modules))
"""


@pytest.mark.parametrize("arguments", [["--version"], ["--help"], ["keys", "--help"]])
def test_a_quick_question_loads_nothing_slow(arguments: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments], capture_output=True, text=True, check=True
    )
    loaded = set(done.stdout.rpartition("loaded:")[2].split())
    assert "emblem.cli.main" in loaded
    assert not loaded & SLOW
