"""Who is calling: keys checked from memory, at the speed of a dictionary."""

import hmac
import threading
import time
from collections.abc import Callable, Iterable
from math import inf

from emblem.ledger.secret import digest
from emblem.ports import Key, Ledger

MAX_LOOKUPS = 8  # wrong keys that may ask the ledger between two readings of it


class KeyRing:
    """Says whose key a secret is. Threads may share one.

    The ledger's live keys are held in memory and read again by the first check that finds them
    older than ``refresh_s``; so a key that another process revoked stops working within that time.
    A key not held is looked for in the ledger at once, but only ``MAX_LOOKUPS`` times between two
    readings: whoever floods the server with wrong keys costs no more than that.

    ``extra`` holds SHA-256 digests of keys that are always accepted, such as the one in the
    environment. ``now`` is a monotonic clock in seconds. ``check`` raises what the ledger raises.
    """

    def __init__(
        self,
        ledger: Ledger,
        extra: Iterable[bytes] = (),
        now: Callable[[], float] = time.monotonic,
        refresh_s: float = 0.5,
    ) -> None:
        self._ledger = ledger
        self._extra = {one: _from_environment(one) for one in extra}
        self._now = now
        self._refresh_s = refresh_s
        self._lock = threading.Lock()
        self._held: dict[bytes, Key] = {}  # replaced, never changed: read without the lock
        self._read_at = -inf
        self._lookups_left = MAX_LOOKUPS

    def check(self, secret: str) -> Key | None:
        """Give the live key that a secret is, or None."""
        given = digest(secret)
        key = self._extra.get(given) or self._current().get(given) or self._look_up(given)
        # The dictionary has compared them already; this says so in constant time.
        return key if key is not None and hmac.compare_digest(key.digest, given) else None

    def _current(self) -> dict[bytes, Key]:
        if self._is_stale():
            with self._lock:
                if self._is_stale():
                    self._read()
        return self._held

    def _is_stale(self) -> bool:
        return self._now() - self._read_at >= self._refresh_s

    def _read(self) -> None:
        started = self._now()
        keys = self._ledger.keys()
        self._held = {key.digest: key for key in keys if key.revoked is None}
        self._read_at = started
        self._lookups_left = MAX_LOOKUPS

    def _look_up(self, given: bytes) -> Key | None:
        with self._lock:
            if self._lookups_left == 0:
                return None
            self._lookups_left -= 1
            key = self._ledger.find(given)
            if key is None or key.revoked is not None:
                return None
            self._held = {**self._held, given: key}
            return key


def _from_environment(digest: bytes) -> Key:
    name = "EMBLEM_API_KEY"
    return Key(id=name, name=name, digest=digest, last_four="", created=0.0)
