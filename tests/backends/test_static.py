"""The static backend: states are rows of a table."""

import numpy as np
import pytest

from emblem.backends.static import StaticBackend
from emblem.types import Row

TABLE = np.arange(12, dtype=np.float32).reshape(4, 3)


def row(*ids: int) -> Row:
    return Row(np.array(ids, np.int32), np.array([len(ids)], np.int32))


def test_the_state_of_a_token_is_its_row_of_the_table() -> None:
    backend = StaticBackend(TABLE)
    states = backend.stream().run(row(2, 0, 2))
    np.testing.assert_array_equal(states, TABLE[[2, 0, 2]])
    assert states.dtype == np.float32
    assert backend.width == 3


def test_states_are_a_copy_so_that_nobody_can_write_the_table() -> None:
    backend = StaticBackend(TABLE)
    backend.stream().run(row(1))[:] = 99
    np.testing.assert_array_equal(backend.stream().run(row(1))[0], [3, 4, 5])


@pytest.mark.parametrize("token", [-1, 4])
def test_an_id_that_the_table_does_not_have_is_refused(token: int) -> None:
    with pytest.raises(ValueError, match="0…3"):
        StaticBackend(TABLE).stream().run(row(0, token))


@pytest.mark.parametrize("shape", [(3,), (0, 3), (2, 2, 2)])
def test_what_is_no_table_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="shape"):
        StaticBackend(np.zeros(shape, np.float32))


def test_a_token_may_share_its_row_with_others_and_weigh_more_or_less() -> None:
    table = np.arange(6, dtype=np.float32).reshape(2, 3)
    rows = np.array([1, 0, 1], np.int64)
    weights = np.array([1, 2, -0.5], np.float32)
    stream = StaticBackend(table, rows=rows, weights=weights).stream()
    row = Row(np.array([0, 1, 2, 1], np.int32), np.array([3, 1], np.int32))
    expected = [table[1], table[0] * 2, table[1] * -0.5, table[0] * 2]
    np.testing.assert_array_equal(stream.run(row), expected)
    np.testing.assert_array_equal(table, np.arange(6).reshape(2, 3))  # and never written
    with pytest.raises(ValueError, match="not within 0…2"):
        stream.run(Row(np.array([3], np.int32), np.array([1], np.int32)))
