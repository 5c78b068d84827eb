"""From what was measured to figures: every vector compared, every time counted."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass

import numpy as np
from benchmarks.compare.check import LEAST, Truth, cosines, count_tokens
from benchmarks.compare.measure import Got, Measured
from benchmarks.compare.stats import percentile
from benchmarks.compare.systems import System
from benchmarks.compare.workloads import Workload

READS = 256  # tokens that MiniLM reads at once


@dataclass(frozen=True, slots=True)
class Turn:
    """The figures of one part of one turn. ``wrong`` vectors and ``failed`` requests count too.

    A request that failed counts in the percentiles as one that took the whole turn.
    """

    part: str
    requests: int
    texts: int
    tokens: int
    seconds: float
    p50_ms: float
    p99_ms: float
    failed: int
    wrong: int
    worst: float | None
    mean: float | None
    problem: str
    row_ms: float | None = None

    @property
    def right(self) -> bool:
        """Tell whether every answer was."""
        return not self.failed and not self.wrong and self.requests > 0

    def plain(self) -> dict[str, object]:
        """Give what JSON holds."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Taken:
    """One turn that was measured and waits to be judged."""

    system: System
    workload: Workload
    number: int
    measured: list[Measured]


def judge(taken: Iterable[Taken]) -> list[list[Turn]]:
    """Compare every vector and give the figures of each turn, part by part."""
    taken = list(taken)
    truths = {kind: Truth(kind).of(texts) for kind, texts in _by_truth(taken).items()}
    return [[_turn(one, part, truths) for part in one.measured] for one in taken]


def _kind(one: Taken) -> str:
    if one.system.vectors == "static":
        return "static"
    if one.workload.whole and one.system.options:
        return "windows"  # asked without its options, Emblem reads a text to its end
    return "st"


def _by_truth(taken: Iterable[Taken]) -> dict[str, set[str]]:
    wanted: dict[str, set[str]] = {}
    for one in taken:
        if one.system.vectors == "constant":
            continue
        texts = wanted.setdefault(_kind(one), set())
        for part in one.measured:
            for got in part.got:
                texts.update(got.texts)
    return wanted


def _turn(one: Taken, part: Measured, truths: dict[str, dict[str, np.ndarray]]) -> Turn:
    good = [got for got in part.got if got.vectors is not None]
    failed = [got.problem for got in part.got if got.vectors is None]
    found = _cosines(one, good, truths)
    least = LEAST.get(one.system.vectors, -1.0)
    wrong = int((found < least).sum())
    problem = failed[0] if failed else ""
    if wrong and not problem:
        problem = f"a cosine of {found.min():.6f}, less than {least}"
    texts = [text for got in good for text in got.texts]
    whole = one.workload.whole and _kind(one) == "windows"
    tokens = int(count_tokens(texts, None if whole else READS).sum()) if texts else 0
    times = [
        1000 * (got.seconds if got.vectors is not None else max(got.seconds, part.seconds))
        for got in part.got
    ]
    return Turn(
        part=part.part,
        requests=len(good),
        texts=len(texts),
        tokens=tokens,
        seconds=part.seconds,
        p50_ms=percentile(times, 0.5) if times else 0.0,
        p99_ms=percentile(times, 0.99) if times else 0.0,
        failed=len(failed),
        wrong=wrong,
        worst=float(found.min()) if len(found) else None,
        mean=float(found.mean()) if len(found) else None,
        problem=problem,
        row_ms=None if part.row_s is None else 1000 * part.row_s,
    )


def _cosines(one: Taken, good: list[Got], truths: dict[str, dict[str, np.ndarray]]) -> np.ndarray:
    """Give the cosine of every vector to the truth: (n,). A constant has none."""
    if one.system.vectors == "constant" or not good:
        return np.empty(0)
    truth = truths[_kind(one)]
    each = []
    for got in good:
        assert got.vectors is not None
        each.append(cosines(got.vectors, np.array([truth[text] for text in got.texts])))
    return np.concatenate(each)
