"""What the tests of upstreams share."""

from collections.abc import Iterator

import pytest

from upstreams.scripted import Scripted


@pytest.fixture
def scripted() -> Iterator[Scripted]:
    with Scripted().serving() as serving:
        yield serving
