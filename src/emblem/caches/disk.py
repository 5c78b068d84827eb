"""Entries in a SQLite file: they outlive the process, and all processes of a machine share them."""

import asyncio
import json
import os
import sqlite3
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from filelock import FileLock, Timeout

from emblem.caches.ports import Away

T = TypeVar("T")

VERSION = 1  # of the table; a file with another is begun anew
PAGE_BYTES = 16_384  # holds ten vectors of 384 numbers, two of 1,536, one of 3,072
JOURNAL_PAGES = 256  # that are written beside the file before they go into it
JOURNAL_BYTES = 2 * JOURNAL_PAGES * PAGE_BYTES
BUSY_S = 2.0  # how long a writer waits for that of another process
LOCK_S = 2.0  # how long a file is waited for that another process makes
ROWS_AT_ONCE = 256  # that make room
TURNS = 64  # of making room for one batch; the next goes on with it
MAX_STALE = 4096

# SQLITE_ERROR is that of words which do not fit the tables there are, and the words are always these.
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR)
_SCHEMA = (
    "CREATE TABLE entries (id INTEGER PRIMARY KEY, key INTEGER NOT NULL UNIQUE, "
    "content BLOB NOT NULL)"
)
_GET = "SELECT key, id, content FROM entries WHERE key IN (SELECT value FROM json_each(?))"
_MIDDLE = "SELECT ((SELECT min(id) FROM entries) + (SELECT max(id) FROM entries)) / 2"
_PUT = "INSERT OR REPLACE INTO entries (key, content) VALUES (?, ?)"
_RENEW = "UPDATE entries SET id = (SELECT max(id) + 1 FROM entries) WHERE key = ?"
_DROP = "DELETE FROM entries WHERE id IN (SELECT id FROM entries ORDER BY id LIMIT ?)"
_PRAGMAS = (
    f"PRAGMA page_size = {PAGE_BYTES}",
    "PRAGMA auto_vacuum = INCREMENTAL",
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = NORMAL",
    f"PRAGMA wal_autocheckpoint = {JOURNAL_PAGES}",
    f"PRAGMA journal_size_limit = {JOURNAL_BYTES // 2}",
)


