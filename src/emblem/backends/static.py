"""A table instead of a network: the state of a token is its row in the table."""

import numpy as np

from emblem.types import Row, Vectors

_ROW_TOKENS = 8192  # a look-up costs next to nothing, so a row is as long as memory likes


class StaticBackend:
    """Looks states up in a table of (vocabulary, width) float32.

    The table is shared by all streams and never written.
    """

    def __init__(self, table: Vectors, *, streams: int = 1) -> None:
        if table.ndim != 2 or not len(table):
            raise ValueError(f"a table has rows of numbers, not the shape {table.shape}")
        if streams < 1:
            raise ValueError(f"{streams} streams")
        self._table = np.ascontiguousarray(table, np.float32)
        self._streams = streams

    @property
    def width(self) -> int:
        """Numbers per token."""
        return int(self._table.shape[1])

    @property
    def row_tokens(self) -> int:
        """Tokens in a row beyond which throughput hardly grows."""
        return _ROW_TOKENS

    @property
    def streams(self) -> int:
        """How many streams may run at once."""
        return self._streams

    def stream(self) -> "StaticStream":
        """Open a stream. Called once by each thread that runs one."""
        return StaticStream(self._table)

    def row_bytes(self, tokens: int) -> int:
        """Bytes of the states of a row: a row is nothing else."""
        return tokens * self.width * 4

    def close(self) -> None:
        """Nothing is held but the table."""


class StaticStream:
    """One line of look-ups."""

    def __init__(self, table: Vectors) -> None:
        self._table = table

    def run(self, row: Row) -> Vectors:
        """Give the table's row for every token: (T, width) float32, a copy.

        Raises ValueError for an id that the table does not have.
        """
        if len(row.ids) and (int(row.ids.min()) < 0 or int(row.ids.max()) >= len(self._table)):
            raise ValueError(f"a token id is not within 0…{len(self._table) - 1}")
        return self._table[row.ids]
