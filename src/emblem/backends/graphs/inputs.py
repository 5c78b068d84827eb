"""What the graphs take beside the ids, made from a row whose sequences lie end to end."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from emblem.types import Row, Vectors

_HIDDEN_FROM = np.float32(np.finfo(np.float32).min)  # finite, so that no softmax meets inf - inf

# A vector unit takes 16 float32 or fewer at a time. What is left over at the end of a softmax's row
# is summed in another order, so no bin has such a rest: each sum then has one order, wherever in a
# bin a sequence lies and however long the bin is. That is so up to 512 slots, of which a product is
# made in one go; a backend gives no longer row of several sequences.
_UNIT = 16


@dataclass(frozen=True, slots=True, eq=False)
class Bins:
    """Where the tokens of a row go for attention: bins of the same length L, a multiple of 16.

    Tokens see only what is in their bin. A sequence lies in one of them, alone or behind others.
    """

    slots: npt.NDArray[np.int32]  # (bins, L), a token of the row; where there is none, the first
    owners: npt.NDArray[np.int32]  # (bins, L), the sequence that it belongs to, or -1
    back: npt.NDArray[np.int32]  # (T,), the slot of each token
    shared: bool  # whether any bin has several sequences

    def thirds(self) -> npt.NDArray[np.int32]:
        """Say where the three parts of each slot's token are, three for each token: (3, bins, L)."""
        parts = np.arange(3, dtype=np.int32)[:, None, None]
        return self.slots * np.int32(3) + parts

    def of(self, numbers: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
        """Lay out what there is of each token, (T,): (bins, L)."""
        return numbers[self.slots]


def bins(lengths: npt.NDArray[np.int32]) -> Bins:
    """Lay the sequences of a row, (n,) tokens each, into bins.

    The bins are as long as the longest sequence, and each sequence lies in the first that has room,
    unless one bin for all of them has fewer pairs of slots.
    """
    if len(lengths) == 1:
        return _one_bin(int(lengths[0]))
    sizes = lengths.tolist()
    length = _round_up(max(sizes))
    starts, count = _first_fit(sizes, length)
    whole = _round_up(sum(sizes))
    ends = np.cumsum(lengths, dtype=np.int32)
    firsts = ends - lengths
    if whole**2 <= count * length**2:
        starts, count, length = firsts.tolist(), 1, whole
    tokens = np.arange(ends[-1], dtype=np.int32)
    begun = np.array(starts, np.int32)
    back = tokens + np.repeat(begun - firsts, lengths)
    slots = np.repeat(firsts[begun % length == 0], length)
    slots[back] = tokens
    owners = np.full(count * length, -1, np.int32)
    owners[back] = np.repeat(np.arange(len(sizes), dtype=np.int32), lengths)
    shape = (count, length)
    return Bins(slots.reshape(shape), owners.reshape(shape), back, count < len(sizes))


def _one_bin(tokens: int) -> Bins:
    """Do it for a sequence alone, in a third of the time: that is where a few µs count."""
    slots = np.arange(_round_up(tokens), dtype=np.int32)
    owners = np.zeros_like(slots)
    back = slots[:tokens].copy()
    slots[tokens:], owners[tokens:] = 0, -1
    return Bins(slots[None], owners[None], back, shared=False)


def _first_fit(sizes: Sequence[int], length: int) -> tuple[list[int], int]:
    """Give each size the first bin of that length with room: where each begins, and how many."""
    used: list[int] = []
    starts = []
    for size in sizes:
        place = next((i for i, taken in enumerate(used) if taken + size <= length), len(used))
        if place == len(used):
            used.append(0)
        starts.append(place * length + used[place])
        used[place] += size
    return starts, len(used)


def _round_up(tokens: int) -> int:
    return -(-tokens // _UNIT) * _UNIT


def ids(row: Row) -> npt.NDArray[np.int32]:
    """Give the tokens' ids: (T,) int32."""
    return np.ascontiguousarray(row.ids, np.int32)


def places(row: Row) -> npt.NDArray[np.int32]:
    """Count from 0 in every sequence: (T,) int32."""
    if len(row.lengths) == 1:
        return np.arange(len(row.ids), dtype=np.int32)
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


def mask(bins: Bins) -> Vectors:
    """Say what each slot may not see: (bins, 1, L, L) float32, or (bins, 1, 1, L).

    The latter is for bins that hold one sequence each, all of which is seen.
    """
    if bins.shared:
        return _hide(bins.owners[:, None, :, None] == bins.owners[:, None, None, :])
    return _hide(bins.owners[:, None, None, :] >= 0)


def near_mask(bins: Bins, reach: int) -> Vectors:
    """Say the same where a token sees no further than ``reach`` places in its own sequence."""
    length = bins.owners.shape[1]
    if not bins.shared and length <= reach + 1:
        return mask(bins)
    order = np.arange(length, dtype=np.int32)
    seen = bins.owners[:, None, :, None] == bins.owners[:, None, None, :]
    seen &= order[:, None] <= order + np.int32(reach)
    seen &= order <= (order + np.int32(reach))[:, None]
    return _hide(seen)


def _hide(seen: npt.NDArray[np.bool_]) -> Vectors:
    return np.where(seen, np.float32(0), _HIDDEN_FROM)
