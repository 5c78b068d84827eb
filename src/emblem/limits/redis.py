"""Limits counted in Redis, exactly, for any number of processes."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from emblem.accounts import (
    Account,
    Charge,
    Grant,
    Held,
    Limit,
    Period,
    Spent,
    Standing,
    State,
    Unit,
)
from emblem.core.limits import FRESH, MAX_PER_WINDOW, amount, limits_of, refuse, standings
from emblem.core.refusals import refused
from emblem.errors import LimitsUnavailable
from emblem.limits.script import MAX_UNDER_WAY, Script
from emblem.limits.telling import Forgotten
from emblem.redis_pool import Wanted, pool_of

if TYPE_CHECKING:
    from redis.asyncio import BlockingConnectionPool, Redis

log = logging.getLogger(__name__)

REDIS = "redis"
TIMEOUT_S = 0.5  # for a connection, and for an answer
SCRIPT = Path(__file__).with_name("limits.lua")

# All hashes have this tag, so that those of a key and its team are in one slot of a cluster.
TAG = "{emblem}"
TOLD = f"{TAG}:told"  # there as long as Redis has not forgotten what it was told
TELLING_MS = 60_000  # in which what was used is told to it
ALLOWED, FORGOTTEN = 1, 2  # what the script says, besides 0 for refused
TOGETHER = 100  # rows that are told at a time
WANTED = Wanted(
    "counting limits in Redis",
    "redis must be an address such as redis://:PASSWORD@HOST:6379/0, rediss://… or unix:///PATH",
    MAX_UNDER_WAY + 1,  # one to say what was used
    TIMEOUT_S,
    TIMEOUT_S,
)


class RedisLimiter:
    """Counts in Redis 5 or later, by its clock. Used on one event loop.

    Each call is one round trip at most, over all limits of a key and its team. ``url`` is
    ``redis://``, ``rediss://`` or ``unix://``, and is never part of a message; ``now_ms`` replaces
    the server's clock. Once ``seed`` was called, limits of a day or a month are charged only while
    Redis remembers that: otherwise Forgotten is raised until it is called again. Raises ConfigError for an address that is none, and MissingExtra. Nothing is connected
    before it is needed; every method raises LimitsUnavailable where there is no answer in time.
    """

    def __init__(self, url: str, now_ms: Callable[[], int] | None = None) -> None:
        self._pool = pool_of(url, WANTED)
        self._client = _client(self._pool)
        self._run = Script(self._client, SCRIPT.read_text("utf-8"))
        self._now_ms = now_ms
        self._told = False
        self._refunds: set[asyncio.Task[None]] = set()

    @property
    def where(self) -> str:
        """Say which Redis this is, without the password."""
        about = self._pool.connection_kwargs
        if "path" in about:
            return str(about["path"])
        return f"{about.get('host', 'localhost')}:{about.get('port', 6379)}"

    async def charge(self, account: Account, charge: Charge) -> Grant:
        """Charge every limit of a key and its team, or none and raise LimitReached.

        Where this is cancelled nothing stays charged, unless no answer comes.
        """
        limits = limits_of(account)
        if not limits:
            return Grant(account, charge, 0, counted_by=REDIS)
        amounts = [amount(limit, charge) for limit in limits]

        def give_back(numbers: list[int]) -> None:
            if numbers[0] == ALLOWED:
                _, now_ms, states = _read(numbers)
                self._give_back(Grant(account, charge, now_ms, (), states, REDIS))

        said, now_ms, states = await self._ask("charge", limits, amounts, unwanted=give_back)
        if said != ALLOWED:
            standing, refusal = refuse(limits, states, charge, now_ms)
            raise refused(refusal, standing, now_ms)
        standing = standings(limits, states, now_ms)
        return Grant(account, charge, now_ms, standing, standing, REDIS)

    async def refund(self, grant: Grant) -> None:
        """Take a charge back, once."""
        limits = limits_of(grant.account)
        if limits:
            amounts = [amount(limit, grant.charge) for limit in limits]
            await self._ask("refund", limits, amounts, grant.states)

    async def peek(self, account: Account) -> tuple[Standing, ...]:
        """Say how each limit stands now."""
        limits = limits_of(account)
        if not limits:
            return ()
        _, now_ms, states = await self._ask("peek", limits, [0] * len(limits))
        return standings(limits, states, now_ms)

    async def seed(self, spent: Sequence[Spent], *, now: float) -> None:
        """Count at least this much for the day and the month of ``now``."""
        telling = f"{TAG}:telling:{uuid4().hex}"
        with _translated():
            await self._client.set(telling, 1, px=TELLING_MS)
        at = State(0, round(now * 1000))
        for start in range(0, len(spent), TOGETHER):
            await asyncio.gather(*(self._tell(one, at) for one in spent[start : start + TOGETHER]))
        # A Redis that was emptied meanwhile lacks a part of it, and this key too: that fails.
        with _translated():
            await self._client.rename(telling, TOLD)
            await self._client.persist(TOLD)
        self._told = True

    async def _tell(self, one: Spent, at: State) -> None:
        limits = (
            Limit(one.id, one.team, Unit.TOKENS, Period.DAY, MAX_PER_WINDOW),
            Limit(one.id, one.team, Unit.COST, Period.MONTH, MAX_PER_WINDOW),
        )
        used = [min(n, MAX_PER_WINDOW) for n in (one.tokens_today, one.cost_this_month)]
        if any(used):
            await self._ask("seed", limits, used, [at, at])

    async def aclose(self) -> None:
        """Close the connections, once what is given back is."""
        await self._run.aclose()
        while self._refunds:
            await asyncio.gather(*self._refunds)
        await self._pool.disconnect()

    def _give_back(self, grant: Grant) -> None:
        """Take back a charge that nobody waits for any more."""

        async def refund() -> None:
            try:
                await self.refund(grant)
            except LimitsUnavailable:
                log.warning("a charge was not given back: Redis did not answer")

        task = asyncio.create_task(refund())
        self._refunds.add(task)
        task.add_done_callback(self._refunds.discard)

    async def _ask(
        self,
        what: str,
        limits: Sequence[Limit],
        amounts: Iterable[int],
        then: Sequence[Held] = (),
        unwanted: Callable[[list[int]], None] | None = None,
    ) -> tuple[int, int, tuple[State, ...]]:
        """Run the script: whether that was allowed, the time, and how the limits are held now."""
        hashes = list(dict.fromkeys(_hash(one) for one in limits))
        rows = [
            f"{hashes.index(_hash(one)) + 1} {one.unit} {one.period} {one.most} {n} {at.held} {at.at}"
            for one, n, at in zip(limits, amounts, then or [FRESH] * len(limits), strict=True)
        ]
        now_ms = "" if self._now_ms is None else str(self._now_ms())
        # One text rather than seven arguments for each limit: the client takes its time over each.
        calendar = any(one.period is not Period.MINUTE for one in limits)
        told = "told" if self._told and calendar and what in ("charge", "peek") else ""
        arguments = [what, told, now_ms, " ".join(rows)]
        answer = await self._answer([*hashes, TOLD], arguments, unwanted)
        if answer[0] == FORGOTTEN:
            raise Forgotten
        return _read(answer)

    async def _answer(
        self,
        hashes: list[str],
        arguments: list[Any],
        unwanted: Callable[[list[int]], None] | None = None,
    ) -> list[int]:
        with _translated():
            return await self._run(hashes, arguments, unwanted)


@contextmanager
def _translated() -> Iterator[None]:
    """Raise LimitsUnavailable for whatever the client raises."""
    from redis.exceptions import RedisError

    try:
        yield
    except (RedisError, OSError, TimeoutError) as error:
        raise LimitsUnavailable from error


def _read(answer: list[int]) -> tuple[int, int, tuple[State, ...]]:
    said, at_ms, *numbers = answer
    states = tuple(State(*pair) for pair in zip(numbers[::2], numbers[1::2], strict=True))
    return said, at_ms, states


def _hash(limit: Limit) -> str:
    return f"{TAG}:{'team' if limit.team else 'key'}:{limit.id}"


def _client(pool: "BlockingConnectionPool") -> "Redis":
    from redis.asyncio import Redis

    return Redis(connection_pool=pool)
