"""The queue's accounts, whatever is put in, taken out, abandoned, failed or late."""

import asyncio
import logging
import threading
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from emblem.core.admit import Load, Pace
from emblem.core.pack import Waiting
from emblem.engine.lane import resolve
from emblem.engine.queue import INITIAL_SECONDS_PER_TOKEN, Job, Queue, QueueLimits
from emblem.errors import DeploymentFailed, Overloaded
from emblem.types import Lane
from queued_job import job


def queue(now: list[float] | None = None) -> Queue:
    times = now or [0.0]
    plenty = QueueLimits(interactive_s=1e9, bulk_s=1e9, max_bytes=1 << 60)
    return Queue("tiny", 100, plenty, lambda: times[0])


def slowed(work: Queue, seconds_per_token: float) -> Queue:
    """Have a queue think that its model is so slow, or so fast."""
    work._pace = Pace(100, INITIAL_SECONDS_PER_TOKEN)
    for _ in range(500):
        work._pace.learn(100, 100 * seconds_per_token)
    return work


class Accounts(RuleBasedStateMachine):
    """Does anything to a queue, in any order: its load is always what somebody waits for."""

    def __init__(self) -> None:
        super().__init__()
        self.now = [0.0]
        self.queue = queue(self.now)
        self.ran: dict[Job, list[int]] = {}
        self.lanes: dict[Job, Lane] = {}
        self.gone: set[Job] = set()

    @property
    def anything_would_run(self) -> bool:
        return any(
            one.waiting.sizes and one.waiting.deadline > self.now[0]
            for one in self.ran.keys() - self.gone
        )

    @rule(
        lengths=st.lists(st.integers(1, 120), min_size=1, max_size=9),
        lane=st.sampled_from(list(Lane)),
        patience=st.integers(1, 5),
        share=st.sampled_from("abc"),
    )
    def put(self, lengths: list[int], lane: Lane, patience: int, share: str) -> None:
        one = job(*lengths, deadline=self.now[0] + patience, share=share)
        self.queue.put(one, lane)
        self.ran[one] = []
        self.lanes[one] = lane

    @precondition(lambda self: self.anything_would_run)
    @rule(fails=st.booleans())
    def run(self, fails: bool) -> None:
        row = self.queue.next_row()
        assert row
        for share in row:
            assert share.job not in self.gone
            assert share.job.waiting.deadline > self.now[0]
            self.ran[share.job] += share.windows
        if fails:
            self.queue.fail(row, DeploymentFailed("no"))
            self.gone.update(share.job for share in row)
        else:
            self.queue.done(row, 0.001)

    @precondition(lambda self: self.ran)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        one = list(self.ran)[data.draw(st.integers(0, len(self.ran) - 1))]
        self.queue.leave(one)
        self.gone.add(one)

    @rule()
    def let_time_pass(self) -> None:
        self.now[0] += 1

    @invariant()
    def the_load_is_what_waits(self) -> None:
        for lane in Lane:
            here = self.queue._lanes[lane]
            for one, own in self.lanes.items():
                # Who is late is found out when it has its turn, and may be counted until then.
                late = one.waiting.deadline <= self.now[0]
                if own is lane and not late and one not in self.gone and one.waiting.sizes:
                    assert one.waiting in here.jobs
            assert not any(one in self.gone for one in here.jobs.values())
            tokens = sum(_left(one.waiting) for one in here.jobs.values())
            assert here._waiting._of.keys() == {one.share for one in here.jobs}
            load = self.queue.waiting(lane)
            assert load.seconds == pytest.approx(tokens * _speed(self.queue))
            assert load.bytes == sum(one.bytes for one in here.jobs.values())
            assert self.queue.work().queued[lane].tokens == tokens
        held = sum(self.queue._limits.held.of(lane) for lane in Lane)
        assert held == sum(self.queue.waiting(lane).bytes for lane in Lane)

    @invariant()
    def no_window_runs_twice_and_none_that_was_taken_is_lost(self) -> None:
        for one, ran in self.ran.items():
            left = [index for pile in one.waiting.piles for index in pile]
            assert sorted(ran + left) == list(range(len(one.plan.windows)))

    def teardown(self) -> None:
        self.queue.close("over")