class DiskShelf:
    """Keeps contents in ``file`` and its journal, of about ``max_bytes`` together.

    What was put there longest ago goes first; what is asked for when it has become one of the older
    half counts as put anew. The file is made when it is first needed, for its owner alone; one that
    is damaged is thrown away, since all that it has can be computed again. Killing a process at any
    time leaves it whole. Two threads work on it, one for each direction.
    """

    name = "disk"

    def __init__(self, file: Path, max_bytes: int) -> None:
        self._file = file
        self._room = max(max_bytes - JOURNAL_BYTES, max_bytes // 2)
        self._reading = ThreadPoolExecutor(1, "emblem-cache-reads")
        self._writing = ThreadPoolExecutor(1, "emblem-cache-writes")
        self._opened: dict[ThreadPoolExecutor, tuple[sqlite3.Connection, int]] = {}
        self._stale: deque[int] = deque(maxlen=MAX_STALE)  # to be renewed with the next batch

    async def get(self, names: Sequence[bytes]) -> dict[bytes, bytes]:
        """Give what is there, of one state of the file."""
        keys = {_key(name): name for name in names}
        return await self._do(self._reading, lambda database: self._get(database, keys))

    async def put(self, contents: Mapping[bytes, bytes]) -> None:
        """Write all in one transaction, and make room for them."""
        rows = [(_key(name), content) for name, content in contents.items()]
        await self._do(self._writing, lambda database: self._put(database, rows))

    async def aclose(self) -> None:
        """Close the file once what is under way is done."""
        for thread in (self._writing, self._reading):
            await asyncio.wrap_future(thread.submit(self._close, thread))
            thread.shutdown(wait=False)

    async def _do(self, thread: ThreadPoolExecutor, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            done = thread.submit(self._done, thread, work)
        except RuntimeError:
            raise Away("it is closed") from None
        return await asyncio.wrap_future(done)

    # -- in one of the two threads ----------------------------------------------------------------

    def _done(self, thread: ThreadPoolExecutor, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            return work(self._database(thread))
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorcode & 0xFF in _DAMAGED:
                self._discard(thread)
            raise Away.because(error) from None
        except (sqlite3.Error, OSError, Timeout) as error:
            raise Away.because(error) from None

    def _database(self, thread: ThreadPoolExecutor) -> sqlite3.Connection:
        """Give the thread's connection to the file that is there now."""
        if (opened := self._opened.get(thread)) is not None:
            database, inode = opened
            if inode == self._inode():
                return database
            self._close(thread)  # another process has begun it anew
        with self._locked():
            if not self._file.exists():
                # What is left beside a removed file belongs to that: SQLite would cut the part that
                # others have in their memory, and end their process.
                self._unlink()
                os.close(os.open(self._file, os.O_CREAT | os.O_WRONLY, 0o600))
            database = self._connected()
        self._opened[thread] = database, self._inode()
        return database

    def _connected(self) -> sqlite3.Connection:
        """Open the file, and make its table where it has none."""
        database = sqlite3.connect(self._file, timeout=BUSY_S, isolation_level=None)
        try:
            for pragma in _PRAGMAS:
                database.execute(pragma)
            (version,) = database.execute("PRAGMA user_version").fetchone()
            if version not in (0, VERSION):
                database.close()
                self._unlink()
                return self._connected()
            if version == 0:  # both or nothing, however this ends
                database.execute("BEGIN IMMEDIATE")
                database.execute(_SCHEMA)
                database.execute(f"PRAGMA user_version = {VERSION}")
                database.execute("COMMIT")
        except BaseException:
            database.close()
            raise
        return database

    def _get(self, database: sqlite3.Connection, keys: Mapping[int, bytes]) -> dict[bytes, bytes]:
        (middle,) = database.execute(_MIDDLE).fetchone()
        found = database.execute(_GET, (json.dumps([*keys]),)).fetchall()
        self._stale.extend(key for key, place, _ in found if place < middle)
        return {keys[key]: content for key, _, content in found}

    def _put(self, database: sqlite3.Connection, rows: Iterable[tuple[int, bytes]]) -> None:
        stale = [(self._stale.popleft(),) for _ in range(len(self._stale))]
        database.execute("BEGIN IMMEDIATE")
        try:
            database.executemany(_RENEW, stale)
            database.executemany(_PUT, rows)
            for _ in range(TURNS):
                if self._used(database) <= self._room:
                    break
                database.execute(_DROP, (ROWS_AT_ONCE,))
            database.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                database.execute("ROLLBACK")
            raise
        if self._pages(database, "page_count") > self._room:
            database.executescript("PRAGMA incremental_vacuum")  # execute frees one page only

    def _used(self, database: sqlite3.Connection) -> int:
        """Give the bytes of the pages that hold something."""
        return self._pages(database, "page_count") - self._pages(database, "freelist_count")

    def _pages(self, database: sqlite3.Connection, which: str) -> int:
        (pages,) = database.execute(f"PRAGMA {which}").fetchone()
        return int(pages) * PAGE_BYTES

    def _discard(self, thread: ThreadPoolExecutor) -> None:
        """Throw a damaged file away, unless another process has done so."""
        opened = self._opened.get(thread)
        self._close(thread)
        with suppress(OSError, Timeout), self._locked():
            if opened is None or opened[1] == self._inode():
                self._unlink()

    def _unlink(self) -> None:
        for suffix in ("", "-wal", "-shm"):
            Path(f"{self._file}{suffix}").unlink(missing_ok=True)

    def _inode(self) -> int:
        try:
            return self._file.stat().st_ino
        except FileNotFoundError:
            return -1

    def _locked(self) -> FileLock:
        """Keep other processes from making or removing the file meanwhile."""
        return FileLock(f"{self._file}.lock", timeout=LOCK_S, mode=0o600)

    def _close(self, thread: ThreadPoolExecutor) -> None:
        if (opened := self._opened.pop(thread, None)) is not None:
            with suppress(sqlite3.Error):
                opened[0].close()


def _key(name: bytes) -> int:
    """Give a row's key: a part of the name, for the seal tells two names with the same one apart."""
    return int.from_bytes(name[:8], "big", signed=True)
