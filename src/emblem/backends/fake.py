"""A backend without weights, for tests: ours, and those of whoever builds on Emblem.

The state of a token depends on its id and on its place in its own sequence, and on nothing else::

    states[t, j] = sin((id + 1) * (j + 1) + place / 10)

So two texts of the same tokens get the same vector whatever shares their row, and a vector that
belongs to another text is found out.
"""

import threading

import numpy as np

from emblem.types import Row, Vectors


class FakeBackend:
    """Deterministic states at once; or an error, or a wait, when told so.

    Safe to steer from any thread while its streams run in others.
    """

    def __init__(self, width: int = 8, *, row_tokens: int = 64, streams: int = 1) -> None:
        self._width = width
        self._row_tokens = row_tokens
        self._streams = streams
        self._open = threading.Event()
        self._open.set()
        self._lock = threading.Lock()
        self._error: Exception | None = None
        self._rows: list[Row] = []
        self._started = threading.Semaphore(0)
        self.closed = False

    @property
    def width(self) -> int:
        """Numbers per token."""
        return self._width

    @property
    def row_tokens(self) -> int:
        """Tokens in a row that the engine should aim for."""
        return self._row_tokens

    @property
    def streams(self) -> int:
        """How many streams may run at once."""
        return self._streams

    @property
    def rows(self) -> tuple[Row, ...]:
        """Every row that was begun, in order, the failed ones too."""
        with self._lock:
            return tuple(self._rows)

    def stream(self) -> "FakeStream":
        """Open a stream. Called once by each thread that runs one."""
        return FakeStream(self)

    def row_bytes(self, tokens: int) -> int:
        """Bytes of the states of a row."""
        return tokens * self._width * 4

    def close(self) -> None:
        """Remember that it was closed, and let go of whoever is blocked."""
        self.closed = True
        self._open.set()

    def fail(self, error: Exception | None) -> None:
        """Raise this from every run from now on; None ends it."""
        with self._lock:
            self._error = error

    def block(self) -> None:
        """Let every run from now on wait, once begun, until ``release``."""
        self._open.clear()

    def release(self) -> None:
        """Let all runs go on."""
        self._open.set()

    def await_run(self, timeout_s: float = 10.0) -> bool:
        """Wait until one more run has begun than were waited for before; False after the time."""
        return self._started.acquire(timeout=timeout_s)

    def run(self, row: Row) -> Vectors:
        """Give the states of a row: (T, width) float32. What ``fail`` and ``block`` say applies."""
        with self._lock:
            self._rows.append(row)
        self._started.release()
        self._open.wait()
        with self._lock:
            error = self._error
        if error is not None:
            raise error
        return states(row, self._width)


class FakeStream:
    """One line of execution of a fake."""

    def __init__(self, backend: FakeBackend) -> None:
        self._backend = backend

    def run(self, row: Row) -> Vectors:
        """Give the states of a row: (T, width) float32."""
        return self._backend.run(row)


def states(row: Row, width: int) -> Vectors:
    """Compute what a fake of that width gives for a row: (T, width) float32."""
    lengths = row.lengths.astype(np.int64)
    places = np.arange(len(row.ids)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    turns = (row.ids.astype(np.float64)[:, None] + 1) * np.arange(1, width + 1)
    return np.sin(turns + places[:, None] / 10).astype(np.float32)
