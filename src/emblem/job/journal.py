"""The journal of a job: what is done already, kept so that a killed job goes on where it was.

In its folder, beside the output while the job runs: ``job.json`` says which job it is, ``parts``
has a file for every chunk that is done, ``journal.jsonl`` a line for each of them, written once the
part is on the disk. ``moves.json`` appears when the whole output is ready, and says what is put in
whose place. ``lock`` is held by whoever runs the job, and free when they die.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import msgspec
from filelock import FileLock, Timeout

from emblem.errors import InvalidRequest
from emblem.job.durable import remove, sync, sync_names, write_whole
from emblem.job.values import Failure, Identity, Tally

JOB = "job.json"
LINES = "journal.jsonl"
LOCK = "lock"
MOVES = "moves.json"
PARTS = "parts"


@dataclass(frozen=True, slots=True)
class Entry:
    """A chunk that is done: its first row, what became of it, and the rows without a vector."""

    first: int
    tally: Tally
    failed: tuple[Failure, ...] = ()


class Journal:
    """The journal in one folder, held by one process. A context: it lets go of it.

    Raises InvalidRequest where another process holds it, or the folder cannot be made.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.parts = folder / PARTS
        self.next_row = 0
        self.done = Tally()
        self._lines = folder / LINES
        self._settled = False
        # The run ends in another thread than it begins in.
        self._lock = FileLock(folder / LOCK, timeout=0, thread_local=False)

    def __enter__(self) -> Self:
        """Take hold of the folder."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock.acquire()
        except Timeout:
            raise InvalidRequest(f"another run is at work in {self.folder}") from None
        except OSError as error:
            raise InvalidRequest(f"{self.folder} cannot be made: {error.strerror}") from None
        if not (self.folder / LOCK).exists():  # its last holder has just finished and cleared up
            raise InvalidRequest(f"another run was at work in {self.folder} a moment ago")
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Let go of it. The folder is removed where no job was begun, or one came to its end.

        It stays where what was done after the job's end has failed.
        """
        if not (self.folder / JOB).exists() or (self._settled and kind is None):
            self._remove()
        else:
            self._lock.release()

    def settled(self) -> None:
        """Note that the output is in its place. What it was made of is needed no more."""
        for path in self.folder.iterdir():
            if path.name not in (LOCK, JOB, MOVES, LINES):
                remove(path)
        self._settled = True

    def _remove(self) -> None:
        """Remove everything; the last thing is the lock."""
        self.settled()
        for name in (JOB, MOVES, LINES):  # without the first there is no job any more
            remove(self.folder / name)
        if os.name == "nt":
            self._lock.release()
        (self.folder / LOCK).unlink(missing_ok=True)
        self._lock.release()
        with suppress(OSError):  # the next run may have begun here
            self.folder.rmdir()

    def begun(self) -> Identity | None:
        """Give the job that was begun here, None where there is none."""
        try:
            content = (self.folder / JOB).read_bytes()
        except FileNotFoundError:
            return None
        try:
            return msgspec.json.decode(content, type=dict[str, str | int | None])
        except msgspec.DecodeError as error:
            raise InvalidRequest(f"{self.folder / JOB} is broken: {error}") from None

    def begin(self, job: Identity) -> None:
        """Begin anew; whatever is here from before is thrown away."""
        for name in (JOB, MOVES, LINES, PARTS):
            remove(self.folder / name)
        self.parts.mkdir()
        self._lines.touch()
        write_whole(self.folder / JOB, msgspec.json.format(msgspec.json.encode(job)) + b"\n")

    def resume(self, first: int) -> None:
        """Find out what is done already, from row ``first`` on, and forget what was half done."""
        if self.ending:  # all is done, and the parts may be gone
            for entry in self.entries():
                self._count(entry)
            return
        good = 0
        self.next_row = first
        for entry, end in self._read():
            if entry.first != self.next_row or not self.part(entry.first).exists():
                break
            self._count(entry)
            good = end
        with self._lines.open("rb+") as lines:
            lines.truncate(good)
            os.fsync(lines.fileno())
        named = {self.part(entry.first).name for entry in self.entries()}
        for path in self.parts.iterdir():
            if path.name not in named:
                path.unlink()

    def add(self, entry: Entry, write: Callable[[Path], None]) -> None:
        """Have a part written and on the disk, and then note that it is done."""
        path = self.part(entry.first)
        beside = path.with_suffix(".new")
        beside.unlink(missing_ok=True)
        write(beside)
        sync(beside)
        beside.replace(path)
        sync_names(self.parts)
        with self._lines.open("ab") as lines:
            lines.write(msgspec.json.encode(entry) + b"\n")
            lines.flush()
            os.fsync(lines.fileno())
        self._count(entry)

    @property
    def ending(self) -> bool:
        """Tell whether the job that was begun has its whole output, not all of it in its place."""
        return (self.folder / JOB).exists() and self.moves is not None

    @property
    def moves(self) -> list[tuple[str, str]] | None:
        """What is to be put where, once the output is ready; None before."""
        try:
            content = (self.folder / MOVES).read_bytes()
        except FileNotFoundError:
            return None
        return msgspec.json.decode(content, type=list[tuple[str, str]])

    def ready(self, moves: list[tuple[str, str]]) -> None:
        """Note that the whole output is on the disk, and what is to be put where."""
        write_whole(self.folder / MOVES, msgspec.json.encode(moves))

    def part(self, first: int) -> Path:
        """Give the file of the chunk that begins with that row."""
        return self.parts / f"{first:012}.part"

    def entries(self) -> Iterator[Entry]:
        """Read the journal from its beginning."""
        return (entry for entry, _ in self._read())

    def _read(self) -> Iterator[tuple[Entry, int]]:
        """Give the entries up to the first one that is not whole, and where each ends."""
        end = 0
        with self._lines.open("rb") as lines:
            for line in lines:
                end += len(line)
                try:
                    entry = msgspec.json.decode(line, type=Entry)
                except msgspec.DecodeError:
                    return
                if not line.endswith(b"\n"):
                    return
                yield entry, end

    def _count(self, entry: Entry) -> None:
        self.next_row = entry.first + entry.tally.rows
        self.done += entry.tally
