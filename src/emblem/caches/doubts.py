"""How often vectors of a space were found to be wrong, as all servers know it that share a Redis."""

import hashlib
import threading
import time
from collections.abc import Callable

from emblem.errors import ModelError
from emblem.redis_pool import Wanted, client_of
from emblem.space import Space

KEY = "emblem:cache:1:doubts:"
ANSWER_S = 1.0  # for a connection, and for an answer
AWAY_S = (
    5.0  # that it is not asked again in which it did not answer: each server asks for each space
)
CONNECTIONS = 2
MAX_WHY = 200  # characters of what went wrong
WANTED = Wanted(
    "sharing vectors in Redis",
    "cache_redis must be an address such as redis://:PASSWORD@HOST:6379/1, rediss://… or "
    'unix:///PATH, or "limits" for the Redis that counts limits',
    CONNECTIONS,
    ANSWER_S,
    ANSWER_S,
)

# KEYS[1] is the space's number. Neither ever lowers it.
_AT_LEAST = """
local now, least = tonumber(redis.call('GET', KEYS[1]) or '0'), tonumber(ARGV[1])
if now < least then redis.call('SET', KEYS[1], ARGV[1]); return least end
return now
"""
_MORE = """
local now = math.max(tonumber(redis.call('GET', KEYS[1]) or '0'), tonumber(ARGV[1])) + 1
redis.call('SET', KEYS[1], string.format('%d', now))
return now
"""


class RedisDoubts:
    """Counts in Redis, beside the entries that it is about. Any thread may ask; it is at hand where vectors are shared.

    Nothing is connected before it is needed. ``url`` is never part of a message; ``clock`` is the
    monotonic clock, in seconds. Raises ConfigError for an address that is none, and MissingExtra.
    """

    def __init__(self, url: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._client = client_of(url, WANTED)
        self._clock = clock
        self._away_until = 0.0
        self._why = ""
        self._lock = threading.Lock()

    def at_least(self, space: Space, least: int) -> int:
        """Have it be no less than that, and say how often it is now. Raises ModelError."""
        return self._asked(_AT_LEAST, space, least)

    def doubt(self, space: Space, known: int) -> int:
        """Have it be once more than it was and than ``known``, and say how often it is now.

        Raises ModelError.
        """
        return self._asked(_MORE, space, known)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()
        self._client.connection_pool.disconnect()

    def _asked(self, script: str, space: Space, number: int) -> int:
        from redis.exceptions import RedisError

        with self._lock:
            if self._clock() < self._away_until:
                raise ModelError(self._why)
        key = KEY + hashlib.sha256(space.identity.encode()).hexdigest()
        try:
            return int(self._client.eval(script, 1, key, str(number)))
        except (RedisError, OSError, TimeoutError, ValueError) as error:
            why = " ".join(f"{type(error).__name__}: {error}".split())[:MAX_WHY]
            with self._lock:
                self._away_until = self._clock() + AWAY_S
                self._why = (
                    f"the Redis of cache_redis does not say how often {space} was wrong ({why})"
                )
            raise ModelError(self._why) from None
