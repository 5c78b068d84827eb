"""``emblem embed … -o OUT``: files into a file, as a job that can be killed and goes on."""

import asyncio
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import typer

from emblem import job as jobs
from emblem.cli.embed_asked import STDIN, Asked, exists, find, read_as, refuse_clash, scanned
from emblem.cli.embed_model import Opened, opened, overflow_rule
from emblem.cli.embed_report import (
    Summary,
    bar,
    estimate_document,
    estimate_lines,
    many,
    say,
)
from emblem.errors import EmblemError, InvalidRequest
from emblem.files import formats
from emblem.files.fingerprint import stamp
from emblem.files.ports import CHUNK_ROWS, Layout, Scan
from emblem.job import Job, Journal, Places, Shard

SOME_FAILED = 3


def embed(asked: Asked) -> int:
    """Run the job that is asked for, or what is left of it. Gives the exit code."""
    shard = Shard.read(asked.shard) if asked.shard else Shard()
    out = _out(asked, shard)
    sink = formats.sink(out)
    places = _places(asked, out, shard, sink.beside(out))
    with _explained(places), Journal(places.partial) as journal:
        if not asked.force and not journal.ending:
            places.refuse_existing()
        given = find(asked, journal.folder / "stdin")
        _refuse_inside(places, asked)
        seen = stamp(given.files)
        source, scan = scanned(given, asked, typed=sink.typed)
        if places.out.suffix.lower() != ".npy":  # which has no columns
            refuse_clash(scan, asked.choices)

        async def work() -> Summary:
            async with opened(asked) as one:
                layout = _layout(one, asked, scan)
                made = Job(
                    files=given.files,
                    seen=seen,
                    source=source,
                    scan=scan,
                    sink=sink(layout),
                    layout=layout,
                    choices=asked.choices,
                    shard=shard,
                    identity=jobs.identity(
                        input_digest=source.fingerprint(),
                        read_as=read_as(given, asked),
                        column=scan.text_column,
                        space=one.identity,
                        choices=asked.choices,
                        suffix=places.out.suffix.lower(),
                        shard=shard,
                    ),
                    manner=one.manner,
                )
                return await _run(made, one, journal, places, asked)

        summary = asyncio.run(work())
        _tell(summary, asked)  # before the journal goes: whoever is killed here is told again
    return SOME_FAILED if summary.tally.failed else 0


async def _run(job: Job, one: Opened, journal: Journal, places: Places, asked: Asked) -> Summary:
    jobs.claim(journal, job, restart=asked.restart)
    before = journal.done.rows
    total = job.rows[1] - job.rows[0]
    if before and not asked.quiet:
        say(f"resuming: {before:,} of {many(total, 'row')} are done")
    started = time.monotonic()
    with bar(quiet=asked.quiet, clock=time.monotonic) as report:
        tally = await jobs.run(job, one.embedder, journal, report)
        await asyncio.to_thread(jobs.complete, job, journal, places)
    return Summary(
        out=places.out,
        errors=places.errors,
        tally=tally,
        resumed=before,
        seconds=time.monotonic() - started,
        numbers=job.layout.numbers,
        written=one.written,
        reads=one.reads,
        rule=overflow_rule(one, job.choices),
    )


def estimate(asked: Asked) -> int:
    """Say what a job would take, from some of its rows. Gives the exit code."""
    shard = Shard.read(asked.shard) if asked.shard else Shard()
    sink = formats.sink(Path(asked.out or "estimate.jsonl"))
    with TemporaryDirectory() as folder:
        given = find(asked, Path(folder, "stdin"))
        source, scan = scanned(given, asked, typed=sink.typed)

        async def work() -> tuple[jobs.Estimate, str]:
            async with opened(asked) as one:
                guess = await jobs.estimate(
                    source,
                    shard.rows(scan.rows, CHUNK_ROWS),
                    sink(_layout(one, asked, scan)),
                    one.embedder,
                    asked.choices,
                    time.monotonic,
                )
                return guess, one.written

        guess, written = asyncio.run(work())
    if asked.as_json:
        typer.echo(json.dumps(estimate_document(guess, written)))
    else:
        for line in estimate_lines(guess, written):
            typer.echo(line)
    return 0


def _out(asked: Asked, shard: Shard) -> Path:
    out = Path(asked.out or "")
    return out.with_name(f"{out.stem}{shard.suffix}{out.suffix}")


def _places(asked: Asked, out: Path, shard: Shard, beside: tuple[Path, ...]) -> Places:
    if shard.of > 1:
        beside = (*beside, jobs.sidecar_of(out))
    places = Places(out, Path(asked.errors) if asked.errors else jobs.errors_of(out), beside)
    for path in (places.out, places.errors):
        if not path.absolute().parent.is_dir():
            raise InvalidRequest(f"{path} cannot be written: there is no folder {path.parent}")
    places.refuse_one_for_two()
    if places.out.is_dir() and places.out.suffix.lower() != ".lance":
        raise InvalidRequest(f"{places.out} is a folder")
    places.refuse_reading(Path(one) for one in asked.inputs if one != STDIN and exists(one))
    return places


def _refuse_inside(places: Places, asked: Asked) -> None:
    """Raise InvalidRequest where the output would be read as input the next time."""
    for one in asked.inputs:
        folder = Path(one).resolve()
        for path in places.written:
            if path.resolve() == folder or (folder.is_dir() and folder in path.resolve().parents):
                raise InvalidRequest(f"{path} would be written into {one}, which is read")


def _layout(one: Opened, asked: Asked, scan: Scan) -> Layout:
    choices = asked.choices
    dimensions = choices.dimensions or one.space.width
    about: dict[str, Any] = {
        "space": one.written,
        "model": one.model,
        "dimensions": dimensions,
        "dtype": choices.dtype,
        "kind": choices.kind,
        "overflow": overflow_rule(one, choices),
    }
    return Layout(
        numbers=choices.dtype.numbers(dimensions),
        number_type=choices.dtype.dtype,
        schema=scan.schema,
        vector_column=choices.vector_column,
        overflow_column=choices.overflow_column,
        about={name: str(value) for name, value in about.items() if value is not None},
    )


def _tell(summary: Summary, asked: Asked) -> None:
    if asked.as_json:
        typer.echo(json.dumps(summary.document(), ensure_ascii=False))
    elif not asked.quiet:
        for line in summary.lines():
            say(line)


@contextmanager
def _explained(places: Places) -> Iterator[None]:
    """Say how to go on, whatever ends a job that was begun."""
    try:
        yield
    except KeyboardInterrupt:
        if done := _done(places):
            say(f"interrupted; {done}")
        raise
    except EmblemError as error:
        if not isinstance(error, InvalidRequest) and (done := _done(places)):
            say(done)
        raise
    except OSError as error:
        done = _done(places)
        what = error.strerror or error
        where = f"{error.filename}: " if error.filename else ""
        raise InvalidRequest(f"{where}{what}" + (f"; {done}" if done else "")) from error


def _done(places: Places) -> str:
    if not (places.partial / "job.json").exists():
        return ""
    return f"what is done is in {places.partial}; the same command goes on from there"
