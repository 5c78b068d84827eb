"""A request as a queue sees it, for the tests that look at queues alone."""

import asyncio

import numpy as np

from emblem.core.pack import Waiting
from emblem.core.plan import Plan
from emblem.core.tokenize import Window
from emblem.engine.queue import Job

FOREVER = float("inf")
LOOP = asyncio.new_event_loop()
LOOP.close()  # whatever is resolved is resolved for nobody


def job(
    *lengths: int,
    deadline: float = FOREVER,
    share: str = "",
    loop: asyncio.AbstractEventLoop = LOOP,
) -> Job:
    """Make a request of sequences of these lengths."""
    windows = [Window(np.zeros(length, np.int32), 0, length) for length in lengths]
    n = len(lengths)
    return Job(
        plan=Plan(windows, np.zeros(n, np.int32), np.ones(1, np.int32), ()),
        waiting=Waiting.of(lengths, deadline, share),
        vectors=np.empty((n, 2), np.float32),
        bytes=10 * n,
        finished=asyncio.Future(loop=loop),
        tokens=int(sum(lengths)),
        remaining=n,
    )
