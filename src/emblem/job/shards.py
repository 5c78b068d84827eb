"""Shards: several runs, on several machines, each over its own rows; and one output made of them.

Beside a shard stands a small file that says which job it belongs to. Outputs are joined only where
these say that they are all the parts of one job.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from emblem.errors import InvalidRequest
from emblem.files.ports import Layout, Sink
from emblem.job.finish import Places, errors_of, prepare, settle, sidecar_of
from emblem.job.journal import Journal
from emblem.job.values import Failure, Identity, NumberFormat, Shard, Tally

# What stands beside a shard and begins as it does.
BESIDE = (".errors.jsonl", ".shard.json", ".rows.npy")

OWN = "shard"  # the one word of an identity in which the shards of a job differ


class About(msgspec.Struct, frozen=True):
    """What is beside a shard. ``numbers`` is how many a vector has; ``about`` is the layout's."""

    job: dict[str, str | int | None]
    number: int
    of: int
    tally: Tally
    numbers: int
    about: dict[str, str]


def sidecar(job: Identity, shard: Shard, layout: Layout, tally: Tally) -> bytes:
    """Write what stands beside a shard."""
    beside = About(dict(job), shard.number, shard.of, tally, layout.numbers, dict(layout.about))
    return msgspec.json.format(msgspec.json.encode(beside)) + b"\n"


def merge(
    out: Path, shards: Sequence[Path], open_sink: Callable[[Path, Layout], Sink], *, force: bool
) -> Tally:
    """Make one output of all shards of a job, in their order, whatever order they are given in.

    What else has the name of a shard, as a pattern of the shell finds it, is left out. Raises
    InvalidRequest where a shard is missing, or is of another job.
    """
    wanted = [path for path in shards if not path.name.endswith(BESIDE)]
    found = sorted(((_about(path), path) for path in wanted), key=lambda one: one[0].number)
    if not found:
        raise InvalidRequest("there are no shards among these files")
    _check(found)
    first = found[0][0]
    if out.suffix.lower() != first.job["format"]:
        raise InvalidRequest(f"the shards are {first.job['format']}, so {out.name} must be too")
    places = Places(out, errors_of(out))
    paths = [path for _, path in found]
    with Journal(places.partial) as journal:
        if journal.begun() is not None:
            raise InvalidRequest(f"{journal.folder} has a job that is not finished")
        if not force:
            places.refuse_existing()
        sink = open_sink(out, _layout(first))
        prepare(journal, places, lambda ready: sink.merge(iter(paths), ready), _failures(paths))
        settle(journal, places)
    return sum((about.tally for about, _ in found), Tally())


def _about(path: Path) -> About:
    beside = sidecar_of(path)
    if not path.exists():
        raise InvalidRequest(f"there is no {path}")
    try:
        return msgspec.json.decode(beside.read_bytes(), type=About)
    except FileNotFoundError:
        raise InvalidRequest(
            f"{path} has no {beside.name} beside it, which says what it is a shard of"
        ) from None
    except msgspec.DecodeError as error:
        raise InvalidRequest(f"{beside} is broken: {error}") from None


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


def _failures(shards: Sequence[Path]) -> Iterator[Failure]:
    """Read what the shards' own files say of rows that failed."""
    for path in shards:
        try:
            with errors_of(path).open("rb") as lines:
                for line in lines:
                    yield msgspec.json.decode(line, type=Failure)
        except FileNotFoundError:
            continue
