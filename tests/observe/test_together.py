"""The sums of several processes: what is added, what is not, and what stays of one that is gone."""

import asyncio
import re
from pathlib import Path

import pytest

from emblem.accounts import Observed
from emblem.observe.metrics import Exposition
from emblem.observe.requests import RequestMetrics
from emblem.observe.state import State
from emblem.observe.together import GONE_S, Kept, Laid, Sample, Together, added
from emblem.types import Occupancy

NOW = 1_800_000_000.0


def laid(value: float, *, at: float = NOW, name: str = "some", kind: str = "counter") -> Laid:
    return Laid(at, [Kept(name, "", kind, [Sample(name, {"model": "m"}, value)])])


def value(every: list[Laid]) -> float:
    (metric,) = added(every, NOW)
    (sample,) = metric.samples
    return sample.value


def test_counters_and_gauges_are_added() -> None:
    assert value([laid(2), laid(3)]) == 5
    assert value([laid(2, kind="gauge"), laid(3, kind="gauge")]) == 5


def test_samples_with_other_labels_stay_apart() -> None:
    other = Laid(NOW, [Kept("some", "", "counter", [Sample("some", {"model": "n"}, 3.0)])])
    ((metric),) = added([laid(2), other], NOW)
    assert [(one.labels["model"], one.value) for one in metric.samples] == [("m", 2), ("n", 3)]


@pytest.mark.parametrize(
    ("name", "expected"),
    [("emblem_build_info", 3), ("emblem_model_problem", 3), ("process_start_time_seconds", 2)],
)
def test_what_is_no_amount_is_not_added(name: str, expected: float) -> None:
    both = [laid(2, name=name, kind="gauge"), laid(3, name=name, kind="gauge")]
    assert value(both) == expected


def test_what_a_process_counted_stays_when_it_is_gone_and_its_gauges_do_not() -> None:
    gone = NOW - GONE_S - 1
    assert value([laid(2), laid(3, at=gone)]) == 5
    assert value([laid(2, kind="gauge"), laid(3, kind="gauge", at=gone)]) == 2
    assert value([laid(2, kind="gauge"), laid(3, kind="gauge", at=0)]) == 2  # it has ended


class OneProcess:
    """What a process counts, and what it says of all."""

    def __init__(self, folder: Path, number: int) -> None:
        self.requests = RequestMetrics(["m"])
        exposition = Exposition(self.requests, lambda: State("1", Occupancy((), 0)))
        self.together = Together(exposition, folder, number)

    def answer(self) -> None:
        seen = Observed("id", "POST", NOW, route="/v1/embeddings", model="m", status=200)
        self.requests.observed(seen)

    def counted(self) -> float:
        page = asyncio.run(self.together.page("")).content.decode()
        found = re.search(r"^emblem_requests_total\{.*\} (\S+)$", page, re.MULTILINE)
        return float(found[1]) if found else 0.0


def test_whichever_is_asked_knows_what_all_have_laid_down(tmp_path: Path) -> None:
    one, other = OneProcess(tmp_path, 1), OneProcess(tmp_path, 2)
    one.answer()
    other.answer()
    other.answer()
    assert one.counted() == 1  # the other has laid nothing down yet
    assert other.counted() == 3
    assert one.counted() == 3


def test_nothing_is_lost_between_the_last_scrape_and_the_end(tmp_path: Path) -> None:
    one, other = OneProcess(tmp_path, 1), OneProcess(tmp_path, 2)

    async def live() -> None:
        async with one.together.sharing():
            one.answer()

    asyncio.run(live())
    assert other.counted() == 1


def test_what_was_read_earlier_does_not_replace_what_was_read_later(tmp_path: Path) -> None:
    one = OneProcess(tmp_path, 1)
    one.together._put(2, NOW, [])
    one.together._put(1, NOW - 1, [])
    assert [laid.at for laid in one.together._every()] == [NOW]


def test_a_folder_that_is_gone_fails_no_scrape(tmp_path: Path) -> None:
    one = OneProcess(tmp_path / "gone", 1)
    one.answer()
    assert one.counted() == 0
