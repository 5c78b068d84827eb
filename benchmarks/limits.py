"""What it costs to charge a request, in microseconds: in memory, and in a real Redis.

    .venv/bin/python benchmarks/limits.py

Redis is started here, on a socket of this machine: over a network its round trip comes on top. Each
figure is the best of five rounds; of Redis both the time that one charge takes and, with 32 at
once, the time that each takes from this process, which is what a busy server notices.
"""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from emblem.accounts import Account, Charge, Quota
from emblem.limits.memory import MemoryLimiter
from emblem.limits.redis import RedisLimiter
from emblem.ports import Limiter
from redis_server import redis_server

PLENTY = 10**9
MINUTE = Quota(PLENTY, PLENTY)
EVERY = Quota(PLENTY, PLENTY, PLENTY, PLENTY)
ACCOUNTS = {
    "no limit": Account("key_1"),
    "requests and tokens a minute": Account("key_2", MINUTE),
    "all limits of a key": Account("key_3", EVERY),
    "all limits of a key and its team": Account("key_4", EVERY, "team_1", EVERY),
}
CHARGE = Charge(1, 20, 3)
ROUNDS = 5
AT_ONCE = 32


async def best(times: int, work: Callable[[], Awaitable[object]]) -> float:
    """Give the microseconds that a piece of work takes in the best of several rounds."""
    rounds = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        for _ in range(times):
            await work()
        rounds.append((time.perf_counter() - started) / times * 1e6)
    return min(rounds)


async def measure(name: str, limiter: Limiter, times: int, *, at_once: bool) -> None:
    """Print a line for each kind of account."""
    for kind, account in ACCOUNTS.items():

        async def one(account: Account = account) -> None:
            await limiter.charge(account, CHARGE)

        async def many() -> None:
            await asyncio.gather(*(one() for _ in range(AT_ONCE)))

        await one()
        line = f"{name:8} {kind:34} {await best(times, one):8.1f} us"
        if at_once:
            line += f", {await best(times // AT_ONCE, many) / AT_ONCE:6.1f} us of {AT_ONCE} at once"
        print(line)
    await limiter.aclose()


def main() -> None:
    """Measure both."""
    asyncio.run(measure("memory", MemoryLimiter(), 20_000, at_once=False))
    with redis_server() as server:
        asyncio.run(measure("redis", RedisLimiter(server.url), 2_000, at_once=True))


if __name__ == "__main__":
    main()
