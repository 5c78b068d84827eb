"""A tier never fails a request, never keeps it long, and gives nothing but what was written."""

import asyncio
import logging

import numpy as np
import pytest

from caches.shelves import DictShelf, named, written
from emblem.caches import tier as tier_module
from emblem.caches.ports import Away
from emblem.caches.tier import Tier
from emblem.caches.tiers import Tiers
from emblem.core.seal import names, sealed, unsealed
from wrappers.honest import run, until

WIDTH = 4


def entry(seed: int, width: int = WIDTH) -> bytes:
    return np.random.default_rng(seed).normal(size=width).astype(np.float32).tobytes() + b"\1" * 12


def test_a_seal_opens_for_its_own_text_and_width_only() -> None:
    one, other = named("one", "other")
    content = sealed(one, entry(1))
    assert unsealed(one, content, WIDTH) == entry(1)
    assert unsealed(other, content, WIDTH) is None
    assert unsealed(one, content, WIDTH + 1) is None
    assert unsealed(one, b"", WIDTH) is None
    for place in range(len(content)):
        damaged = bytearray(content)
        damaged[place] ^= 1
        assert unsealed(one, bytes(damaged), WIDTH) is None


def test_no_text_is_in_what_an_entry_is_called() -> None:
    assert [len(one) for one in names([b"a secret text", b"x" * 2000])] == [32, 32]
    assert b"secret" not in names([b"a secret text"])[0]


def test_what_is_put_is_found_once_it_is_written() -> None:
    async def go() -> None:
        shelf = DictShelf()
        tier = Tier(shelf)
        one, two = named("one", "two")
        assert await tier.find([one, two], WIDTH) == [None, None]
        tier.put({one: entry(1)})
        await written(tier)
        assert await tier.find([two, one], WIDTH) == [None, entry(1)]
        seen = tier.report()
        assert (seen.hits, seen.misses, seen.corrupt, seen.away) == (1, 3, 0, False)

    run(go)


