"""What a recorded request costs: microseconds on the event loop, and records a second in the ledger.

``python benchmarks/usage.py`` measures with SQLite in a temporary folder; ``--database ADDRESS``
with PostgreSQL, whose tables should be empty.

The loop's share is the time that making a ``Use`` and ``record`` take, in turns of one request each with the writing
thread at work beside, as in a server; the thread's own time on the interpreter's lock is in it.
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from emblem.accounts import By, Use, Window
from emblem.ledger.address import url_of
from emblem.ledger.database import Database
from emblem.ledger.recorder import BATCH, Recorder
from emblem.ledger.usagebook import SqlUsageBook

REQUESTS = 20_000
PAUSE_S = 0.0002  # between two requests, so that a few thousand come in a second
KEYS = 50


def one(number: int, at: float) -> Use:
    """Make a record such as a server makes."""
    return Use(*values(number, at))


def values(number: int, at: float) -> tuple[Any, ...]:
    """Give what a server knows of a request."""
    key = f"key-{number % KEYS}"
    space = "all-MiniLM-L6-v2@53aa5117/384"
    said = ("user-1", ("search",))
    names = (f"req_{number:032x}", at, key, "team-1", "all-MiniLM-L6-v2", space, "local")
    return (*names, 1, 12, 0, 200, 5.0 + number % 100, 240, *said)


async def on_the_loop(book: SqlUsageBook, requests: int) -> list[float]:
    """Give the seconds that each request took."""
    recorder = Recorder(book)
    now = time.time()
    known = [values(number, now) for number in range(requests)]
    took = []
    for each in known:
        start = time.perf_counter()
        recorder.record(Use(*each))
        took.append(time.perf_counter() - start)
        await asyncio.sleep(PAUSE_S)
    await recorder.aclose()
    assert recorder.lost == 0
    return took


def writing(book: SqlUsageBook, batches: int = 20) -> float:
    """Give the records a second that are written in full batches."""
    at = time.time() - 7200
    began = time.perf_counter()
    for batch in range(batches):
        first = 10_000_000 + batch * BATCH
        book.add([one(number, at) for number in range(first, first + BATCH)])
    return batches * BATCH / (time.perf_counter() - began)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--database", default="", help="an address; default: a SQLite file")
    parser.add_argument("--requests", type=int, default=REQUESTS)
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        database = Database(url_of(given.database, Path(folder)))
        with closing(database):
            book = SqlUsageBook(database)
            took = asyncio.run(on_the_loop(book, given.requests))
            micros = sorted(1e6 * seconds for seconds in took)
            print(
                f"record on the event loop: mean {statistics.fmean(micros):.2f} us, "
                f"p50 {statistics.median(micros):.2f} us, "
                f"p99 {micros[int(0.99 * len(micros))]:.2f} us ({given.requests} requests)"
            )
            print(f"written in batches of {BATCH}: {writing(book):,.0f} records/s")
            began = time.perf_counter()
            rolled = book.roll_up(time.time())
            print(f"roll-up of {rolled} hours: {time.perf_counter() - began:.3f} s")
            began = time.perf_counter()
            groups = len(book.sums(Window(), (By.KEY, By.MODEL)))
            print(f"sums of {groups} keys: {1000 * (time.perf_counter() - began):.1f} ms")


if __name__ == "__main__":
    main()
