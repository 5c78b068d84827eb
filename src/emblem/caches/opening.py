"""Which tiers a server has, by its settings."""

from pathlib import Path

from emblem.caches.disk import DiskShelf
from emblem.caches.redis import RedisShelf
from emblem.caches.tier import Tier
from emblem.caches.tiers import Tiers

FILE_NAME = "cache.sqlite"


def open_tiers(
    home: Path,
    disk_bytes: int,
    redis: str,
    *,
    redis_ttl_s: int,
    redis_bytes: int,
    timeout_s: float,
) -> Tiers | None:
    """Give the tiers that are wanted: on disk, where ``disk_bytes`` is not 0, then in Redis.

    ``redis`` is its address, "" where there is none. None where there is no tier at all. Nothing is
    opened yet. Raises ConfigError or MissingExtra.
    """
    tiers = []
    if disk_bytes:
        tiers.append(Tier(DiskShelf(home / FILE_NAME, disk_bytes), timeout_s=timeout_s))
    if redis:
        shelf = RedisShelf(redis, ttl_s=redis_ttl_s, max_bytes=redis_bytes)
        tiers.append(Tier(shelf, timeout_s=timeout_s))
    return Tiers(tiers) if tiers else None
