"""A table instead of a network: the state of a token is its row in the table."""

import numpy as np
import numpy.typing as npt

from emblem.types import Row, Vectors

_ROW_TOKENS = 8192  # a look-up costs next to nothing, so a row is as long as memory likes
_INSTANT_TOKENS = 256  # some 30 µs


class StaticBackend:
    """Looks states up in a table of (rows, width) float32: ``table[rows[t]] * weights[t]``.

    ``rows`` is (vocabulary,) int64, None where token t's row is t; ``weights`` is (vocabulary,)
    float32, None where all are 1. They are shared by all streams and never written.
    """

    def __init__(
        self,
        table: Vectors,
        *,
        rows: npt.NDArray[np.int64] | None = None,
        weights: npt.NDArray[np.float32] | None = None,
        streams: int = 1,
    ) -> None:
        if table.ndim != 2 or not len(table):
            raise ValueError(f"a table has rows of numbers, not the shape {table.shape}")
        if streams < 1:
            raise ValueError(f"{streams} streams")
        self._table = np.ascontiguousarray(table, np.float32)
        self._rows = rows
        self._weights = weights
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

    @property
    def instant_tokens(self) -> int:
        """Tokens in a row up to which a thread would only cost time; see ``ports.Instant``."""
        return _INSTANT_TOKENS

    def stream(self) -> "StaticStream":
        """Open a stream. Called once by each thread that runs one."""
        return StaticStream(self._table, self._rows, self._weights)

    def row_bytes(self, tokens: int) -> int:
        """Bytes of the states of a row: a row is nothing else."""
        return tokens * self.width * 4

    def close(self) -> None:
        """Nothing is held but the table."""


class StaticStream:
    """One line of look-ups."""

    def __init__(
        self,
        table: Vectors,
        rows: npt.NDArray[np.int64] | None = None,
        weights: npt.NDArray[np.float32] | None = None,
    ) -> None:
        self._table = table
        self._rows = rows
        self._weights = weights
        self._vocabulary = len(table if rows is None else rows)

    def run(self, row: Row) -> Vectors:
        """Give the state of every token: (T, width) float32, a copy.

        Raises ValueError for an id that the table does not have.
        """
        ids = row.ids.astype(np.uint32)  # what is below 0 is beyond the end then
        try:
            states = self._table.take(ids if self._rows is None else self._rows[ids], axis=0)
        except IndexError:
            raise ValueError(f"a token id is not within 0…{self._vocabulary - 1}") from None
        if self._weights is not None:
            states *= self._weights[row.ids][:, None]
        return states
