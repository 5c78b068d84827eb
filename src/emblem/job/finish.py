"""The end of a job: its parts become the output, which appears whole, or not at all."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson

from emblem.errors import InvalidRequest
from emblem.job.durable import move, remove, sync, write_whole
from emblem.job.journal import Journal
from emblem.job.values import Failure

READY = "ready"  # the folder, in that of the journal, in which the output is made

Join = Callable[[Iterator[Path], Path], tuple[Path, ...]]

# Gives what is to stand beside an output, from the files that it consists of.
Describe = Callable[[Sequence[Path]], bytes]


@dataclass(frozen=True, slots=True)
class Places:
    """Where a job's files are. ``errors`` is where rows that failed are named.

    ``beside`` is what else is written: what belongs to the output, and what says of a shard which
    job it is a part of.
    """

    out: Path
    errors: Path
    beside: tuple[Path, ...] = ()

    @property
    def partial(self) -> Path:
        """The folder of the journal, while the job runs."""
        return self.out.with_name(f"{self.out.name}.partial")

    @property
    def sidecar(self) -> Path:
        """What says of a shard which job it is a part of."""
        return sidecar_of(self.out)

    @property
    def written(self) -> tuple[Path, ...]:
        """Every file that the job writes, and leaves."""
        return (self.out, self.errors, *self.beside)

    def refuse_existing(self) -> None:
        """Raise InvalidRequest where one of the files that are written is there already."""
        for path in self.written:
            if path.exists():
                raise InvalidRequest(f"{path} is there already; --force puts another in its place")

    def refuse_one_for_two(self) -> None:
        """Raise InvalidRequest where the rows that failed would be named in another's file."""
        for path in (self.out, *self.beside, self.partial):
            if same_file(path, self.errors):
                what = "the output" if path == self.out else f"{path.name} of the output"
                raise InvalidRequest(
                    f"{self.errors} cannot be {what} and name the rows that failed"
                )

    def refuse_reading(self, paths: Iterable[Path]) -> None:
        """Raise InvalidRequest where a file that is written is one of those that are read."""
        for path in paths:
            for one in (*self.written, self.partial):
                if same_file(one, path):
                    raise InvalidRequest(f"{one} would be written over {path}, which is read")


def same_file(one: Path, other: Path) -> bool:
    """Tell whether two names are of the same file, there or not yet."""
    if one.resolve() == other.resolve():
        return True
    return one.exists() and other.exists() and one.samefile(other)


def sidecar_of(out: Path) -> Path:
    """Give the file that says of a shard which job it is a part of."""
    return out.with_name(f"{out.name}.shard.json")


def errors_of(out: Path) -> Path:
    """Give the file that names the rows that failed, where nobody says another."""
    return out.with_name(f"{out.name}.errors.jsonl")


def finish(
    journal: Journal,
    places: Places,
    join: Join,
    failures: Iterable[Failure],
    describe: Describe | None = None,
) -> None:
    """Make the output of a journal's parts and put it in its place.

    Whenever this ends in the middle, calling it again does the rest. The journal is removed when
    whoever holds it lets go of it: until then the same job can still tell what came of it.
    """
    if not journal.ending:
        parts = (journal.part(entry.first) for entry in journal.entries())
        prepare(journal, places, lambda out: join(parts, out), failures, describe)
    settle(journal, places)


def prepare(
    journal: Journal,
    places: Places,
    write: Callable[[Path], tuple[Path, ...]],
    failures: Iterable[Failure],
    describe: Describe | None = None,
) -> None:
    """Have the whole output on the disk, and note what is to be put where; the output is last."""
    ready = journal.folder / READY
    remove(ready)
    ready.mkdir()
    out, *belongings = write(ready / places.out.name)
    moves = [(path.name, str(places.out.with_name(path.name))) for path in belongings]
    if _write_failures(ready / "errors", failures):
        moves.append(("errors", str(places.errors)))
    if describe is not None:
        write_whole(ready / "sidecar", describe([out, *belongings]))
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
        elif not Path(destination).exists():
            raise InvalidRequest(f"{destination} was written, and is gone; remove {journal.folder}")
    journal.settled()


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
