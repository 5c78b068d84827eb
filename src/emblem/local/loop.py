"""An event loop in a thread of its own, so that any thread, and any other loop, may embed."""

import asyncio
import atexit
import os
import threading
import time
import weakref
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import CancelledError, Future
from concurrent.futures import TimeoutError as NotInTime
from contextlib import suppress
from typing import Any, TypeVar

from emblem.errors import DeploymentFailed

T = TypeVar("T")

# A program that ends waits no longer than this for what is being computed.
AT_EXIT_S = 5.0
LAST_WORDS_S = 2.0  # for calls to end by themselves once what embeds is closed
STREAMS = ("emblem-stream-", "emblem-overtaking")  # how the names of the engine's threads begin

_open: "weakref.WeakSet[Loop]" = weakref.WeakSet()


class Loop:
    """Runs coroutines for whoever asks. Safe to use from any thread, but not after a fork.

    ``name`` is for messages. The thread is a daemon: a program that forgets to close ends all the
    same.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._process = os.getpid()
        self._loop = asyncio.new_event_loop()
        self._lock = threading.Lock()
        self._close: Callable[[], Awaitable[None]] | None = None
        self._closing: Future[None] | None = None
        self._thread = threading.Thread(target=self._run, name="emblem-loop", daemon=True)
        self._thread.start()
        _open.add(self)

    def owns(self, close: Callable[[], Awaitable[None]]) -> None:
        """Await this, once, before the loop ends."""
        self._close = close

    def submit(self, work: Coroutine[Any, Any, T]) -> "Future[T]":
        """Start a coroutine. Raises DeploymentFailed after ``stop`` and in a forked process."""
        with self._lock:
            if self.is_mine and self._closing is None:
                return asyncio.run_coroutine_threadsafe(work, self._loop)
        work.close()
        self._refuse_fork()
        raise DeploymentFailed(f"{self._name} is closed")

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Wait for a coroutine, and cancel it where the waiting is interrupted."""
        future = self.submit(work)
        try:
            return future.result()
        except CancelledError:
            raise DeploymentFailed(f"{self._name} is closed") from None
        except BaseException:
            future.cancel()
            raise

    async def wait(self, work: Coroutine[Any, Any, T]) -> T:
        """Wait for a coroutine on another loop, and cancel it where the waiting is cancelled."""
        future = self.submit(work)
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            raise DeploymentFailed(f"{self._name} is closed") from None

    def stop(self) -> "Future[None]":
        """Begin to close; what is given is done once all is closed. Any number of times.

        Raises DeploymentFailed in a forked process: the model is its parent's.
        """
        self._refuse_fork()
        with self._lock:
            if self._closing is None:
                self._closing = asyncio.run_coroutine_threadsafe(self._finish(), self._loop)
                self._closing.add_done_callback(lambda _: self._end())
            return self._closing

    @property
    def is_mine(self) -> bool:
        """Tell whether this process made the loop."""
        return os.getpid() == self._process

    async def _finish(self) -> None:
        try:
            if self._close is not None:
                await self._close()
        finally:
            await self._last_words()

    async def _last_words(self) -> None:
        """Let callers that wait hear that it is closed: their calls fail by now, or are ended."""
        if waiting := asyncio.all_tasks() - {asyncio.current_task()}:
            _, stuck = await asyncio.wait(waiting, timeout=LAST_WORDS_S)
            for task in stuck:
                task.cancel()
            await asyncio.gather(*stuck, return_exceptions=True)

    def _end(self) -> None:
        _open.discard(self)
        self._loop.call_soon_threadsafe(self._loop.stop)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
        finally:
            self._loop.close()

    def _refuse_fork(self) -> None:
        if not self.is_mine:
            raise DeploymentFailed(
                f"{self._name} was loaded before this process was forked, and its threads stayed "
                "behind; load it in the forked process, or start that with "
                'multiprocessing.get_context("spawn")'
            )


@atexit.register
def _stop_all() -> None:
    """Let the rows that run come to their end: a device must not be taken away below them."""
    until = time.monotonic() + AT_EXIT_S
    stopping = [loop.stop() for loop in list(_open) if loop.is_mine]
    for closed in stopping:
        with suppress(Exception, NotInTime):
            closed.result(max(0.0, until - time.monotonic()))
    if stopping:
        for thread in threading.enumerate():
            if thread.name.startswith(STREAMS):
                thread.join(max(0.0, until - time.monotonic()))
