"""Awaiting work that is often done at once: what guards a wait costs nothing where there is none.

A timer and a task that watches a client take some 30 µs together. A small request to a static model
takes no more than that in all.
"""

import asyncio
from collections.abc import Callable, Coroutine, Generator
from contextlib import AbstractContextManager
from functools import partial
from types import TracebackType, coroutine
from typing import Any, Generic, Self, TypeVar

T = TypeVar("T")


@coroutine
def guarded(
    work: Coroutine[Any, Any, T], guard: Callable[[], AbstractContextManager[object]]
) -> Generator[Any, Any, T]:
    """Await work in this very task, inside of ``guard()`` from when it first has to wait."""
    try:
        awaited = work.send(None)
    except StopIteration as done:
        given: T = done.value
        return given
    with guard():
        while True:
            try:
                came = yield awaited
            except BaseException as error:  # noqa: BLE001 - the work decides what comes of it
                step = partial(work.throw, error)
            else:
                step = partial(work.send, came)
            try:
                awaited = step()
            except StopIteration as done:
                given = done.value
                return given


def begun(work: Coroutine[Any, Any, T]) -> T | asyncio.Task[T]:
    """Begin work at once, and give what came of it, or the task that goes on with it if it has to wait.

    What it raises before that is raised here. It must not ask for its task until it has waited.
    """
    try:
        awaited = work.send(None)
    except StopIteration as done:
        given: T = done.value
        return given
    return asyncio.get_running_loop().create_task(_Begun(work, awaited))


class _Begun(Coroutine[Any, Any, T], Generic[T]):
    """Work that has begun, and what it waits for, which its task is still to be told."""

    __slots__ = ("_told", "_untold", "_work")

    def __init__(self, work: Coroutine[Any, Any, T], awaited: object) -> None:
        self._work = work
        self._untold = awaited
        self._told = False

    def send(self, value: Any) -> Any:
        """Tell what it waits for, then take the next steps."""
        if self._told:
            return self._work.send(value)
        self._told = True
        untold, self._untold = self._untold, None
        return untold

    def throw(self, *error: Any) -> Any:
        """Raise an error in the work itself, also before anything was told."""
        self._told = True
        return self._work.throw(*error)

    def close(self) -> None:
        """End the work."""
        self._work.close()

    def __await__(self) -> Generator[Any, Any, T]:
        """Refuse: a task runs it, and nobody else."""
        raise TypeError("work that has begun is run by its task")


Strike = Callable[[], None]


class Interruption:
    """Cancels what the task awaits inside of it when ``strike`` is called, and raises ``error()``.

    ``watch``, where it is given, begins to look for a reason to strike and gives what ends that.
    Used on the event loop, as a context manager and once. A cancellation from elsewhere stays one.
    """

    def __init__(
        self,
        error: Callable[[], Exception],
        watch: Callable[[Strike], Callable[[], object]] | None = None,
    ) -> None:
        self._error = error
        self._watch = watch
        self._unwatch: Callable[[], object] | None = None
        self._task: asyncio.Task[Any] | None = None
        self._cancelling = 0
        self._struck = False

    def strike(self) -> None:
        """Cancel what is awaited inside; too late, or a second time, this does nothing."""
        if self._task is not None and not self._struck:
            self._struck = True
            self._task.cancel()

    def __enter__(self) -> Self:
        self._task = asyncio.current_task()
        self._cancelling = self._task.cancelling() if self._task else 0
        if self._watch is not None:  # which may strike at once
            self._unwatch = self._watch(self.strike)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None
    ) -> None:
        if self._unwatch is not None:
            self._unwatch()
        task, self._task = self._task, None
        if not self._struck or task is None:
            return
        if task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise self._error() from None


def within(seconds: float, error: Callable[[], Exception]) -> Interruption:
    """Raise ``error()`` where what is awaited inside takes longer."""
    return Interruption(error, partial(_after, seconds))


def _after(seconds: float, strike: Strike) -> Callable[[], None]:
    return asyncio.get_running_loop().call_later(seconds, strike).cancel
