"""One small application for each test."""

import pytest

from api.small_app import Small


@pytest.fixture
def small() -> Small:
    return Small()
