"""Shards: several runs, on several machines, each over its own rows; and one output made of them.

Beside a shard stands a small file that says which job it belongs to. Outputs are joined only where
these say that they are all the parts of one job.
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import msgspec

from emblem.errors import InvalidRequest
from emblem.files.fingerprint import of_output
from emblem.files.ports import Layout, Sink
from emblem.job.finish import Join, Places, errors_of, prepare, settle, sidecar_of
from emblem.job.journal import Journal
from emblem.job.values import Failure, Identity, NumberFormat, Shard, Tally

# What stands beside a shard and begins as it does.
BESIDE = (".errors.jsonl", ".shard.json", ".rows.npy")

OWN = "shard"  # the one word of an identity in which the shards of a job differ


class Written(msgspec.Struct, frozen=True):
    """A file of a shard. ``ending`` is what its name has behind the stem of the shard's."""

    ending: str
    size: int
    sha256: str


class About(msgspec.Struct, frozen=True):
    """What is beside a shard. ``numbers`` is how many a vector has; ``about`` is the layout's.

    ``files`` are the shard and what belongs to it; ``failures`` are its rows without a vector.
    """

    job: dict[str, str | int | None]
    number: int
    of: int
    tally: Tally
    numbers: int
    about: dict[str, str]
    files: tuple[Written, ...]
    failures: tuple[Failure, ...]


def sidecar(
    job: Identity,
    shard: Shard,
    layout: Layout,
    tally: Tally,
    came: tuple[Sequence[Path], Iterable[Failure]],
) -> bytes:
    """Write what stands beside a shard. ``came`` are its files, it being the first, and failures."""
    paths, failures = came
    stem = paths[0].stem
    files = tuple(Written(path.name.removeprefix(stem), *of_output(path)) for path in paths)
    beside = About(
        job=dict(job),
        number=shard.number,
        of=shard.of,
        tally=tally,
        numbers=layout.numbers,
        about=dict(layout.about),
        files=files,
        failures=tuple(failures),
    )
    return msgspec.json.format(msgspec.json.encode(beside)) + b"\n"


def merge(
    out: Path, shards: Sequence[Path], open_sink: Callable[[Path, Layout], Sink], *, force: bool
) -> Tally:
    """Make one output of all shards of a job, in their order, whatever order they are given in.

    What else has the name of a shard, as a pattern of the shell finds it, is left out. Raises
    InvalidRequest where a shard is missing, is of another job, or is not as it was written.
    """
    wanted = [path for path in shards if not path.name.endswith(BESIDE)]
    found = sorted(((_about(path), path) for path in wanted), key=lambda one: one[0].number)
    if not found:
        raise InvalidRequest("there are no shards among these files")
    _check(found)
    first = found[0][0]
    if out.suffix.lower() != first.job["format"]:
        raise InvalidRequest(f"the shards are {first.job['format']}, so {out.name} must be too")
    sink = open_sink(out, _layout(first))
    places = Places(out, errors_of(out), sink.beside(out))
    paths = [path for _, path in found]
    places.refuse_reading(
        one for path in paths for one in (path, *sink.beside(path), sidecar_of(path))
    )
    with Journal(places.partial) as journal:
        _join(journal, places, found, sink.merge, force=force)
    return sum((about.tally for about, _ in found), Tally())


def _join(
    journal: Journal,
    places: Places,
    found: Sequence[tuple[About, Path]],
    merged: Join,
    *,
    force: bool,
) -> None:
    """Write the shards as one, or put in its place what a run that was killed has written."""
    whole = {**found[0][0].job, OWN: "all of them"}
    begun = journal.begun()
    if begun not in (None, whole):
        raise InvalidRequest(f"{journal.folder} has a job that is not finished")
    if not journal.ending:
        if not force:
            places.refuse_existing()
        for about, path in found:
            _check_files(about, path)

        def write(ready: Path) -> tuple[Path, ...]:
            files = merged((path for _, path in found), ready)
            journal.begin(whole)  # before that nothing is worth keeping
            return files

        failures = (failure for about, _ in found for failure in about.failures)
        prepare(journal, places, write, failures)
    settle(journal, places)


def _about(path: Path) -> About:
    beside = sidecar_of(path)
    if not path.exists():
        raise InvalidRequest(f"there is no {path}")
    try:
        about = msgspec.json.decode(beside.read_bytes(), type=About)
    except FileNotFoundError:
        raise InvalidRequest(
            f"{path} has no {beside.name} beside it, which says what it is a shard of"
        ) from None
    except msgspec.DecodeError as error:
        raise InvalidRequest(f"{beside} is broken: {error}") from None
    if len(about.failures) != about.tally.failed:
        raise InvalidRequest(
            f"{beside} is broken: it names {len(about.failures)} rows that failed, of "
            f"{about.tally.failed}"
        )
    return about


def _check_files(about: About, shard: Path) -> None:
    """Raise InvalidRequest where a file of a shard is not the one that was written."""
    for one in about.files:
        path = shard.with_name(f"{shard.stem}{one.ending}")
        if not path.exists():
            raise InvalidRequest(f"there is no {path}, which belongs to {shard}")
        size, digest = of_output(path)
        if (size, digest) != (one.size, one.sha256):
            what = f"has {size} bytes, not {one.size}" if size != one.size else "has other content"
            raise InvalidRequest(
                f"{path} is not what was written as shard {about.number}/{about.of}: it {what}; "
                "make that shard again"
            )


def _check(found: Sequence[tuple[About, Path]]) -> None:
    """Raise InvalidRequest unless these are all the shards of one job, each once."""
    first, path = found[0]
    for about, other in found[1:]:
        for name in {**first.job, **about.job}:
            if name != OWN and first.job.get(name) != about.job.get(name):
                what = "input" if name == "input" else f"{name} ({about.job.get(name)})"
                raise InvalidRequest(
                    f"{other} is of another job than {path}: it has another {what}"
                )
        if about.of != first.of:
            raise InvalidRequest(f"{other} is one of {about.of} shards, and {path} of {first.of}")
    numbers = [about.number for about, _ in found]
    if twice := [one for one in set(numbers) if numbers.count(one) > 1]:
        raise InvalidRequest(f"shard {min(twice)}/{first.of} is given twice")
    if missing := sorted(set(range(1, first.of + 1)) - set(numbers)):
        listed = ", ".join(f"{one}/{first.of}" for one in missing)
        raise InvalidRequest(f"missing: shard {listed}")


def _layout(about: About) -> Layout:
    dtype = NumberFormat(str(about.job["dtype"])).dtype
    return Layout(
        about.numbers,
        dtype,
        vector_column=str(about.job["vector column"]),
        overflow_column=str(about.job["overflow column"]),
        about=about.about,
    )
