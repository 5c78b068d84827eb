"""Chunks out of batches: the texts of a column, why some are none, and where a chunk ends."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from emblem.files.ports import CHUNK_BYTES, MAX_ROW_BYTES, Chunk
from emblem.files.rows import TOO_LONG


def is_text(kind: pa.DataType) -> bool:
    """Tell whether a column of this type holds texts."""
    types = pa.types
    if types.is_dictionary(kind):
        return is_text(kind.value_type)
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))


@dataclass(frozen=True, slots=True, eq=False)
class Column:
    """The text column of a batch. ``sizes`` is (n,) int64, in bytes of UTF-8; 0 for null."""

    values: pa.Array
    sizes: npt.NDArray[np.int64]

    @classmethod
    def of(cls, array: pa.Array) -> "Column":
        """Look at a column of texts of any of Arrow's kinds."""
        if pa.types.is_dictionary(array.type):
            array = array.dictionary_decode()
        array = array.cast(pa.large_string())
        lengths = pc.fill_null(pc.binary_length(array), 0)
        return cls(array, lengths.to_numpy(zero_copy_only=False))

    def text(self, row: int) -> tuple[str | None, str]:
        """Give a text, or None and why there is none."""
        if self.sizes[row] > MAX_ROW_BYTES:
            return None, TOO_LONG
        try:
            text = self.values[row].as_py()
        except UnicodeDecodeError:
            return None, "is not UTF-8"
        if text is None:
            return None, "is null"
        return (text, "") if text else (None, "is empty")


def rows_at(batch: pa.RecordBatch, positions: Sequence[int]) -> pa.RecordBatch:
    """Give some rows of a batch, by their ascending positions; Arrow's own take knows few types."""
    if len(positions) == batch.num_rows:
        return batch
    at = np.asarray(positions, np.int64)
    runs = np.split(at, np.flatnonzero(np.diff(at) != 1) + 1) if len(at) else []
    slices = [batch.slice(int(run[0]), len(run)) for run in runs]
    return pa.concat_batches(slices) if slices else batch.slice(0, 0)


class Gathered:
    """The rows of a chunk that is being read; ``size`` is that of ``Source.chunks``."""

    def __init__(self, first_row: int, size: int) -> None:
        self.next_row = self._first = first_row
        self._size = size
        self._texts: list[str | None] = []
        self._problems: dict[int, str] = {}
        self._batches: list[pa.RecordBatch] = []
        self._files: list[str] = []
        self._bytes = 0

    def add(self, batch: pa.RecordBatch, column: Column, start: int, file: str) -> int:
        """Take in the rows from ``start`` on that still belong to the chunk; say how many."""
        rows = self._size - self.next_row % self._size
        total = np.cumsum(column.sizes[start : start + rows])
        count = min(len(total), int(np.searchsorted(total, CHUNK_BYTES - self._bytes)) + 1)
        for row in range(start, start + count):
            text, problem = column.text(row)
            if problem:
                self._problems[len(self._texts)] = problem
            self._texts.append(text)
        self._batches.append(batch.slice(start, count))
        self._files += [file] * count if file else []
        self._bytes += int(total[count - 1])
        self.next_row += count
        return count

    @property
    def full(self) -> bool:
        """Whether the chunk ends here."""
        return bool(self._texts) and (self.next_row % self._size == 0 or self._bytes >= CHUNK_BYTES)

    @property
    def empty(self) -> bool:
        """Whether there is no row."""
        return not self._texts

    def chunk(self) -> Chunk:
        """Give the chunk. Raises pyarrow.ArrowInvalid where a column is more than Arrow holds."""
        records = self._batches[0] if len(self._batches) == 1 else pa.concat_batches(self._batches)
        texts, files = tuple(self._texts), tuple(self._files)
        return Chunk(self._first, texts, self._problems, records, files)
