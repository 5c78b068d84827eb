"""What a process that answers does about its own memory."""

import gc
from collections.abc import Iterator

import pytest

from emblem.cli.worker import GARBAGE_FROM, look_for_garbage_seldom


@pytest.fixture
def as_before() -> Iterator[None]:
    """Have garbage looked for afterwards as it was before."""
    threshold = gc.get_threshold()
    try:
        yield
    finally:
        gc.unfreeze()
        gc.set_threshold(*threshold)


@pytest.mark.usefixtures("as_before")
def test_what_the_start_made_is_never_searched_for_garbage_again() -> None:
    made: list[object] = [[]]
    look_for_garbage_seldom()
    assert not any(one is made for one in gc.get_objects())
    assert gc.get_threshold()[0] == GARBAGE_FROM


@pytest.mark.usefixtures("as_before")
def test_garbage_that_comes_later_is_still_found() -> None:
    look_for_garbage_seldom()
    gc.collect()
    circle: list[object] = []
    circle.append(circle)
    del circle
    assert gc.collect() >= 1
