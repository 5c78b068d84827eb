"""How long answers took, kept in little room: counts by buckets whose bounds grow evenly.

A bucket's bounds are a factor of 1.1 apart, so what is read back from one is wrong by 4.8 % at most,
and histograms are added by adding their counts. Source: C. Masson, J. E. Rim, H. K. Lee, "DDSketch:
A Fast and Fully-Mergeable Quantile Sketch with Relative-Error Guarantees", VLDB 2019,
arXiv:1908.10693.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from math import ceil

GROWTH = 1.1
RELATIVE_ERROR = (GROWTH - 1) / (GROWTH + 1)  # at most, above LEAST_MS

LEAST_MS = 0.001  # what is shorter counts as this
LAST_BUCKET = 300  # holds what is longer than 32 days

# The upper bounds of all buckets but the last. The slack keeps a bound that was computed in another
# way within its bucket.
_BOUNDS = tuple(LEAST_MS * GROWTH**number * (1 + 1e-10) for number in range(LAST_BUCKET))


def bucket(ms: float) -> int:
    """Give the number of the bucket, 0…LAST_BUCKET, for so many milliseconds."""
    return bisect_left(_BOUNDS, ms)  # which no number, NaN, is never beyond


def milliseconds(bucket: int) -> float:
    """Give what stands for all that is in a bucket."""
    return LEAST_MS if bucket == 0 else LEAST_MS * 2 * GROWTH**bucket / (GROWTH + 1)


def percentiles(
    counts: Mapping[int, int], asked: tuple[float, ...] = (50, 95, 99)
) -> tuple[float, ...] | None:
    """Give the percentiles (nearest rank) of what was counted; None where nothing was."""
    total = sum(counts.values())
    if not total:
        return None
    found = []
    ordered = iter(sorted(counts.items()))
    number, seen = next(ordered)
    for one in sorted(asked):
        rank = max(1, ceil(one * total / 100))
        while seen < rank:
            number, count = next(ordered)
            seen += count
        found.append(milliseconds(number))
    return tuple(found)


def add(total: dict[int, int], more: Mapping[int, int]) -> None:
    """Add a histogram to another."""
    for number, count in more.items():
        total[number] = total.get(number, 0) + count


def packed(counts: Mapping[int, int]) -> bytes:
    """Write a histogram: for each bucket how far it is from the one before, then its count.

    Both are written seven bits at a time, the lowest first (LEB128): two bytes for most buckets.
    """
    written = bytearray()
    before = 0
    for number, count in sorted(counts.items()):
        for value in (number - before, count):
            rest = value
            while rest > 0x7F:
                written.append(rest & 0x7F | 0x80)
                rest >>= 7
            written.append(rest)
        before = number
    return bytes(written)


def unpacked(written: bytes) -> dict[int, int]:
    """Read what ``packed`` wrote."""
    counts = {}
    number = 0
    numbers = _numbers(written)
    for step, count in zip(numbers, numbers, strict=True):
        number += step
        counts[number] = count
    return counts


def added(written: Iterable[bytes]) -> dict[int, int]:
    """Read histograms that ``packed`` wrote, and add them up: many in the time of a few.

    Raises ValueError where one of them is cut off, or was never written so.
    """
    import numpy as np

    every = [one for one in written if one]
    if not every:
        return {}
    raw = np.frombuffer(b"".join(every), np.uint8)  # (bytes,)
    ends = np.flatnonzero(raw < 0x80)  # (numbers,) the last byte of each
    until = np.cumsum([len(one) for one in every])  # (histograms,)
    numbers = np.searchsorted(ends, until)  # (histograms,) how many up to the end of each
    if (raw[until - 1] >= 0x80).any() or (numbers % 2).any():
        raise ValueError("half a histogram")
    starts = np.append(0, ends[:-1] + 1)
    place = np.arange(len(raw)) - np.repeat(starts, ends - starts + 1)
    values = np.add.reduceat((raw & 0x7F).astype(np.int64) << 7 * place, starts)
    steps, counts = values[::2], values[1::2]  # (buckets,)
    pairs = np.append(0, numbers // 2)
    reached = np.cumsum(steps)
    before = (reached - steps)[pairs[:-1]]
    buckets = reached - np.repeat(before, np.diff(pairs))
    if buckets.max() > LAST_BUCKET:
        raise ValueError("no bucket has such a number")
    total = np.zeros(LAST_BUCKET + 1, np.int64)
    np.add.at(total, buckets, counts)
    return {int(number): int(total[number]) for number in np.flatnonzero(total)}


def _numbers(written: bytes) -> Iterator[int]:
    value, shift = 0, 0
    for byte in written:
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            yield value
            value, shift = 0, 0
