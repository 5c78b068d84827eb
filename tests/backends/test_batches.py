"""Sequences are grouped for a backend that pads, with little padding, and none is lost."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from emblem.backends.batches import MOST_PADDING, batches

SEQUENCES = st.lists(st.tuples(st.integers(1, 600), st.integers(0, 3)), min_size=1, max_size=60)


def split(sequences: list[tuple[int, int]]) -> tuple["np.ndarray", "np.ndarray"]:
    lengths, skip = np.array(sequences, dtype=np.int32).T
    return lengths, skip


@given(SEQUENCES, st.booleans())
def test_every_sequence_is_in_one_group_with_others_of_its_skip(
    sequences: list[tuple[int, int]], pad: bool
) -> None:
    lengths, skip = split(sequences)
    groups = batches(lengths, skip, pad=pad)
    assert sorted(np.concatenate(groups).tolist()) == list(range(len(sequences)))
    assert all(len(set(skip[group].tolist())) == 1 for group in groups)


@given(SEQUENCES)
def test_without_padding_a_group_has_one_length(sequences: list[tuple[int, int]]) -> None:
    lengths, skip = split(sequences)
    groups = batches(lengths, skip, pad=False)
    assert all(len(set(lengths[group].tolist())) == 1 for group in groups)


@given(SEQUENCES)
def test_with_padding_a_group_holds_little_of_it(sequences: list[tuple[int, int]]) -> None:
    lengths, skip = split(sequences)
    for group in batches(lengths, skip, pad=True):
        places = len(group) * int(lengths[group].max())
        assert places <= (1 + MOST_PADDING) * int(lengths[group].sum())


def test_all_of_one_length_and_skip_are_one_group_either_way() -> None:
    lengths, skip = np.full(5, 7, np.int32), np.zeros(5, np.int32)
    assert [len(batches(lengths, skip, pad=pad)) for pad in (True, False)] == [1, 1]


def test_lengths_that_are_near_are_padded_to_the_longest() -> None:
    lengths, skip = np.array([10, 8, 9, 3], np.int32), np.zeros(4, np.int32)
    assert [group.tolist() for group in batches(lengths, skip, pad=True)] == [[0, 2, 1], [3]]
