"""Random requests of fifty keys in ten teams, and what passed.

``python limited_traffic.py ADDRESS SEED REQUESTS`` says when it is ready, waits for a line, asks the
Redis there and prints what passed as JSON: [key, team, requests, tokens, milliseconds].
"""

import asyncio
import json
import random
import sys

from emblem.accounts import Account, Charge, Quota
from emblem.errors import LimitReached
from emblem.limits.redis import RedisLimiter
from emblem.ports import Limiter

KEYS, TEAMS = 50, 10
CONCURRENT = 16

Passed = tuple[str, str | None, int, int, int]


def accounts() -> list[Account]:
    """Give keys with limits of all kinds; every fifth is limited in its requests alone."""
    chance = random.Random(1)
    made = []
    for number in range(KEYS):
        team = number % TEAMS
        if number % 5 == 0:
            made.append(Account(f"key_{number}", Quota(requests_per_minute=20 + number)))
            continue
        own = Quota(chance.randint(10, 90), chance.randint(500, 2000), chance.randint(900, 3000))
        teams = Quota(100 + 10 * team, 4000 + 100 * team, 9000)
        made.append(Account(f"key_{number}", own, f"team_{team}", teams))
    return made


async def drive(limiter: Limiter, seed: int, requests: int) -> list[Passed]:
    """Ask for random amounts for random keys, many at once, and give what passed."""
    chance = random.Random(seed)
    keys = accounts()
    passed: list[Passed] = []

    async def client() -> None:
        for _ in range(requests // CONCURRENT):
            account = chance.choice(keys)
            charge = Charge(1, int(10 ** chance.uniform(0, 2.8)))
            try:
                grant = await limiter.charge(account, charge)
            except LimitReached:
                continue
            if chance.random() < 0.1:  # it ended in 5xx
                await limiter.refund(grant)
                continue
            passed.append((account.key, account.team, 1, charge.tokens, grant.at_ms))

    await asyncio.gather(*(client() for _ in range(CONCURRENT)))
    return passed


async def main() -> None:
    """Drive the Redis that is named."""
    url, seed, requests = sys.argv[1:]
    limiter = RedisLimiter(url)
    print("ready", flush=True)
    sys.stdin.readline()
    print(json.dumps(await drive(limiter, int(seed), int(requests))))
    await limiter.aclose()


if __name__ == "__main__":
    asyncio.run(main())
