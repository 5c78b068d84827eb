"""The arithmetic of the tables: pure."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TypeVar

Place = TypeVar("Place", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Spread:
    """The median of some rounds, with the least and the most."""

    median: float
    least: float
    most: float


def spread(values: Sequence[float]) -> Spread:
    """Give the median and the ends. Raises ValueError where there is none."""
    if not values:
        raise ValueError("there is no value to take the median of")
    return Spread(median(values), min(values), max(values))


def percentile(values: Sequence[float], share: float) -> float:
    """Give the least value that ``share`` of all, 0 to 1, do not exceed."""
    ordered = sorted(values)
    if not ordered:
        raise ValueError("there is no value to take a percentile of")
    return ordered[max(0, min(len(ordered) - 1, -int(-share * len(ordered) // 1) - 1))]


def ratios(ours: Mapping[Place, float], theirs: Mapping[Place, float]) -> list[float]:
    """Divide what two systems did in the same rounds; rounds that one of them lacks do not count."""
    return [ours[turn] / theirs[turn] for turn in ours if theirs.get(turn)]