def _left(waiting: Waiting) -> int:
    return sum(size * len(pile) for size, pile in zip(waiting.sizes, waiting.piles, strict=True))


def _speed(queue: Queue) -> float:
    return queue._pace.seconds_per_token


Accounts.TestCase.settings = settings(deadline=None, max_examples=60, stateful_step_count=30)
TestAccounts = Accounts.TestCase


def test_speed_is_learned_slowly_from_the_rows_that_run() -> None:
    work = queue()
    work.put(job(50, 50), Lane.BULK)
    row = work.next_row()
    assert row is not None
    work.done(row, seconds=0.1)
    assert _speed(work) == pytest.approx(0.81 * INITIAL_SECONDS_PER_TOKEN + 0.00019)


def test_what_could_not_be_answered_in_time_is_refused_though_nothing_waits() -> None:
    work = queue([10.0])
    tokens = int(60 / INITIAL_SECONDS_PER_TOKEN)
    with pytest.raises(Overloaded, match="would need about 61 s for this request") as caught:
        work.put(job(tokens + 4000, deadline=70.0), Lane.BULK)
    assert "has to be answered within 60 s" in str(caught.value)
    assert caught.value.retry_after_s == 60.0
    assert work.waiting(Lane.BULK) == Load()
    work.put(job(tokens - 4000, deadline=70.0), Lane.BULK)
    work.put(job(tokens + 4000), Lane.BULK)


def test_a_speed_that_was_learned_in_a_bad_hour_is_forgotten_when_it_refuses_everything() -> None:
    work = slowed(queue(), 10 * INITIAL_SECONDS_PER_TOKEN)
    large = job(int(60 / INITIAL_SECONDS_PER_TOKEN), deadline=90.0)
    tried = 0
    while tried < 50 and work.waiting(Lane.BULK) == Load():
        tried += 1
        with suppress(Overloaded):
            work.put(large, Lane.BULK)
    assert 1 < tried < 50
    assert _speed(work) >= INITIAL_SECONDS_PER_TOKEN


def test_a_fast_model_is_not_made_slow_by_what_it_refuses() -> None:
    work = slowed(queue(), INITIAL_SECONDS_PER_TOKEN / 1000)
    before = _speed(work)
    with pytest.raises(Overloaded):
        work.put(job(1000, deadline=before), Lane.BULK)
    assert _speed(work) == before


def test_what_comes_after_the_end_is_refused_with_the_first_reason() -> None:
    work = queue()
    work.close("the first reason")
    work.close("another")
    with pytest.raises(DeploymentFailed, match="the first reason"):
        work.put(job(1), Lane.BULK)
    assert work.next_row() is None
    assert work.waiting(Lane.BULK) == Load()


def test_closing_wakes_every_stream_that_waits() -> None:
    work, ended = queue(), threading.Barrier(4)

    def stream() -> None:
        if work.next_row() is None:
            ended.wait(10)

    threads = [threading.Thread(target=stream) for _ in range(3)]
    for thread in threads:
        thread.start()
    work.close("over")
    ended.wait(10)
    for thread in threads:
        thread.join(10)


def test_one_request_wakes_as_many_streams_as_it_has_rows_for() -> None:
    work, together = queue(), threading.Barrier(4)

    def stream() -> None:
        if work.next_row():
            together.wait(10)

    threads = [threading.Thread(target=stream) for _ in range(3)]
    for thread in threads:
        thread.start()
    work.put(job(*[100] * 3), Lane.INTERACTIVE)
    together.wait(10)
    for thread in threads:
        thread.join(10)


