"""The threads that read texts, by how much there is to read.

A tokenizer cannot be interrupted, and half a megabyte may take it a second. So short work has
threads that long work never gets, and the longest has one for all of it, which bounds the memory
of what is being read, too.
"""

import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

R = TypeVar("R")

# Characters. What is short takes a few milliseconds, what is not yet long a few tens.
SHORT = 8_192
LONG = 131_072

# What a text costs beyond its characters.
PER_TEXT = 16


def stay_in_own_thread() -> None:
    """Have every tokenizer of this process work in the thread that calls it, and in no other.

    Otherwise all share one pool of threads, where a short text waits until one has read a long one.
    """
    os.environ["TOKENIZERS_PARALLELISM"] = "false"


class Readers:
    """Threads for work that is short, longer or long. Each size has its own, and its own order.

    They are started when they are first needed. Called from the event loop.
    """

    def __init__(self) -> None:
        self._short, self._middle, self._long = (
            ThreadPoolExecutor(threads, thread_name_prefix=f"emblem-tokenise-{size}")
            for size, threads in (("short", 2), ("middle", 2), ("long", 1))
        )

    def submit(self, characters: int, work: Callable[[], R]) -> Future[R]:
        """Have some work done, which is as much as reading so many characters.

        Raises RuntimeError once this is closed.
        """
        if characters <= SHORT:
            return self._short.submit(work)
        return (self._middle if characters <= LONG else self._long).submit(work)

    def close(self) -> None:
        """Take no more work. What runs goes on, and nobody waits for it."""
        for pool in (self._short, self._middle, self._long):
            pool.shutdown(wait=False)
