"""A process that records as fast as it is told to, until it is stopped or killed.

Arguments: the database's address, how many records, and how many a second. Each line that it prints
is the number of the last record that it has taken.
"""

import asyncio
import contextlib
import signal
import sys
import time
from pathlib import Path

from emblem.accounts import Use
from emblem.ledger.address import url_of
from emblem.ledger.database import Database
from emblem.ledger.recorder import Recorder
from emblem.ledger.usagebook import SqlUsageBook

PAUSE_S = 0.01


async def record(recorder: Recorder, most: int, rate: int) -> None:
    began = time.monotonic()
    taken = 0
    while taken < most:
        due = min(most, int((time.monotonic() - began) * rate) + 1)
        for number in range(taken, due):
            recorder.record(
                Use(f"req-{number:07}", time.time(), "k", None, "m", "s", "l", 1, 2, 0, 200, 3.0)
            )
        taken = max(taken, due)
        print(taken, flush=True)
        await asyncio.sleep(PAUSE_S)
    await asyncio.Event().wait()


async def main() -> None:
    url, most, rate = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    database = Database(url_of(url, Path()))
    recorder = Recorder(SqlUsageBook(database))
    work = asyncio.ensure_future(record(recorder, most, rate))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, work.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await work
    await recorder.aclose()
    database.close()
    print("lost", recorder.lost, flush=True)


asyncio.run(main())