def test_a_result_for_an_event_loop_that_has_closed_harms_nobody(
    caplog: pytest.LogCaptureFixture,
) -> None:
    work = queue()
    work.put(job(5), Lane.BULK)
    row = work.next_row()
    assert row is not None
    with caplog.at_level(logging.DEBUG):
        work.done(row, 0.1)
    assert "after its event loop had closed" in caplog.text


def test_a_request_is_answered_once_whatever_comes_later() -> None:
    loop = asyncio.new_event_loop()
    one = job(5, loop=loop)
    resolve([one], DeploymentFailed("first"))
    resolve([one])
    resolve([one], DeploymentFailed("third"))
    loop.run_until_complete(asyncio.wait([one.finished]))
    loop.close()
    assert str(one.finished.exception()) == "first"


def test_queues_of_the_same_limits_share_their_bytes() -> None:
    limits = QueueLimits(interactive_s=1e9, bulk_s=1e9, max_bytes=90)
    one, other = (Queue(name, 100, limits, lambda: 0.0) for name in ("one", "other"))
    one.put(job(5, 5, 5), Lane.BULK)
    other.put(job(5), Lane.BULK)  # an empty lane takes in anything
    with pytest.raises(Overloaded, match="other has"):
        other.put(job(5), Lane.BULK)
    other.put(job(5), Lane.INTERACTIVE)
    other.put(job(5, 5, 5), Lane.INTERACTIVE)  # the lanes are bounded apart
    assert one.next_row()
    other.put(job(5), Lane.BULK)  # what has been taken out waits no more
    other.close("gone")
    assert [limits.held.of(lane) for lane in Lane] == [0, 0]


class Loop(asyncio.SelectorEventLoop):
    """Counts how often somebody else wakes it."""

    woken = 0

    def call_soon_threadsafe(self, *call: Any, **more: Any) -> asyncio.Handle:
        self.woken += 1
        return super().call_soon_threadsafe(*call, **more)


def test_a_row_wakes_each_event_loop_once_for_all_of_its_requests() -> None:
    loops, closed, work = [Loop(), Loop()], Loop(), queue()
    closed.close()
    jobs = [job(5, loop=loop) for loop in [*loops, closed] * 4]
    for one in jobs:
        work.put(one, Lane.INTERACTIVE)
    row = work.next_row()
    assert row is not None
    work.done(row, 0.1)
    for place, loop in enumerate(loops):
        assert loop.woken == 1
        loop.run_until_complete(asyncio.wait([one.finished for one in jobs[place::3]]))
        loop.close()


def test_a_share_that_weighs_more_gets_more_of_a_row() -> None:
    plenty = QueueLimits(interactive_s=1e9, bulk_s=1e9, max_bytes=1 << 60)
    work = Queue("tiny", 120, plenty, lambda: 0.0, {"light": 1.0, "heavy": 3.0}.__getitem__)
    for share in ("light", "heavy"):
        work.put(job(*[10] * 100, share=share), Lane.BULK)
    row = work.next_row()
    assert row is not None
    assert {one.job.waiting.share: one.tokens for one in row} == {"light": 30, "heavy": 90}


def test_a_queue_says_what_waits_and_what_has_run() -> None:
    tiny = queue()
    assert tiny.work().seconds_per_token is None
    abandoned = job(7)
    for one in (job(60, 40), job(30), abandoned):
        tiny.put(one, Lane.BULK)
    tiny.leave(abandoned)
    waiting = tiny.work().queued[Lane.BULK]
    assert (waiting.requests, waiting.tokens) == (2, 130)
    assert waiting.seconds == pytest.approx(130 * INITIAL_SECONDS_PER_TOKEN)
    row = tiny.next_row()
    assert row
    ran = sum(share.tokens for share in row)
    tiny.done(row, 0.1)
    work = tiny.work()
    assert (work.rows, work.tokens, work.row_seconds) == (1, ran, 0.1)
    assert work.queued[Lane.BULK].tokens == 130 - ran
    assert work.seconds_per_token is not None
