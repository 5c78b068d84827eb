"""What the graphs take beside the ids, made from a row whose sequences lie end to end."""

import numpy as np
import numpy.typing as npt

from emblem.types import Row, Vectors

_HIDDEN_FROM = np.float32(np.finfo(np.float32).min)  # finite, so that no softmax meets inf - inf
_ALL_SEEN = np.zeros((1, 1), np.float32)


def ids(row: Row) -> npt.NDArray[np.int32]:
    """Give the tokens' ids: (T,) int32."""
    return np.ascontiguousarray(row.ids, np.int32)


def places(row: Row) -> npt.NDArray[np.int32]:
    """Count from 0 in every sequence: (T,) int32."""
    starts = np.cumsum(row.lengths) - row.lengths
    return (np.arange(len(row.ids)) - np.repeat(starts, row.lengths)).astype(np.int32)


def places_behind_padding(row: Row, padding: int) -> npt.NDArray[np.int32]:
    """Count from the padding token's id + 1 in every sequence: (T,) int32.

    RoBERTa gives the padding token's id to the padding. A text can spell the padding token too, and
    then, as in transformers, that token is passed over in the counting.
    """
    counted = np.cumsum(row.ids != padding)
    ends = np.cumsum(row.lengths)
    before = np.concatenate([[0], counted[ends[:-1] - 1]])
    found = counted - np.repeat(before, row.lengths) + padding
    return np.where(row.ids == padding, padding, found).astype(np.int32)


def mask(row: Row) -> Vectors:
    """Say what each token may not see: (T, T) float32, or (1, 1) where there is one sequence."""
    if len(row.lengths) == 1:
        return _ALL_SEEN
    owners = np.repeat(np.arange(len(row.lengths)), row.lengths)
    return _hide(owners[:, None] == owners)


def near_mask(row: Row, reach: int) -> Vectors:
    """Say the same where a token sees no further than ``reach`` places in its own sequence."""
    if len(row.lengths) == 1 and len(row.ids) <= reach + 1:
        return _ALL_SEEN
    order = np.arange(len(row.ids), dtype=np.int32)
    starts = (np.cumsum(row.lengths) - row.lengths).astype(np.int32)
    first = np.maximum(order - np.int32(reach), np.repeat(starts, row.lengths))
    last = np.minimum(order + np.int32(reach), np.repeat(starts + row.lengths - 1, row.lengths))
    seen = first[:, None] <= order
    seen &= order <= last[:, None]
    return _hide(seen)


def _hide(seen: npt.NDArray[np.bool_]) -> Vectors:
    return np.where(seen, np.float32(0), _HIDDEN_FROM)
