"""GET /v1/usage: what a key itself has used, and what is left of its limits."""

import asyncio
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Protocol

import msgspec

from emblem.accounts import Account, By, Period, Standing, Sum, Unit, Window
from emblem.core.limits import window as window_number
from emblem.core.limits import window_start_ms
from emblem.core.refusals import money
from emblem.ports import UsageBook

FRESH_S = 1.0  # for so long a key's sums are given again, so that asking costs the database little


class Peeking(Protocol):
    """Says how limits stand, and charges nothing."""

    async def peek(self, account: Account) -> Sequence[Standing]:
        """Say how each limit stands now, the key's before its team's."""
        ...


class Used(msgspec.Struct, frozen=True):
    """What was used. ``cost`` is a decimal number as text, in the currency of the prices."""

    requests: int
    errors: int
    inputs: int
    tokens: int
    cache_hits: int
    cost: str


class UsedOfModel(Used, frozen=True):
    """What was used of one model."""

    model: str


class Spell(Used, frozen=True):
    """What was used since a day or a month began, in all and of each model."""

    since: str
    models: list[UsedOfModel]


class LimitItem(msgspec.Struct, frozen=True):
    """One limit: of the key or of its team, of requests, tokens or cost, a minute, day or month.

    Amounts of cost are decimal numbers as text. ``reset_ms`` is how long until none of it is used.
    """

    of: str
    unit: str
    period: str
    limit: int | str
    used: int | str
    remaining: int | str
    reset_ms: int


class OwnUsageItem(msgspec.Struct, frozen=True):
    """The answer. Days and months are those of UTC."""

    object: str
    key: str
    team: str | None
    today: Spell
    this_month: Spell
    limits: list[LimitItem]


class OwnUsage:
    """Answers a key that asks for its own usage. Used on one event loop.

    What was recorded within the last second may not be in the sums; limits are as they stand.
    """

    def __init__(
        self, book: UsageBook, limiter: Peeking, clock: Callable[[], float] = time.time
    ) -> None:
        self._book = book
        self._limiter = limiter
        self._clock = clock
        self._asked: dict[str, tuple[float, asyncio.Task[tuple[Spell, Spell]]]] = {}

    async def answer(self, account: Account) -> bytes:
        """Give the body of the answer. Raises LedgerUnavailable or LimitsUnavailable."""
        today, month = await self._sums(account.key)
        standings = await self._limiter.peek(account)
        return msgspec.json.encode(
            OwnUsageItem(
                object="usage",
                key=account.key,
                team=account.team,
                today=today,
                this_month=month,
                limits=[_limit(one) for one in standings],
            )
        )

    async def _sums(self, key: str) -> tuple[Spell, Spell]:
        """Give a key's sums, read at most once within FRESH_S however many ask."""
        now = self._clock()
        at, task = self._asked.get(key, (0.0, None))
        if task is None or not 0 <= now - at < FRESH_S:
            # Keys come and go: whatever is no longer fresh is forgotten.
            self._asked = {
                name: one for name, one in self._asked.items() if 0 <= now - one[0] < FRESH_S
            }
            task = asyncio.ensure_future(asyncio.to_thread(self._read, key, now))
            task.add_done_callback(_seen)
            self._asked[key] = now, task
        return await asyncio.shield(task)  # whoever leaves does not take it from the others

    def _read(self, key: str, now: float) -> tuple[Spell, Spell]:
        return self._since(Period.DAY, key, now), self._since(Period.MONTH, key, now)

    def _since(self, period: Period, key: str, now: float) -> Spell:
        began = window_start_ms(period, window_number(period, int(1000 * now))) / 1000
        window = Window(since=began, key=key)
        return _spell(began, self._book.sums(window, (By.MODEL,), percentiles=False))


def _seen(task: asyncio.Task[tuple[Spell, Spell]]) -> None:
    """Look at how a reading ended, for when all who asked have left."""
    if not task.cancelled():
        task.exception()


def _spell(since: float, sums: Sequence[Sum]) -> Spell:
    total = Sum(
        requests=sum(one.requests for one in sums),
        errors=sum(one.errors for one in sums),
        inputs=sum(one.inputs for one in sums),
        tokens=sum(one.tokens for one in sums),
        hits=sum(one.hits for one in sums),
        cost=sum(one.cost for one in sums),
    )
    models = [UsedOfModel(*_numbers(one), model=one.group[0]) for one in sums]
    began = datetime.fromtimestamp(since, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return Spell(*_numbers(total), since=began, models=models)


def _numbers(one: Sum) -> tuple[int, int, int, int, int, str]:
    return one.requests, one.errors, one.inputs, one.tokens, one.hits, money(one.cost)


def _limit(one: Standing) -> LimitItem:
    limit = one.limit

    def shown(number: int) -> int | str:
        return money(number) if limit.unit is Unit.COST else number

    return LimitItem(
        of="team" if limit.team else "key",
        unit=limit.unit.value,
        period=limit.period.value,
        limit=shown(limit.most),
        used=shown(one.used),
        remaining=shown(one.remaining),
        reset_ms=one.reset_ms,
    )
