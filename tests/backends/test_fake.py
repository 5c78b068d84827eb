"""The fake backend is a product: what its documentation says is true."""

import threading

import numpy as np
import pytest

from emblem.backends.fake import FakeBackend
from emblem.types import Row


def row(*sequences: list[int]) -> Row:
    ids = [token for sequence in sequences for token in sequence]
    return Row(np.array(ids, np.int32), np.array([len(s) for s in sequences], np.int32))


def test_states_follow_the_documented_formula() -> None:
    states = FakeBackend(width=3).stream().run(row([5], [7, 2]))
    expected = [
        [np.sin((token + 1) * (j + 1) + place / 10) for j in range(3)]
        for token, place in [(5, 0), (7, 0), (2, 1)]
    ]
    np.testing.assert_allclose(states, expected, rtol=1e-6)
    assert states.dtype == np.float32


def test_a_sequence_has_the_same_states_whatever_shares_its_row() -> None:
    stream = FakeBackend().stream()
    alone = stream.run(row([4, 5, 6]))
    shared = stream.run(row([9, 9], [4, 5, 6], [1]))
    np.testing.assert_array_equal(shared[2:5], alone)


def test_it_fails_when_told_to_until_told_otherwise() -> None:
    backend = FakeBackend()
    backend.fail(RuntimeError("the device is gone"))
    with pytest.raises(RuntimeError, match="the device is gone"):
        backend.stream().run(row([1]))
    backend.fail(None)
    assert backend.stream().run(row([1])).shape == (1, 8)


def test_it_blocks_once_begun_until_released() -> None:
    backend = FakeBackend()
    backend.block()
    done = threading.Event()

    def work() -> None:
        backend.stream().run(row([1, 2]))
        done.set()

    thread = threading.Thread(target=work)
    thread.start()
    assert backend.await_run()
    assert not done.is_set()
    backend.release()
    thread.join(timeout=10)
    assert done.is_set()
    assert [one.ids.tolist() for one in backend.rows] == [[1, 2]]


def test_closing_it_lets_go_of_whoever_is_blocked() -> None:
    backend = FakeBackend()
    backend.block()
    thread = threading.Thread(target=backend.stream().run, args=(row([1]),))
    thread.start()
    assert backend.await_run()
    backend.close()
    thread.join(timeout=10)
    assert not thread.is_alive()
    assert backend.closed
