"""One server with keys for all of these tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from keyed.desk import Desk, desk
from server import linked_home


@pytest.fixture(scope="session")
def office(model_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    home = linked_home(tmp_path_factory.mktemp("keyed") / "home", model_home)
    with desk(home) as opened:
        yield opened


@pytest.fixture
def home(model_home: Path, tmp_path: Path) -> Path:
    return linked_home(tmp_path / "home", model_home)
