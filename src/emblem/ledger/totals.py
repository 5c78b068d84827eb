"""Rows of uses added up in memory: for each group, and all of them. Asks no database."""

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, NamedTuple, cast

from emblem.accounts import By, Sum
from emblem.core.percentiles import add, percentiles

MINUTE_S = 60
HOUR_S = 3600
HOURS_OF_A_DAY = 24


class Summed(NamedTuple):
    """Sums of groups, in their order, and of all that is in any of them."""

    groups: list[Sum]
    total: Sum


class Totals:
    """What is added up, by the texts of the groups; and all of it, each row once."""

    def __init__(self, by: tuple[By, ...]) -> None:
        self._by = by
        self._counts: dict[tuple[str, ...], list[int]] = {}  # as in Sum, from requests to cost
        self._histograms: dict[tuple[str, ...], dict[int, int]] = {}
        self._counts_of_all = [0] * 6
        self._histogram_of_all: dict[int, int] = {}
        if not by:
            self.count((), (0, 0, 0, 0, 0, 0))

    def count(self, group: Sequence[Any], counts: Sequence[int | None]) -> None:
        """Add the counts of a row, in the order of Sum."""
        self._counts_of_all = _added(self._counts_of_all, counts)
        for one in self._groups(group):
            self._counts[one] = _added(self._counts.get(one, (0, 0, 0, 0, 0, 0)), counts)

    def time(self, group: Sequence[Any], histogram: dict[int, int]) -> None:
        """Add how long the answers of a row took."""
        add(self._histogram_of_all, histogram)
        for one in self._groups(group):
            add(self._histograms.setdefault(one, {}), histogram)

    def summed(self) -> Summed:
        """Give what was added up so far."""
        groups = [
            _sum(group, counts, self._histograms.get(group, {}))
            for group, counts in sorted(self._counts.items())
        ]
        return Summed(groups, _sum((), self._counts_of_all, self._histogram_of_all))

    def _groups(self, group: Sequence[Any]) -> Iterator[tuple[str, ...]]:
        """Give the groups that a row belongs to: one for each tag, where it is by tags."""
        if By.TAG not in self._by:
            yield tuple(map(_text, self._by, group))
            return
        place = self._by.index(By.TAG)
        for tag in sorted(set(json.loads(group[place]))) or [""]:
            yield tuple(map(_text, self._by, [*group[:place], tag, *group[place + 1 :]]))


def _added(before: Sequence[int], more: Sequence[int | None]) -> list[int]:
    # PostgreSQL adds whole numbers up to decimals; over no rows both give NULL.
    return [int(old + (new or 0)) for old, new in zip(before, more, strict=True)]


def _sum(group: tuple[str, ...], counts: Sequence[int], histogram: dict[int, int]) -> Sum:
    requests, errors, inputs, tokens, hits, cost = counts
    ms = cast("tuple[float, float, float] | None", percentiles(histogram))
    return Sum(group, requests, errors, inputs, tokens, hits, cost, ms)


def _text(by: By, value: Any) -> str:
    if by is By.DAY:
        return shown_hour(value * HOURS_OF_A_DAY)[:10]
    if by is By.MINUTE:
        return _time(int(value) * MINUTE_S)
    return shown_hour(value) if by is By.HOUR else str(value)


def shown_hour(number: int) -> str:
    """Write the beginning of an hour, which is given by its number since the epoch."""
    return _time(number * HOUR_S)


@lru_cache(10_000)
def _time(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%MZ")
