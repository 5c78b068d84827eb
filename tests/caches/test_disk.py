"""The file on disk stays small, whole and its owner's own, whatever happens to it."""

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterable
from contextlib import closing, suppress
from pathlib import Path

import pytest

from caches.shelves import named
from emblem.caches.disk import JOURNAL_BYTES, DiskShelf
from emblem.caches.ports import Away
from wrappers.honest import run

CONTENT = os.urandom(1600)


async def filled(shelf: DiskShelf, numbers: Iterable[int]) -> None:
    names = named(*map(str, numbers))
    for start in range(0, len(names), 250):
        await shelf.put(dict.fromkeys(names[start : start + 250], CONTENT))


async def there(shelf: DiskShelf, numbers: range) -> list[int]:
    names = named(*map(str, numbers))
    found = await shelf.get(names)
    return [number for number, name in zip(numbers, names, strict=True) if name in found]


def bytes_of(file: Path) -> int:
    return sum(one.stat().st_size for one in file.parent.glob(f"{file.name}*"))


def modes_in(folder: Path) -> dict[str, int]:
    return {one.name: one.stat().st_mode & 0o777 for one in folder.iterdir()}


def inode_of(file: str) -> int:
    return Path(file).stat().st_ino


def remove(file: Path) -> None:
    for left in file.parent.glob(f"{file.name}*"):
        left.unlink()


def test_the_files_stay_within_their_bound_and_the_oldest_go_first(tmp_path: Path) -> None:
    async def go() -> None:
        file, most = tmp_path / "cache.sqlite", 20 << 20
        shelf = DiskShelf(file, most)
        largest = 0
        for start in range(0, 20_000, 2000):
            await filled(shelf, range(start, start + 2000))
            largest = max(largest, bytes_of(file))
        kept = await there(shelf, range(20_000))
        assert largest <= most
        assert kept == [*range(kept[0], 20_000)]
        assert 5000 < len(kept) < 9000
        await shelf.aclose()

    run(go)


def test_what_is_asked_for_stays_longer_than_what_is_not(tmp_path: Path) -> None:
    async def go() -> None:
        shelf = DiskShelf(tmp_path / "cache.sqlite", 4 << 20)
        for start in range(0, 10_000, 250):
            await filled(shelf, range(start, start + 250))
            await there(shelf, range(20))
        assert await there(shelf, range(1000)) == [*range(20)]
        await shelf.aclose()

    run(go)


def test_a_bound_that_was_lowered_is_kept_once_something_is_written(tmp_path: Path) -> None:
    async def go() -> None:
        file = tmp_path / "cache.sqlite"
        shelf = DiskShelf(file, 20 << 20)
        await filled(shelf, range(5000))
        await shelf.aclose()
        shelf = DiskShelf(file, 2 << 20)
        await filled(shelf, range(5000, 5250))
        await filled(shelf, range(5250, 5500))
        await shelf.aclose()
        assert bytes_of(file) <= 2 << 20

    run(go)


def test_the_file_is_its_owners_alone(tmp_path: Path) -> None:
    async def go() -> None:
        shelf = DiskShelf(tmp_path / "cache.sqlite", 1 << 20)
        await filled(shelf, range(3))
        assert set(modes_in(tmp_path).values()) == {0o600}, modes_in(tmp_path)
        await shelf.aclose()

    run(go)


@pytest.mark.parametrize("damage", ["text", "cut", "version", "empty", "half made"])
def test_a_file_that_is_damaged_or_of_another_version_is_begun_anew(
    damage: str, tmp_path: Path
) -> None:
    async def go() -> None:
        file = tmp_path / "cache.sqlite"
        shelf = DiskShelf(file, 20 << 20)
        await filled(shelf, range(2000))
        await shelf.aclose()
        if damage == "text":
            file.write_text("no database " * 5000)
        if damage == "cut":
            middle = file.stat().st_size // 2
            file.write_bytes(file.read_bytes()[:middle] + b"\0" * 16384 * 3)
        if damage == "version":
            with closing(sqlite3.connect(file)) as database:
                database.execute("PRAGMA user_version = 99")
        if damage == "empty":
            with closing(sqlite3.connect(file)) as database:
                database.execute("DROP TABLE entries")
        if damage == "half made":
            with closing(sqlite3.connect(file)) as database:
                database.execute("PRAGMA user_version = 0")
        shelf = DiskShelf(file, 20 << 20)
        for _ in range(2):  # the first question finds the damage
            with suppress(Away):
                await there(shelf, range(2000))
                await filled(shelf, range(3))
        await filled(shelf, range(3))
        assert await there(shelf, range(2000)) == [0, 1, 2]
        await shelf.aclose()

    run(go)


