"""NumPy's format: the vectors alone, and beside them which row of the input each belongs to."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy

from emblem.files.ports import Layout, Part

ROWS = np.dtype(np.int64)


class NpySink:
    """Writes ``OUT.npy``, (n, d), and ``OUT.rows.npy``, (n,) int64. It has no place for columns.

    A part holds both arrays, the rows first.
    """

    typed = False

    def __init__(self, layout: Layout) -> None:
        self._numbers = layout.numbers
        self._type = layout.number_type

    @staticmethod
    def beside(out: Path) -> tuple[Path, ...]:
        """Name the file of row numbers."""
        return (rows_of(out),)

    def write_part(self, path: Path, part: Part) -> None:
        """Write the row numbers and the vectors of a part."""
        with path.open("xb") as out:
            np.save(out, part.rows.astype(ROWS))
            np.save(out, np.ascontiguousarray(part.vectors, self._type))

    def join(self, parts: Iterator[Path], out: Path) -> tuple[Path, ...]:
        """Write the vectors of all parts as one array, and their rows as another."""
        paths = list(parts)
        rows_out = rows_of(out)
        count = sum(_count(path) for path in paths)
        with ExitStack() as stack:
            vectors, rows = self._started(stack, out, count)
            for path in paths:
                part = stack.enter_context(path.open("rb"))
                np.load(part).tofile(rows)
                _header(part)
                shutil.copyfileobj(part, vectors, 1 << 20)
                part.close()
        return out, rows_out

    def merge(self, shards: Iterator[Path], out: Path) -> tuple[Path, ...]:
        """Write the arrays of all shards as one, and their rows as another."""
        paths = list(shards)
        count = sum(_count(path) for path in paths)
        with ExitStack() as stack:
            vectors, rows = self._started(stack, out, count)
            for path in paths:
                _append(path, vectors)
                _append(rows_of(path), rows)
        return out, rows_of(out)

    def _started(self, stack: ExitStack, out: Path, count: int) -> tuple[IO[bytes], IO[bytes]]:
        """Open both files and write what stands before the numbers."""
        vectors = stack.enter_context(out.open("wb"))
        rows = stack.enter_context(rows_of(out).open("wb"))
        _begin(vectors, self._type, (count, self._numbers))
        _begin(rows, ROWS, (count,))
        return vectors, rows


def rows_of(out: Path) -> Path:
    """Give the file of row numbers that belongs to a file of vectors."""
    return out.with_suffix(".rows.npy")


def _count(path: Path) -> int:
    with path.open("rb") as handle:
        return int(_header(handle)[0])


def _header(handle: IO[bytes]) -> Sequence[int]:
    """Read what stands before the numbers, and give the shape."""
    version = npy.read_magic(handle)
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape: Sequence[int] = read(handle)[0]
    return shape


def _begin(handle: IO[bytes], dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
    descr = npy.dtype_to_descr(dtype)
    npy.write_array_header_1_0(handle, {"descr": descr, "fortran_order": False, "shape": shape})


def _append(path: Path, out: IO[bytes]) -> None:
    with path.open("rb") as handle:
        _header(handle)
        shutil.copyfileobj(handle, out, 1 << 20)
