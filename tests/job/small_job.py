"""A job over a small file of texts, with the engine of the tests, in this process."""

import json
from dataclasses import dataclass, field
from pathlib import Path

from emblem import job as jobs
from emblem.files import formats
from emblem.files.fingerprint import stamp
from emblem.files.ports import Files, Layout, Sink, Source
from emblem.job import Choices, Job, Journal, Manner, Places, Shard, Tally
from emblem.ports import Embedder
from tiny_engine import WIDTH, tiny_engine, words

CHUNK = 4


@dataclass(frozen=True, slots=True)
class SmallJob:
    """A job as a command line would make it. ``text`` is the input file."""

    text: Path
    out: Path
    choices: Choices = field(default_factory=Choices)
    shard: Shard = field(default_factory=Shard)
    manner: Manner = field(default_factory=Manner)

    @property
    def places(self) -> Places:
        out = self.out.with_name(f"{self.out.stem}{self.shard.suffix}{self.out.suffix}")
        beside = formats.sink(out).beside(out)
        if self.shard.of > 1:
            beside = (*beside, jobs.sidecar_of(out))
        return Places(out, jobs.errors_of(out), beside)

    def made(self) -> Job:
        files = Files((self.text,), (self.text.name,))
        seen = stamp(files)
        kind = formats.SUFFIXES[self.text.suffix]
        source: Source = formats.source(kind)(files, None)
        sink_class = formats.sink(self.out)
        scan = source.scan(typed=sink_class.typed)
        dtype = self.choices.dtype
        layout = Layout(dtype.numbers(self.choices.dimensions or WIDTH), dtype.dtype, scan.schema)
        sink: Sink = sink_class(layout)
        identity = jobs.identity(
            input_digest=source.fingerprint(),
            read_as=kind,
            column=scan.text_column,
            space="tiny",
            choices=self.choices,
            suffix=self.out.suffix,
            shard=self.shard,
        )
        return Job(
            files,
            seen,
            source,
            scan,
            sink,
            layout,
            self.choices,
            self.shard,
            identity,
            self.manner,
            chunk_rows=CHUNK,
        )

    async def run(
        self,
        embedder: Embedder | None = None,
        *,
        restart: bool = False,
        until_row: float = float("inf"),
    ) -> Tally:
        """Run it to its end; or until a row comes, and then as if the process had died."""

        def report(progress: jobs.Progress) -> None:
            if progress.done.rows >= until_row:
                raise Died

        made = self.made()
        book = Journal(self.places.partial)
        try:
            with book as journal:
                jobs.claim(journal, made, restart=restart)
                async with tiny_engine() as engine:
                    tally = await jobs.run(made, embedder or engine, journal, report)
                jobs.complete(made, journal, self.places)
        finally:
            book._lock.release(force=True)  # as the system does when a process dies
        return tally


class Died(BaseException):
    """As if the process had been killed here."""


def lines_of(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def write_texts(path: Path, rows: int) -> Path:
    """Write that many rows; the length of each is another, and every seventh has no text."""
    with path.open("w") as out:
        for row in range(rows):
            text = words(*range(row, row + 1 + row * 5 % 23)) if row % 7 != 3 else None
            out.write(json.dumps({"id": row, "text": text}) + "\n")
    return path