def test_another_process_that_begins_it_anew_is_followed(tmp_path: Path) -> None:
    async def go() -> None:
        file = tmp_path / "cache.sqlite"
        one, other = DiskShelf(file, 1 << 20), DiskShelf(file, 1 << 20)
        await filled(one, range(3))
        assert await there(other, range(3)) == [0, 1, 2]
        remove(file)
        await filled(one, range(7, 9))
        assert await there(other, range(9)) == [7, 8]
        await one.aclose()
        await other.aclose()

    run(go)


def test_what_others_have_of_a_removed_file_is_left_as_it_is(tmp_path: Path) -> None:
    """A part of it is in their memory, and cutting that ends their process with SIGBUS."""

    async def go() -> None:
        file = tmp_path / "cache.sqlite"
        one, other = DiskShelf(file, 1 << 20), DiskShelf(file, 1 << 20)
        await filled(one, range(3))
        assert await there(other, range(3)) == [0, 1, 2]
        held = inode_of(f"{file}-shm")
        file.unlink()
        await filled(one, range(7, 9))
        assert inode_of(f"{file}-shm") != held
        assert await there(other, range(9)) == [7, 8]
        await one.aclose()
        await other.aclose()

    run(go)


def test_a_place_that_cannot_be_written_is_away(tmp_path: Path) -> None:
    async def go() -> None:
        (tmp_path / "taken").touch()
        shelf = DiskShelf(tmp_path / "taken" / "cache.sqlite", 1 << 20)
        with pytest.raises(Away):
            await shelf.get(named("a"))
        with pytest.raises(Away):
            await filled(shelf, [1])
        await shelf.aclose()
        with pytest.raises(Away, match="closed"):
            await shelf.get(named("a"))

    run(go)


WRITER = """
import asyncio, sys
from pathlib import Path
from emblem.caches.disk import DiskShelf
from hashlib import sha256

async def main():
    shelf = DiskShelf(Path(sys.argv[1]), 256 << 20)
    number = 0
    while True:
        names = [sha256(f"{sys.argv[2]} {number + n}".encode()).digest() for n in range(50)]
        await shelf.put({name: name * 50 for name in names})
        number += 50
        print(number, flush=True)

asyncio.run(main())
"""


def test_processes_that_are_killed_while_they_write_leave_a_whole_file(tmp_path: Path) -> None:
    file = tmp_path / "cache.sqlite"
    command = [sys.executable, "-c", WRITER, str(file)]
    writers = [
        subprocess.Popen([*command, str(n)], stdout=subprocess.PIPE, text=True) for n in range(2)
    ]
    for writer in writers:
        assert writer.stdout is not None
        for _ in range(20):
            assert writer.stdout.readline()
    for writer in writers:
        writer.send_signal(signal.SIGKILL)
        writer.communicate()
    with closing(sqlite3.connect(file)) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]

    async def go() -> None:
        shelf = DiskShelf(file, 256 << 20)
        for n in range(2):
            names = named(*(f"{n} {number}" for number in range(1000)))
            found = await shelf.get(names)
            assert found == {name: name * 50 for name in names}
        await shelf.aclose()

    asyncio.run(go())


def test_the_journal_is_a_part_of_the_bound() -> None:
    assert DiskShelf(Path("unused"), 1 << 30)._room == (1 << 30) - JOURNAL_BYTES
