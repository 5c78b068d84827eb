"""What ``emblem embed`` says: a bar while it works, a few lines at the end."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from emblem.job import Estimate, Progress, Tally
from emblem.types import Overflow

Report = Callable[[Progress], None]

WHAT_BECAME = {
    Overflow.MEAN: ("it is the mean of its windows", "each is the mean of its windows"),
    Overflow.TRUNCATE: ("it was cut there", "each was cut there"),
    Overflow.ERROR: ("it failed", "each failed"),
}


@dataclass(frozen=True, slots=True)
class Summary:
    """What a job gave. ``rows`` and ``seconds`` of ``here`` are those of this run alone."""

    out: Path
    errors: Path
    tally: Tally
    resumed: int
    seconds: float
    numbers: int
    written: str
    reads: int | None
    rule: Overflow

    @property
    def rate(self) -> float:
        """Rows in a second, in this run."""
        return (self.tally.rows - self.resumed) / self.seconds if self.seconds else 0.0

    def document(self) -> dict[str, Any]:
        """Give it for programs."""
        tally = self.tally
        return {
            "output": str(self.out),
            "rows": tally.rows,
            "vectors": tally.vectors,
            "failed": tally.failed,
            "errors": str(self.errors) if tally.failed else None,
            "overflowed": tally.overflowed,
            "tokens": tally.tokens,
            "numbers": self.numbers,
            "space": self.written,
            "resumed_rows": self.resumed,
            "seconds": round(self.seconds, 3),
            "rows_per_second": round(self.rate, 1),
        }

    def lines(self) -> Iterator[str]:
        """Give it for people."""
        tally = self.tally
        yield (
            f"{self.out}: {many(tally.vectors, 'vector')} of {many(self.numbers, 'number')} "
            f"in the space {self.written}"
        )
        if tally.failed:
            yield f"{many(tally.failed, 'row')} failed, named in {self.errors}"
        if self.reads is not None or tally.overflowed != 0:
            yield too_long(tally, self.reads, self.rule)
        resumed = f", and {many(self.resumed, 'row')} before it" if self.resumed else ""
        yield (
            f"{many(tally.rows - self.resumed, 'row')} in {duration(self.seconds)}{resumed} "
            f"({self.rate:,.0f} rows/s); {many(tally.tokens, 'token')}"
        )


def too_long(tally: Tally, reads: int | None, rule: Overflow) -> str:
    """Say how many texts were longer than the model reads, and what became of them."""
    of = f"of {many(tally.vectors, 'text')}"
    if tally.overflowed is None:
        return "the server does not say which texts were longer than its model reads"
    than = "the model reads" if reads is None else f"{reads} tokens"
    if not tally.overflowed:
        return f"0 {of} were longer than {than}"
    one, several = WHAT_BECAME[rule]
    if tally.overflowed == 1:
        return f"1 {of} was longer than {than} ({one})"
    return f"{tally.overflowed:,} {of} were longer than {than} ({several})"


def estimate_document(guess: Estimate, written: str) -> dict[str, Any]:
    """Give an estimate for programs."""
    return {
        "estimate": True,
        "rows": guess.rows,
        "sampled_rows": guess.sampled,
        "failed": guess.failed,
        "overflowed": guess.overflowed,
        "tokens": guess.tokens,
        "hours": round(guess.seconds / 3600, 4),
        "output_gb": round(guess.output_bytes / 1e9, 6),
        "space": written,
    }


def estimate_lines(guess: Estimate, written: str) -> Iterator[str]:
    """Give an estimate for people."""
    yield (
        f"An estimate, from {guess.sampled:,} of {many(guess.rows, 'row')}, with what else this "
        "machine does now:"
    )
    yield f"  tokens  about {guess.tokens:,}"
    yield f"  time    about {duration(guess.seconds)} ({guess.seconds / 3600:.2f} hours)"
    yield f"  output  about {guess.output_bytes / 1e9:.3f} GB, and as much again while it is joined"
    yield f"  space   {written}"
    if guess.overflowed:
        yield f"  about {guess.overflowed:,} texts are longer than the model reads at once"
    if guess.failed:
        yield f"  about {guess.failed:,} rows would fail"


def many(count: int, what: str) -> str:
    """Count things: ``1 row``, ``2 rows``."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def duration(seconds: float) -> str:
    """Write a time for people."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"


def say(line: str) -> None:
    """Print a line for people, where the output of the command is not."""
    typer.echo(line, err=True)


@contextmanager
def bar(*, quiet: bool, clock: Callable[[], float]) -> Iterator[Report]:
    """Give a function that draws how far a job is, on a terminal; elsewhere it does nothing."""
    if quiet or not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as Bar

    columns = (BarColumn(), TextColumn("{task.description}", markup=False))
    with Bar(*columns, console=Console(stderr=True), transient=True) as drawn:
        task = drawn.add_task("0 rows", total=None)
        started: list[tuple[float, Tally]] = []

        def report(progress: Progress) -> None:
            now, done = clock(), progress.done
            if not started:
                started.append((now, done))
            line = _line(progress, now - started[0][0], started[0][1])
            drawn.update(task, completed=done.rows, total=progress.total, description=line)

        yield report


def _line(progress: Progress, seconds: float, before: Tally) -> str:
    """Say how far a job is, how fast it goes, and how long it will take."""
    done = progress.done
    line = f"{done.rows:,} of {many(progress.total, 'row')}"
    rows = done.rows - before.rows
    if not rows or seconds <= 0:
        return line
    tokens = done.tokens - before.tokens
    left = (progress.total - done.rows) * seconds / rows
    return (
        f"{line}, {rows / seconds:,.0f} rows/s, {tokens / seconds:,.0f} tokens/s, "
        f"{duration(left)} left"
    )
