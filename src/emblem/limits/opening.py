"""Which limiter a server has, by its settings."""

from emblem.limits.memory import MemoryLimiter
from emblem.limits.outage import OutageLimiter
from emblem.limits.redis import RedisLimiter


def open_limiter(redis: str, *, allow_when_away: bool = False) -> MemoryLimiter | OutageLimiter:
    """Give a limiter that counts in Redis at this address, or in this process where it is "".

    With ``allow_when_away`` this process counts alone while Redis does not answer; otherwise
    requests with limits are refused. Raises ConfigError or MissingExtra.
    """
    if not redis:
        return MemoryLimiter()
    limiter = RedisLimiter(redis)
    return OutageLimiter(limiter, MemoryLimiter() if allow_when_away else None, limiter.where)
