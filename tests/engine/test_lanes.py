"""The two lanes beside one another, in virtual time: who waits how long, and what that costs."""

import heapq
from collections import Counter, deque
from dataclasses import dataclass, field

import numpy as np
import pytest

from emblem.core.pack import INTERACTIVE_S_PER_BULK_S, ROW_S
from emblem.engine.queue import Job, Queue, QueueLimits
from emblem.errors import Overloaded
from emblem.types import Lane
from queued_job import job

ROW_TOKENS = 128
PLENTY = QueueLimits(interactive_s=1e9, bulk_s=1e9, max_bytes=1 << 60)
QUERY = 12


def row_seconds(tokens: int) -> float:
    """What a row of MiniLM takes on two cores, about."""
    return 0.0015 + tokens * 0.00009


FULL_ROW_S = row_seconds(ROW_TOKENS)


@dataclass
class Machine:
    """Streams that take rows from a queue; the clock moves only when one of them ends a row."""

    streams: int = 1
    slowness: float = 1.0
    now: float = 0.0
    ended: dict[Job, float] = field(default_factory=dict)
    spent: dict[Lane, float] = field(default_factory=lambda: dict.fromkeys(Lane, 0.0))
    rows: list[tuple[float, Lane, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.queue = Queue("virtual", ROW_TOKENS, PLENTY, lambda: self.now)
        self.lane_of: dict[Job, Lane] = {}

    def put(self, one: Job, lane: Lane) -> None:
        self.lane_of[one] = lane
        self.queue.put(one, lane)

    def run(self, arrivals: list[tuple[float, Job, Lane]], until: float = np.inf) -> None:
        """Let requests arrive at their times, and run until nothing waits or time is up."""
        coming = deque(sorted(arrivals, key=lambda one: one[0]))
        running: list[tuple[float, int, float, list]] = []
        number = 0
        while self.now < until:
            while coming and coming[0][0] <= self.now:
                _, one, lane = coming.popleft()
                self.put(one, lane)
            while len(running) < self.streams and self.waits():
                row = self.queue.next_row()
                tokens = sum(share.tokens for share in row)
                seconds = row_seconds(tokens) * self.slowness
                lane = self.lane_of[row[0].job]
                self.spent[lane] += seconds
                self.rows.append((self.now, lane, tokens))
                number += 1
                heapq.heappush(running, (self.now + seconds, number, seconds, row))
            if running and (not coming or running[0][0] <= coming[0][0]):
                self.now, _, seconds, row = heapq.heappop(running)
                self.queue.done(row, seconds / self.streams)
                for share in row:
                    if share.job.remaining == 0:
                        self.ended[share.job] = self.now
            elif coming:
                self.now = coming[0][0]
            else:
                return

    def waits(self) -> bool:
        return any(queued.requests for queued in self.queue.work().queued.values())


def bulk(chance: np.random.Generator, requests: int = 4) -> list[tuple[float, Job, Lane]]:
    return [
        (0.0, job(*np.clip(chance.lognormal(4.0, 0.5, 512), 8, 128).astype(int)), Lane.BULK)
        for _ in range(requests)
    ]


def queries(
    chance: np.random.Generator, every_s: float, count: int
) -> list[tuple[float, Job, Lane]]:
    times = np.cumsum(chance.exponential(every_s, count))
    return [(float(time), job(QUERY), Lane.INTERACTIVE) for time in times]


@pytest.mark.parametrize("streams", [1, 2])
def test_a_query_beside_bulk_work_waits_for_two_rows_at_most_and_bulk_loses_only_its_rows(
    streams: int,
) -> None:
    chance = np.random.default_rng(7)
    alone, mixed = Machine(streams), Machine(streams)
    alone.run(bulk(np.random.default_rng(1)))
    asked = queries(chance, every_s=0.05, count=200)
    mixed.run(bulk(np.random.default_rng(1)) + asked)
    waited = [mixed.ended[one] - time for time, one, _ in asked]
    assert np.quantile(waited, 0.99) <= 2 * FULL_ROW_S + row_seconds(QUERY)
    assert np.median(waited) <= FULL_ROW_S + row_seconds(QUERY)
    own = mixed.spent[Lane.INTERACTIVE]
    assert mixed.spent[Lane.BULK] == pytest.approx(alone.spent[Lane.BULK], rel=0.01)
    bulk_ended = max(mixed.ended[one] for one in mixed.ended if len(one.plan.windows) > 1)
    assert bulk_ended <= alone.now + own / streams + FULL_ROW_S
    assert own < 0.15 * mixed.spent[Lane.BULK]


def test_bulk_work_gets_its_part_beside_more_queries_than_can_be_answered() -> None:
    chance = np.random.default_rng(8)
    machine = Machine()
    machine.run(
        bulk(chance) + queries(chance, every_s=row_seconds(QUERY) / 20, count=20_000), until=10.0
    )
    part = machine.spent[Lane.BULK] / sum(machine.spent.values())
    assert part == pytest.approx(1 / (1 + INTERACTIVE_S_PER_BULK_S), rel=0.2)


def test_a_very_long_bulk_row_is_paid_back_before_the_next() -> None:
    chance = np.random.default_rng(9)
    machine = Machine()
    long = [(0.0, job(*[4000] * 4), Lane.BULK)]
    machine.run(long + queries(chance, every_s=row_seconds(QUERY) / 20, count=20_000), until=7.5)
    begun = [time for time, lane, _ in machine.rows if lane is Lane.BULK]
    assert len(begun) >= 4
    assert min(np.diff(begun)[1:]) >= 0.8 * INTERACTIVE_S_PER_BULK_S * row_seconds(4000)


def test_bulk_rows_of_a_slow_model_are_short_while_somebody_asks_and_full_otherwise() -> None:
    chance = np.random.default_rng(10)
    quiet, asked = Machine(slowness=5), Machine(slowness=5)
    quiet.run(bulk(chance, 1))
    asked.run(bulk(chance, 1) + queries(chance, every_s=0.5, count=100))

    def usual(machine: Machine) -> float:
        sizes = [tokens for _, lane, tokens in machine.rows if lane is Lane.BULK]
        return float(np.median(sizes[20:]))

    assert usual(quiet) > 0.9 * ROW_TOKENS
    assert row_seconds(int(usual(asked))) * 5 < 1.5 * ROW_S < row_seconds(ROW_TOKENS) * 5


def test_two_streams_share_what_would_fill_no_more_than_a_row() -> None:
    machine = Machine(streams=2)
    machine.queue._idle = 1  # the other one waits, as a thread would
    machine.put(job(*[QUERY] * 8), Lane.INTERACTIVE)
    row = machine.queue.next_row()
    assert row is not None
    assert sum(share.tokens for share in row) == 4 * QUERY


@pytest.mark.parametrize("times_too_much", [2, 20])
def test_a_key_that_asks_once_a_second_is_never_refused_for_the_flood_of_another(
    times_too_much: int,
) -> None:
    chance = np.random.default_rng(11)
    now = [0.0]
    queue = Queue("virtual", ROW_TOKENS, QueueLimits(), lambda: now[0])
    every_s = FULL_ROW_S / (ROW_TOKENS / QUERY) / times_too_much
    refused, asked_at, waited = Counter[str](), {}, []
    flood, other = 0.0, 0.5
    while now[0] < 8:
        while min(flood, other) <= now[0]:
            share = "flood" if flood <= other else "other"
            one = job(QUERY, share=share)
            try:
                queue.put(one, Lane.INTERACTIVE)
                asked_at[one] = now[0]
            except Overloaded:
                refused[share] += 1
            if share == "flood":
                flood += chance.exponential(every_s)
            else:
                other += 1.0
        row = queue.next_row()
        seconds = row_seconds(sum(share.tokens for share in row))
        now[0] += seconds
        queue.done(row, seconds)
        waited += [now[0] - asked_at[one.job] for one in row if one.job.waiting.share == "other"]
    assert refused["flood"] > 100
    assert refused["other"] == 0
    assert len(waited) == 8
    assert max(waited) <= 3 * FULL_ROW_S
