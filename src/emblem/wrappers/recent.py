"""Recent: what is known of texts that were asked for lately, within a bound of bytes."""

from collections import OrderedDict
from collections.abc import Sequence

from emblem.core.reuse import Entry
from emblem.types import CacheState

# What an entry takes beyond the bytes of its key and its content: two objects, and its place in an
# ordered dictionary. Measured with CPython 3.11 on 64 bits: see tests/wrappers/test_recent.py.
ENTRY_BYTES = 208

# Entries that were asked for again may take so much of it.
PROVEN_SHARE = 0.8


class Recent:
    """Entries by their keys. Whoever is used least recently goes first.

    One that was never asked for again goes before any that was: a job that embeds a million texts
    once passes through a fifth of the room, and leaves those alone that are asked for every day.
    All caches of a server share one, and so one bound. Used on one event loop.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._fresh: OrderedDict[bytes, Entry] = OrderedDict()
        self._proven: OrderedDict[bytes, Entry] = OrderedDict()
        self._bytes = self._proven_bytes = 0
        self._hits = self._misses = 0

    @property
    def held_bytes(self) -> int:
        """What all entries take, with everything that they cost."""
        return self._bytes

    def report(self) -> CacheState:
        """Say how full it is, and how often it had what was looked for."""
        count = len(self._fresh) + len(self._proven)
        return CacheState(count, self._bytes, self.max_bytes, self._hits, self._misses)

    def find(self, keys: Sequence[bytes]) -> list[Entry | None]:
        """Give the entry of each key, None where there is none."""
        found: list[Entry | None] = []
        for key in keys:
            if (entry := self._proven.get(key)) is not None:
                self._proven.move_to_end(key)
            elif (entry := self._fresh.pop(key, None)) is not None:
                self._prove(key, entry)
            found.append(entry)
        missing = found.count(None)
        self._misses += missing
        if hits := len(found) - missing:
            self._hits += hits
            self._bound_proven()
        return found

    def look(self, keys: Sequence[bytes]) -> list[Entry | None]:
        """Give the entry of each key as ``find`` does, and leave no trace of having looked."""
        return [self._proven.get(key) or self._fresh.get(key) for key in keys]

    def put(self, keys: Sequence[bytes], entries: Sequence[Entry]) -> None:
        """Keep the entries, in place of those that the keys had. What can never fit is not kept."""
        for key, entry in zip(keys, entries, strict=True):
            proven = key in self._proven
            if proven or key in self._fresh:
                self._drop(key)
            if (size := cost(key, entry)) > self.max_bytes:
                continue
            self._bytes += size
            if proven:
                self._prove(key, entry)
            else:
                self._fresh[key] = entry
        self._bound_proven()
        while self._bytes > self.max_bytes:
            if self._fresh:
                self._bytes -= cost(*self._fresh.popitem(last=False))
            else:
                self._drop(next(iter(self._proven)))

    def _prove(self, key: bytes, entry: Entry) -> None:
        self._proven[key] = entry
        self._proven_bytes += cost(key, entry)

    def _bound_proven(self) -> None:
        """Have the proven ones that were used least recently go next, where they are too many."""
        while self._proven_bytes > PROVEN_SHARE * self.max_bytes:
            key, entry = self._proven.popitem(last=False)
            self._proven_bytes -= cost(key, entry)
            self._fresh[key] = entry

    def _drop(self, key: bytes) -> None:
        if (entry := self._fresh.pop(key, None)) is None:
            entry = self._proven.pop(key)
            self._proven_bytes -= cost(key, entry)
        self._bytes -= cost(key, entry)


def cost(key: bytes, entry: Entry) -> int:
    """Give the bytes that an entry takes, with everything that it costs."""
    return len(key) + len(entry) + ENTRY_BYTES
