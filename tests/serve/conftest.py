"""A home of its own for each test, with the models that all share."""

import sys
from pathlib import Path

import pytest

from server import linked_home

if sys.platform != "linux":
    collect_ignore_glob = ["test_*.py"]  # they read /proc and use terminals


@pytest.fixture
def home(model_home: Path, tmp_path: Path) -> Path:
    return linked_home(tmp_path / "home", model_home)
