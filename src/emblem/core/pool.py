"""From token states to vectors: pooling, unit length, and the mean over the windows of a long text.

The modes give what sentence-transformers gives. Nothing here knows where states come from.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import accumulate
from math import inf, nan, sqrt

import numpy as np
import numpy.typing as npt

from emblem.model import Pooling, PoolingMode
from emblem.types import Vectors

_FEWEST = np.float32(1e-9)  # sentence-transformers divides by no less than this


@dataclass(slots=True, eq=False)  # not frozen: one is made for each row
class _Sequences:
    """The sequences of one row: where each ends, how long it is, how many leading tokens go."""

    states: Vectors  # (T, width) float32
    sizes: list[int]  # n of them, above 0
    ends: list[int]  # n of them
    skip: npt.NDArray[np.int64] | None  # (n,), 0…length; None where none goes

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """How long each is: (n,)."""
        return np.array(self.sizes, np.int64)

    @property
    def starts(self) -> npt.NDArray[np.int64]:
        """Where each begins: (n,)."""
        return np.array(self.ends, np.int64) - self.lengths

    def places(self) -> npt.NDArray[np.int64]:
        """Give the place of every token in its own sequence, from 0: (T,)."""
        return np.arange(len(self.states)) - np.repeat(self.starts, self.lengths)

    def kept(self) -> npt.NDArray[np.bool_]:
        """Tell which tokens take part: (T,)."""
        if self.skip is None:
            return np.ones(len(self.states), np.bool_)
        return self.places() >= np.repeat(self.skip, self.lengths)


def pooled_width(pooling: Pooling, hidden: int) -> int:
    """Numbers in a pooled vector of states that have ``hidden`` numbers each."""
    return len(pooling.modes) * hidden


def pool(
    states: Vectors,
    lengths: npt.NDArray[np.int32],
    pooling: Pooling,
    skip: npt.NDArray[np.int32] | None = None,
) -> Vectors:
    """Give one vector for each sequence of a row: (n, modes times width) float32.

    ``states`` is (T, width) float32; ``lengths`` is (n,) int32, at least 1 each, and sums to T;
    ``skip`` is (n,) int32, the leading tokens left out unless ``pooling.include_prompt``, None for
    none. A sequence of which nothing is left gives zeros (-inf under ``max``, its first token under
    ``cls``), as in sentence-transformers; the check on results finds those. Raises ValueError
    where the shapes do not belong together.
    """
    sizes = lengths.tolist()  # of a row of few sequences this is the quickest by far
    if not sizes and not len(states):
        return np.zeros((0, pooled_width(pooling, states.shape[1])), np.float32)
    if min(sizes, default=1) < 1:
        raise ValueError("a sequence has no tokens")
    ends = [*accumulate(sizes)]
    if not ends or ends[-1] != len(states):
        raise ValueError(f"{len(states)} states for sequences of {sum(sizes)} tokens")
    if skip is not None and skip.shape != lengths.shape:
        raise ValueError(f"{len(skip)} skips for {len(lengths)} sequences")
    left_out = None
    if skip is not None and not pooling.include_prompt:
        left_out = np.minimum(skip, lengths, dtype=np.int64)
    sequences = _Sequences(states, sizes, ends, left_out)
    pooled = [_MODES[mode](sequences) for mode in pooling.modes]
    return pooled[0] if len(pooled) == 1 else np.concatenate(pooled, axis=1)


def unit(vectors: Vectors) -> Vectors:
    """Scale each row of (n, width) float32 to length 1. A row of zeros stays as it is."""
    wide = vectors.astype(np.float64)
    squared = np.add.reduce(wide * wide, axis=1)  # row by row, whatever is beside it
    # What is not finite makes its row so, which is left to the check.
    lengths = [sqrt(one) or 1.0 if one < inf else nan for one in squared.tolist()]
    wide /= lengths[0] if len(lengths) == 1 else np.array(lengths)[:, None]
    return wide.astype(np.float32)


def weighted_mean(
    vectors: Vectors,
    weights: npt.NDArray[np.int32],
    owners: npt.NDArray[np.int32],
    n: int,
) -> Vectors:
    """Give each of n owners the mean of its rows, made unit and weighted: (n, width) float32.

    ``vectors`` is (m, width) float32; ``weights`` is (m,) int32, above 0, the content tokens of a
    window; ``owners`` is (m,) int32, below n, in any order. The mean is not made unit again: that
    is for the model to say. An owner without rows gets zeros.
    """
    share = weights.astype(np.float64)
    summed = np.zeros((n, vectors.shape[1]), np.float64)
    np.add.at(summed, owners, unit(vectors).astype(np.float64) * share[:, None])
    total = np.bincount(owners, weights=share, minlength=n)
    total[total == 0.0] = 1.0
    return (summed / total[:, None]).astype(np.float32)


def _sums(sequences: _Sequences) -> Vectors:
    states = sequences.states
    if sequences.skip is not None:
        states = np.where(sequences.kept()[:, None], states, np.float32(0))
    return _sum_each(states, sequences)


def _sum_each(states: Vectors, sequences: _Sequences) -> Vectors:
    """Add up the states of each sequence, in their order; several times as fast as ``reduceat``."""
    summed = np.empty((len(sequences.ends), states.shape[1]), np.float32)
    start = 0
    for place, end in enumerate(sequences.ends):
        np.add.reduce(states[start:end], axis=0, out=summed[place])
        start = end
    return summed


def _counts(sequences: _Sequences) -> Vectors:
    if sequences.skip is None:
        return np.array(sequences.sizes, np.float32)[:, None]
    counts = (sequences.lengths - sequences.skip).astype(np.float32)
    at_least: Vectors = np.maximum(counts, _FEWEST)
    return at_least[:, None]


def _first(sequences: _Sequences) -> npt.NDArray[np.int64]:
    """Give the place in the row of the first token of each sequence that is left, if any is: (n,)."""
    if sequences.skip is None:
        return sequences.starts
    skip = sequences.skip
    return sequences.starts + np.where(skip < sequences.lengths, skip, 0)


def _cls(sequences: _Sequences) -> Vectors:
    return sequences.states[_first(sequences)]


def _mean(sequences: _Sequences) -> Vectors:
    sums = _sums(sequences)
    sums /= _counts(sequences)
    return sums


def _mean_sqrt_len(sequences: _Sequences) -> Vectors:
    divisor: Vectors = np.sqrt(_counts(sequences))
    return _sums(sequences) / divisor


def _max(sequences: _Sequences) -> Vectors:
    states = sequences.states
    if sequences.skip is not None:
        states = np.where(sequences.kept()[:, None], states, np.float32(-np.inf))
    highest: Vectors = np.maximum.reduceat(states, sequences.starts, axis=0)
    return highest


def _weighted_mean(sequences: _Sequences) -> Vectors:
    # A token's weight is its place from 1, counted with the prompt even where that is left out.
    weights = ((sequences.places() + 1) * sequences.kept()).astype(np.float32)
    weighted = sequences.states * weights[:, None]
    summed = _sum_each(weighted, sequences)
    total: Vectors = np.maximum(np.add.reduceat(weights, sequences.starts), _FEWEST)
    return summed / total[:, None]


def _last_token(sequences: _Sequences) -> Vectors:
    last: Vectors = sequences.states[np.array(sequences.ends) - 1]
    if sequences.skip is None:
        return last
    return np.where((sequences.skip < sequences.lengths)[:, None], last, np.float32(0))


_MODES: Mapping[PoolingMode, Callable[[_Sequences], Vectors]] = {
    PoolingMode.CLS: _cls,
    PoolingMode.MEAN: _mean,
    PoolingMode.MAX: _max,
    PoolingMode.MEAN_SQRT_LEN: _mean_sqrt_len,
    PoolingMode.WEIGHTED_MEAN: _weighted_mean,
    PoolingMode.LAST_TOKEN: _last_token,
}
