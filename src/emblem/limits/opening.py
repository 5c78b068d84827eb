"""Which limiter a server has, by its settings."""

from emblem.limits.memory import MemoryLimiter
from emblem.limits.outage import OutageLimiter
from emblem.limits.redis import RedisLimiter
from emblem.limits.telling import Spending, nothing


def open_limiter(
    redis: str, *, allow_when_away: bool = False, spent: Spending = nothing
) -> MemoryLimiter | OutageLimiter:
    """Give a limiter that counts in Redis at this address, or in this process where it is "".

    With ``allow_when_away`` this process counts alone while Redis does not answer; otherwise
    requests with limits are refused. ``spent`` tells what the ledger has whenever Redis has lost it
    or something else counts instead. Raises ConfigError or MissingExtra.
    """
    if not redis:
        return MemoryLimiter()
    limiter = RedisLimiter(redis)
    stand_in = MemoryLimiter() if allow_when_away else None
    return OutageLimiter(limiter, stand_in, limiter.where, spent=spent)
