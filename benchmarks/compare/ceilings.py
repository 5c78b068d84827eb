"""What the processor can do at most: the model's bare matrix products, in processes of their own."""

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import cast

from benchmarks.compare.systems import TORCH, Running, System

PRODUCTS = str(Path(__file__).with_name("products.py"))
ROWS = (16, 32, 64, 128, 256, 512, 1024)
ROW = 128  # tokens: what passages and queries are packed into
LIBRARIES = (
    System("openvino", "OpenVINO", Path(sys.executable), (PRODUCTS, "openvino")),
    System("torch", "torch", TORCH, (PRODUCTS, "torch")),
)
Ceiling = dict[str, dict[str, float]]  # GFLOP/s by kind and way
Found = dict[str, dict[str, dict[str, float]]]  # GFLOP/s by kind, way and rows


class Ceilings:
    """The libraries that multiply, which are stopped while they are not asked. Close it."""

    def __init__(self, libraries: Sequence[System] = LIBRARIES) -> None:
        """Start those that are installed. Raises RuntimeError where none is."""
        self._stack = ExitStack()
        self._running: list[Running] = []
        for library in libraries:
            if library.missing() is None:
                running = Running(library)
                self._stack.callback(running.close)
                running.ask({})
                running.pause()
                self._running.append(running)
        if not self._running:
            raise RuntimeError("no library is there to multiply with")

    def of_a_round(self) -> Ceiling:
        """Give GFLOP/s by kind and way, at the number of rows that Emblem computes."""
        found, _ = self._measure(("fp32", "int8"), (ROW,), 0.3)
        return {
            kind: {way: by_rows[str(ROW)] for way, by_rows in ways.items()}
            for kind, ways in found.items()
        }

    def of_all_rows(self, rounds: int) -> dict[str, object]:
        """Give GFLOP/s by kind, way and rows, medians of some rounds, and GB/s of a copy."""
        runs, copies = [], []
        for _ in range(rounds):
            found, copy = self._measure(("fp32", "int8", "bf16"), ROWS, 0.1)
            runs.append(found)
            copies += [copy] if copy else []
        each: dict[str, object] = {
            kind: {
                way: {rows: median(one[kind][way][rows] for one in runs) for rows in by_rows}
                for way, by_rows in ways.items()
            }
            for kind, ways in runs[0].items()
        }
        return {**each, "copy_gb_s": median(copies) if copies else None}

    def _measure(
        self, kinds: Sequence[str], rows: Sequence[int], seconds: float
    ) -> tuple[Found, float | None]:
        found: Found = {}
        copy = None
        for running in self._running:
            running.resume()
            asked = {"kinds": kinds, "rows": rows, "seconds": seconds, "copy": len(rows) > 1}
            answer = running.ask(asked)
            running.pause()
            for kind, ways in cast("Found", answer["products"]).items():
                found.setdefault(kind, {}).update(ways)
            copy = cast("float | None", answer.get("copy", copy))
        return found, copy

    def close(self) -> None:
        """End the libraries."""
        self._stack.close()
