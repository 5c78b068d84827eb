"""Who gets how many threads: a row that runs alone all of them, rows that run beside others a share.

The streams of a graph are fixed when it is compiled, so it is compiled twice where there are
several. Measured with MiniLM in float32 on 2 cores, medians of interleaved rounds: two streams of one
thread gave 10…18 % more tokens in a second than one of two threads, and a text that came alone
took 4.8 ms instead of 3.0. The second one costs 0.15 s and about 160 MiB.

Where all streams run bulk, the first one is free for a row that somebody waits for, and the threads
of the second give way to it.
"""

import os
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from emblem.backends.runtime import compiled, openvino

# What runs side by side gives way to whatever else wants the processors: the event loop, the readers,
# and a row that somebody waits for. Five steps leave it a quarter of a processor that another
# program wants too; ten left it a tenth, and a query came no sooner.
STEPS_BACK = 5


class Execution:
    """A graph, compiled for ``streams`` that share ``threads``, and for a row that has them all.

    For the graphs that are built here both give the same bytes; so did 1…16 threads, on a CPU with
    AVX-512. Raises ValueError for more streams than threads, and whatever OpenVINO raises.
    """

    def __init__(
        self, model: openvino.Model, *, threads: int, streams: int, group_size: int = 0
    ) -> None:
        refuse_more(streams, threads)
        self._model: openvino.Model | None = model if streams > 1 else None
        self._threads = threads
        self._streams = streams
        self._group_size = group_size
        self._alone: openvino.CompiledModel | None = compiled(
            model, threads=threads, streams=1, group_size=group_size
        )
        self._beside: openvino.CompiledModel | None = None
        self._compiling = threading.Lock()
        self._counting = threading.Lock()
        self._opened = self._running = 0
        self._alone_runs = False

    @property
    def streams(self) -> int:
        """How many rows may run at once."""
        return self._streams

    def requests(self) -> "Requests":
        """Open what one stream needs. Called once by each thread that runs one, or proves it.

        The first to call can run at once. The second compiles for all that run beside others.
        """
        if self._alone is None:
            raise RuntimeError("the backend is closed")
        with self._counting:
            self._opened += 1
            first = self._opened == 1
        if not first and self._streams > 1:
            self.beside()
        return Requests(self, self._alone.create_infer_request())

    def spare(self) -> "Requests":
        """Open what a row needs that is run beside those of all streams, where there are several."""
        if self._alone is None:
            raise RuntimeError("the backend is closed")
        return Requests(self, self._alone.create_infer_request(), spare=True)

    def beside(self) -> openvino.CompiledModel:
        """Give the graph whose streams share the threads. It is compiled once."""
        with self._compiling:
            if self._beside is None:
                if self._model is None:
                    raise RuntimeError("one stream runs beside no other")
                # Its threads are as patient as the one that starts them.
                with ThreadPoolExecutor(1, "emblem-compile", _step_back) as patient:
                    self._beside = patient.submit(
                        compiled,
                        self._model,
                        threads=self._threads,
                        streams=self._streams,
                        group_size=self._group_size,
                    ).result()
                self._model = None
            return self._beside

    @contextmanager
    def turn(self, *, bulk: bool = False, spare: bool = False) -> Iterator[bool]:
        """Hold a place among what runs, and tell whether it may have all threads.

        It may where nothing else runs; bulk, which could keep a spare row waiting there, only where
        there is no spare. A spare row may, unless such a row runs already.
        """
        with self._counting:
            self._running += 1
            alone = spare or (self._running == 1 and not (bulk and self._streams > 1))
            alone = alone and not self._alone_runs
            self._alone_runs |= alone
        try:
            yield alone
        finally:
            with self._counting:
                self._running -= 1
                self._alone_runs &= not alone

    def close(self) -> None:
        """Free the compiled graphs. Called once, when no stream runs any more."""
        self._alone = self._beside = self._model = None


def _step_back() -> None:
    """Have this thread, and those that it starts, run when others do not want to, where that can be."""
    if sys.platform == "linux":  # elsewhere it would be the whole process
        os.nice(STEPS_BACK)


def refuse_more(streams: int, threads: int) -> None:
    """Raise ValueError for more streams than threads, or for none."""
    if not 1 <= streams <= threads:
        raise ValueError(f"{streams} streams on {threads} threads")


class Requests:
    """The infer requests of one thread, always with shared inputs and outputs."""

    def __init__(
        self, execution: Execution, alone: openvino.InferRequest, *, spare: bool = False
    ) -> None:
        self._execution = execution
        self._spare = spare
        self._alone = alone
        self._beside: openvino.InferRequest | None = None

    def infer(self, inputs: list[Any], *, bulk: bool = False) -> Any:
        """Run the graph: its outputs by their places, until the next run."""
        with self._execution.turn(bulk=bulk, spare=self._spare) as alone:
            request = self._alone if alone else self._shared()
            # Of a list OpenVINO looks first whether it is a text, which takes 30 µs.
            return request.infer(tuple(inputs), share_inputs=True, share_outputs=True)

    def _shared(self) -> openvino.InferRequest:
        if self._beside is None:
            self._beside = self._execution.beside().create_infer_request()
        return self._beside
