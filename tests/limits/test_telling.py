"""What the ledger has is told to what counts limits: now and then, and when something changes."""

import asyncio
import time
from pathlib import Path

from counting import account, tokens
from emblem.accounting import Accounting
from emblem.accounts import Account, Quota, Spent, Terms, Use
from emblem.config import Settings
from emblem.errors import LedgerUnavailable
from emblem.limits.memory import MemoryLimiter
from emblem.limits.telling import Telling, keep_telling

DAY = account(tokens_per_day=100)


class Books:
    """What a ledger has, and how often it was read; it is away for some of the readings."""

    def __init__(self, away: tuple[int, ...] = ()) -> None:
        self.reads = 0
        self._away = away
        self._read = asyncio.Event()

    async def __call__(self, _: float) -> list[Spent]:
        self.reads += 1
        self._read.set()
        if self.reads in self._away:
            raise LedgerUnavailable("away")
        return [Spent("key_1", False, 10 * self.reads)]

    async def read(self, times: int) -> None:
        while self.reads < times:
            self._read.clear()
            await self._read.wait()


def kept(books: Books, wake: asyncio.Event, every_s: float, soon_s: float, times: int) -> None:
    async def run() -> None:
        tell = Telling(MemoryLimiter(), books)
        task = asyncio.create_task(keep_telling(tell, wake, every_s=every_s, soon_s=soon_s))
        async with asyncio.timeout(10):
            await books.read(times)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await tell.aclose()

    asyncio.run(run())


def test_it_is_told_again_and_again_also_after_a_ledger_that_was_away() -> None:
    kept(Books(away=(2,)), asyncio.Event(), every_s=0.001, soon_s=100.0, times=4)


def test_what_wakes_it_is_told_at_once_and_once_more_soon() -> None:
    wake = asyncio.Event()
    wake.set()
    kept(Books(), wake, every_s=100.0, soon_s=0.001, times=2)


def test_a_limit_that_is_set_later_counts_what_was_used_before(tmp_path: Path) -> None:
    async def run() -> None:
        accounting = Accounting(Settings(home=str(tmp_path)))
        keys = accounting.ledger.keys
        key, _ = keys.issue(Terms("a"), now=time.time())
        limited = Account(key.id, Quota(tokens_per_day=100))
        async with accounting.open():
            accounting.ledger.usage.add([_use(key.id, 70)])
            assert [one.used for one in await accounting.limiter.peek(limited)] == [0]
            keys.change(key.id, lambda _: Terms("a", quota=limited.quota), now=time.time())
            await _until(accounting, limited, 70)
            await accounting.limiter.charge(limited, tokens(30))

    asyncio.run(run())


async def _until(accounting: Accounting, account: Account, used: int) -> None:
    async with asyncio.timeout(10):
        while [one.used for one in await accounting.limiter.peek(account)] != [used]:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def _use(key: str, count: int) -> Use:
    return Use("one", time.time(), key, None, "m", "s", "l", 1, count, 0, 200, 1.0)


def test_a_telling_that_is_under_way_is_waited_for_by_all_and_outlives_who_asked() -> None:
    async def run() -> None:
        books, limiter = Books(), MemoryLimiter()
        tell = Telling(limiter, books)
        asked = [asyncio.create_task(tell()) for _ in range(5)]
        await asyncio.sleep(0)
        asked[0].cancel()
        await asyncio.gather(*asked, return_exceptions=True)
        assert books.reads == 1
        assert [one.used for one in await limiter.peek(DAY)] == [10]

    asyncio.run(run())
