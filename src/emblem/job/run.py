"""Running a job: chunk after chunk, while the next one is read and the last one is written."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from emblem.errors import InvalidRequest
from emblem.files.fingerprint import stamp
from emblem.files.ports import CHUNK_ROWS, Chunk, Files, Layout, Scan, Sink, Source
from emblem.job.embedding import Embedded, Manner, embed_chunk
from emblem.job.finish import Places, finish
from emblem.job.journal import Entry, Journal
from emblem.job.shards import sidecar
from emblem.job.values import Choices, Failure, Identity, Progress, Shard, Tally
from emblem.ports import Embedder

# Counted up when the same job would give other bytes.
REVISION = 1

Report = Callable[[Progress], None]


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """All that a job is. ``seen`` is the stamp of the files, from before they were first read."""

    files: Files
    seen: tuple[tuple[int, int], ...]
    source: Source
    scan: Scan
    sink: Sink
    layout: Layout
    choices: Choices
    shard: Shard
    identity: Identity
    manner: Manner = Manner()  # noqa: RUF009 - it is frozen
    chunk_rows: int = CHUNK_ROWS

    @property
    def rows(self) -> tuple[int, int]:
        """The first row, and the one after the last."""
        return self.shard.rows(self.scan.rows, self.chunk_rows)


def identity(
    *,
    input_digest: str,
    read_as: str,
    column: str,
    space: str,
    choices: Choices,
    suffix: str,
    shard: Shard,
) -> Identity:
    """Say which job it is, in words that a message can show."""
    return {
        "revision": REVISION,
        "input": input_digest,
        "input format": read_as,
        "column": column,
        "space": space,
        "kind": choices.kind,
        "dimensions": choices.dimensions,
        "overflow": choices.overflow,
        "dtype": choices.dtype,
        "vector column": choices.vector_column,
        "overflow column": choices.overflow_column,
        "format": suffix,
        "shard": str(shard),
    }


def claim(journal: Journal, job: Job, *, restart: bool) -> None:
    """Begin a job, or go on with the one that was begun.

    Raises InvalidRequest where that was another one: it says in what they differ.
    """
    begun = None if restart else journal.begun()
    if begun is None:
        journal.begin(job.identity)
    elif differences := list(_differences(begun, job.identity)):
        raise InvalidRequest(
            f"{journal.folder} is from another job: {'; '.join(differences)}. "
            "Run that one again to finish it, or add --restart to throw it away."
        )
    journal.resume(job.rows[0])


def _differences(begun: Identity, now: Identity) -> Iterator[str]:
    for name in {**begun, **now}:
        before, after = begun.get(name), now.get(name)
        if before == after:
            continue
        if name == "input":
            yield "the input has changed since"
        else:
            shown = ["not set" if one is None else one for one in (before, after)]
            yield f"its {name} was {shown[0]}, and is {shown[1]} now"


async def run(job: Job, embedder: Embedder, journal: Journal, report: Report) -> Tally:
    """Embed what is not done yet. Whatever ends it, the same job can go on from there.

    Raises what the embedder raises, and InvalidRequest where the input changed meanwhile.
    """
    first, stop = job.rows
    resumed = journal.next_row - first
    report(Progress(stop - first, resumed, journal.done))
    if journal.ending:
        return journal.done
    writing: asyncio.Task[None] | None = None
    chunks = job.source.chunks(job.chunk_rows, journal.next_row, stop)
    reading = _read(chunks)
    try:
        while (chunk := await reading) is not None:
            reading = _read(chunks)
            embedded = await embed_chunk(embedder, chunk, job.choices, job.manner)
            if writing is not None:
                await writing
                report(Progress(stop - first, resumed, journal.done))
            writing = asyncio.create_task(_write(job.sink, journal, chunk, embedded))
        if writing is not None:
            await writing
    finally:
        for task in (reading, writing):  # a thread cannot be stopped; nothing is left behind it
            if task is not None:
                await asyncio.gather(task, return_exceptions=True)
    report(Progress(stop - first, resumed, journal.done))
    if stamp(job.files) != job.seen:
        raise InvalidRequest(
            "the input was changed while it was read; when it is as it should be, run the same "
            "with --restart"
        )
    if journal.next_row != stop:
        raise InvalidRequest(
            f"the input ended before row {journal.next_row}, and had {stop} rows when it was "
            "counted; give it as a file, and run the same with --restart"
        )
    return journal.done


def _read(chunks: Iterator[Chunk]) -> "asyncio.Task[Chunk | None]":
    return asyncio.ensure_future(asyncio.to_thread(next, chunks, None))


async def _write(sink: Sink, journal: Journal, chunk: Chunk, embedded: Embedded) -> None:
    def write(path: Path) -> None:
        sink.write_part(path, embedded.part)

    entry = Entry(chunk.first_row, embedded.tally, embedded.failures)
    await asyncio.to_thread(journal.add, entry, write)


def complete(job: Job, journal: Journal, places: Places) -> None:
    """Make the output of all that is done; see ``finish``."""

    def failures() -> Iterator[Failure]:
        return (failure for entry in journal.entries() for failure in entry.failed)

    def describe(files: Sequence[Path]) -> bytes:
        return sidecar(job.identity, job.shard, job.layout, journal.done, (files, failures()))

    finish(journal, places, job.sink.join, failures(), describe if job.shard.of > 1 else None)
