"""One server for the tests of this folder that only send it something."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from server import RunningServer, linked_home, running_server


@pytest.fixture(scope="session")
def busy_server(
    model_home: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningServer]:
    """Both models, with every setting as it comes."""
    home = linked_home(tmp_path_factory.mktemp("reliability") / "home", model_home)
    with running_server(home, args=["--offline"]) as server:
        yield server
