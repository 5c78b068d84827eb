"""Weights and activations in eight bits: how they are rounded, and what that costs. Pure.

A weight has one scale for each output, found when a model is quantised. What it is multiplied with
is rounded while it is computed: each token on its own, in groups of its numbers, so that no other
token has a part in its scales. What comes in has to be the same to the last bit, since a number
between two steps can be rounded either way; that is the backend's to see to.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import gcd

import numpy as np
import numpy.typing as npt

from emblem.core.pool import unit
from emblem.model import Loss
from emblem.types import Vectors

Whole = npt.NDArray[np.int8]
LARGEST = 127  # as far from zero as eight bits go on both sides
SLACK = 1e-4
"""How far from 1 a kernel's mean cosine may always be, however little a model lost: where it lost next
to nothing, twice that is less than float32 itself may be off, or one activation that is rounded the
other way. Vectors this near (less than a degree) rank alike; those of shuffled weights are far."""
LANES = 16  # OpenVINO rounds groups of a multiple of this, or none


@dataclass(frozen=True, slots=True)
class Bound:
    """The least mean cosine and rank correlation that a quantised model may have."""

    mean: float = 0.995
    rank: float = 0.995

    def holds(self, loss: Loss) -> bool:
        """Tell whether a loss is no more than is allowed."""
        return loss.mean >= self.mean and loss.rank >= self.rank


def rounded(weight: Vectors) -> tuple[Whole, Vectors]:
    """Round an (out, in) weight: give (out, in) int8 and (out, 1) float32 that multiply to it.

    An output whose weights are all zero has the scale 1.
    """
    return _rounded(weight, LARGEST)


def _rounded(numbers: Vectors, largest: int) -> tuple[Whole, Vectors]:
    peaks = np.abs(numbers).max(axis=-1, keepdims=True)
    scales = np.where(peaks > 0, peaks / np.float32(largest), np.float32(1)).astype(np.float32)
    whole = np.clip(np.rint(numbers / scales), -largest, largest).astype(np.int8)
    return whole, scales


def product(x: Vectors, whole: Whole, scales: Vectors, group: int) -> Vectors:
    """Multiply (T, in) float32 by a rounded (out, in) weight: (T, out) float32.

    The reference of what a backend computes: each token's numbers are rounded in groups of
    ``group``, the products of whole numbers are exact, and only their sums are floats.
    """
    tokens, width = x.shape
    parts, peaks = _rounded(x.reshape(tokens, width // group, group), LARGEST)
    split = whole.reshape(len(whole), width // group, group).astype(np.int32)
    exact = np.einsum("tgk,ogk->tog", parts.astype(np.int32), split, dtype=np.int32)
    summed = np.einsum("tog,tg->to", exact.astype(np.float32), peaks[:, :, 0])
    return np.asarray(summed * scales[:, 0], np.float32)


def group_of(widths: Sequence[int], most: int) -> int:
    """Give the largest group, no larger than ``most``, that divides every width; 0 for none."""
    shared = gcd(*widths)
    return next((n for n in range(most - most % LANES, 0, -LANES) if shared % n == 0), 0)


def loss_of(before: Vectors, after: Vectors) -> Loss:
    """Compare the unit vectors of the same texts, (n, width) each, n at least 3."""
    cosines = np.einsum("ij,ij->i", before, after, dtype=np.float64)
    pairs = np.triu_indices(len(before), 1)
    ranks = [_ranks((vectors @ vectors.T)[pairs]) for vectors in (before, after)]
    return Loss(
        float(cosines.mean()),
        float(cosines.min()),
        float(np.corrcoef(ranks[0], ranks[1])[0, 1]),
        len(before),
    )


def proven(loss: Loss, stored: Vectors, now: Vectors) -> bool:
    """Tell whether a kernel gives what the one gave that a model was quantised with.

    Both are (n, width) float32 of any length; their directions are compared. Where one number is
    rounded the other way, as float arithmetic in another order has it, a token's further roundings
    are others too; a CPU may also leave activations as they are. Either moves a vector by less than
    the rounding itself did, so twice that is allowed, or ``SLACK``, and a mistake goes far beyond.
    """
    cosines = np.einsum("ij,ij->i", unit(stored), unit(now), dtype=np.float64)
    return bool(1 - cosines.mean() <= max(2 * (1 - loss.mean), SLACK))


def _ranks(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Give each value its place in ascending order; equal ones share the mean of theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    middles: npt.NDArray[np.float64] = last - (counts - 1) / 2
    return middles[inverse]
