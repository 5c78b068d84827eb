"""The end of a job: its parts become the output, which appears whole, or not at all."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import orjson

from emblem.errors import InvalidRequest
from emblem.job.durable import move, remove, sync, write_whole
from emblem.job.journal import Journal
from emblem.job.values import Failure

READY = "ready"  # the folder, in that of the journal, in which the output is made

Join = Callable[[Iterator[Path], Path], tuple[Path, ...]]


@dataclass(frozen=True, slots=True)
class Places:
    """Where a job's files are. ``errors`` is where rows that failed are named."""

    out: Path
    errors: Path

    @property
    def partial(self) -> Path:
        """The folder of the journal, while the job runs."""
        return self.out.with_name(f"{self.out.name}.partial")

    @property
    def sidecar(self) -> Path:
        """What says of a shard which job it is a part of."""
        return sidecar_of(self.out)

    def refuse_existing(self) -> None:
        """Raise InvalidRequest where the output or its errors are there already."""
        for path in (self.out, self.errors):
            if path.exists():
                raise InvalidRequest(f"{path} is there already; --force puts another in its place")


def sidecar_of(out: Path) -> Path:
    """Give the file that says of a shard which job it is a part of."""
    return out.with_name(f"{out.name}.shard.json")


def errors_of(out: Path) -> Path:
    """Give the file that names the rows that failed, where nobody says another."""
    return out.with_name(f"{out.name}.errors.jsonl")


def finish(
    journal: Journal, places: Places, join: Join, failures: Iterable[Failure], sidecar: bytes = b""
) -> None:
    """Make the output of a journal's parts, put it in its place and remove the journal.

    Whenever this ends in the middle, calling it again does the rest.
    """
    if not journal.ending:
        parts = (journal.part(entry.first) for entry in journal.entries())
        prepare(journal, places, lambda out: join(parts, out), failures, sidecar)
    settle(journal, places)


def prepare(
    journal: Journal,
    places: Places,
    write: Callable[[Path], tuple[Path, ...]],
    failures: Iterable[Failure],
    sidecar: bytes = b"",
) -> None:
    """Have the whole output on the disk, and note what is to be put where; the output is last."""
    ready = journal.folder / READY
    remove(ready)
    ready.mkdir()
    out, *belongings = write(ready / places.out.name)
    moves = [(path.name, str(places.out.with_name(path.name))) for path in belongings]
    if _write_failures(ready / "errors", failures):
        moves.append(("errors", str(places.errors)))
    if sidecar:
        write_whole(ready / "sidecar", sidecar)
        moves.append(("sidecar", str(places.sidecar)))
    sync(ready)
    journal.ready([*moves, (out.name, str(places.out))])


def settle(journal: Journal, places: Places) -> None:
    """Put what is ready in its place. What was moved before is there no more."""
    ready = journal.folder / READY
    moves = journal.moves or []
    if all(destination != str(places.errors) for _, destination in moves):
        remove(places.errors)  # of a job before this one
    for name, destination in moves:
        if (ready / name).exists():
            move(ready / name, Path(destination))
    journal.remove()


def _write_failures(path: Path, failures: Iterable[Failure]) -> int:
    """Write one line for each row that failed, and give how many there are."""
    count = 0
    with path.open("wb") as out:
        for failure in failures:
            file = {"file": failure.file} if failure.file else {}
            line = {"row": failure.row, **file, "why": failure.why}
            out.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))
            count += 1
    return count
