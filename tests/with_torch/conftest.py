"""Fixtures for the tests that run in an environment with torch: see ``make test-torch``."""

from pathlib import Path

import pytest

from with_torch.families import FAMILIES, write


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A folder of every family, by its name."""
    from transformers.utils import logging

    logging.disable_progress_bar()
    root = tmp_path_factory.mktemp("families")
    return {family.name: write(family, root / family.name) for family in FAMILIES}