def test_a_damaged_entry_is_unknown_and_counted_and_written_anew() -> None:
    async def go() -> None:
        shelf = DictShelf()
        tier = Tier(shelf)
        (one,) = named("one")
        tier.put({one: entry(1)})
        await written(tier)
        shelf.contents[one] = shelf.contents[one][:-1] + b"\7"
        assert await tier.find([one], WIDTH) == [None]
        assert tier.report().corrupt == 1
        tier.put({one: entry(1)})
        await written(tier)
        assert await tier.find([one], WIDTH) == [entry(1)]

    run(go)


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize("error", [Away("it sleeps"), ValueError("a fault of ours")], ids=str)
def test_a_shelf_that_fails_is_left_alone_for_a_while_and_that_is_said_once(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    async def go() -> None:
        shelf, clock = DictShelf(), Clock()
        tier = Tier(shelf, clock=clock)
        (one,) = named("one")
        shelf.error = error
        for _ in range(10):
            assert await tier.find([one], WIDTH) == [None]
        assert len(shelf.asked) == 2
        assert tier.report().away
        clock.now += 1.1
        for _ in range(5):
            await tier.find([one], WIDTH)
        assert len(shelf.asked) == 3
        shelf.error = None
        clock.now += 2.1
        for _ in range(5):
            await tier.find([one], WIDTH)
        assert len(shelf.asked) == 8
        assert not tier.report().away
        assert tier.report().failures == 3

    with caplog.at_level(logging.WARNING, logger="emblem.caches.tier"):
        run(go)
    said = [one.getMessage() for one in caplog.records if one.levelno == logging.WARNING]
    assert len(said) == 2
    assert "dictionary cannot be read" in said[0]
    assert said[1] == "the cache in dictionary can be read again"


def test_a_slow_shelf_is_not_waited_for() -> None:
    async def go() -> None:
        shelf = DictShelf()
        tier = Tier(shelf, timeout_s=0.01)
        shelf.hold = asyncio.Event().wait
        (one,) = named("one")
        answers = await asyncio.gather(*(tier.find([one], WIDTH) for _ in range(20)))
        assert answers == [[None]] * 20
        assert tier.report().failures >= 1
        await tier.aclose()
        assert shelf.closed

    run(go)


def test_who_asks_at_the_same_time_is_asked_for_together() -> None:
    async def go() -> None:
        shelf, gate = DictShelf(), asyncio.Event()
        shelf.hold = gate.wait
        tier = Tier(shelf, timeout_s=20)
        every = named(*map(str, range(30)))
        shelf.contents = {name: sealed(name, entry(n)) for n, name in enumerate(every)}
        asked = [asyncio.create_task(tier.find([one, every[0]], WIDTH)) for one in every]
        await until(lambda: len(shelf.asked) == tier_module.UNDER_WAY)
        gate.set()
        answers = await asyncio.gather(*asked)
        assert answers == [[entry(n), entry(0)] for n in range(30)]
        assert len(shelf.asked) == tier_module.UNDER_WAY + 1

    run(go)


def test_who_leaves_takes_nobody_with_him() -> None:
    async def go() -> None:
        shelf, gate = DictShelf(), asyncio.Event()
        shelf.hold = gate.wait
        tier = Tier(shelf, timeout_s=20)
        (one,) = named("one")
        shelf.contents = {one: sealed(one, entry(1))}
        asked = [asyncio.create_task(tier.find([one], WIDTH)) for _ in range(4)]
        await until(lambda: len(shelf.asked) == tier_module.UNDER_WAY)
        asked[0].cancel()
        asked[3].cancel()
        await asyncio.sleep(0)
        gate.set()
        assert await asked[1] == await asked[2] == [entry(1)]

    run(go)


def test_what_cannot_be_written_is_dropped_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    async def go() -> None:
        shelf = DictShelf()
        tier = Tier(shelf)
        shelf.error = Away("it is full")
        for n in range(5):
            tier.put({named(str(n))[0]: entry(n)})
            await written(tier)
        assert len(shelf.puts) == 2
        assert tier.report().dropped == 5
        monkeypatch.setattr(tier_module, "MAX_QUEUED_BYTES", 100)
        small = Tier(DictShelf())
        small.put({name: entry(n) for n, name in enumerate(named(*map(str, range(9))))})
        await written(small)
        assert small.report().dropped == 6

    run(go)


def test_closing_writes_what_waits() -> None:
    async def go() -> None:
        shelf = DictShelf()
        tier = Tier(shelf)
        every = {name: entry(n) for n, name in enumerate(named(*map(str, range(600))))}
        tier.put(every)
        await tier.aclose()
        assert len(shelf.contents) == 600
        assert shelf.closed
        tier.put(every)
        assert await tier.find([*every], WIDTH) == [None] * 600
        assert len(asyncio.all_tasks()) == 1

    run(go)


def test_what_a_farther_tier_knows_is_kept_in_the_nearer_ones() -> None:
    async def go() -> None:
        near, far = DictShelf(), DictShelf()
        tiers = Tiers([Tier(near), Tier(far)])
        tiers.put([b"a", b"b"], [entry(1), entry(2)])
        await written(tiers)
        assert len(near.contents) == len(far.contents) == 2
        near.contents.clear()
        assert await tiers.find([b"b", b"c", b"b", b"a"], WIDTH) == [
            *(entry(2), None, entry(2)),
            entry(1),
        ]
        await written(tiers)
        assert set(near.contents) == set(names([b"a", b"b"]))
        far.asked.clear()
        assert await tiers.find([b"a", b"b"], WIDTH) == [entry(1), entry(2)]
        assert not far.asked
        assert [one.name for one in tiers.report()] == ["dictionary", "dictionary"]
        await tiers.aclose()
        assert near.closed
        assert far.closed

    run(go)
