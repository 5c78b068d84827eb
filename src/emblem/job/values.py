"""What a job is asked for and what came of it, as plain values."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from emblem.core.output import cast
from emblem.errors import InvalidRequest
from emblem.files.ports import Numbers
from emblem.types import Kind, OutputType, Overflow, Vectors


class NumberFormat(StrEnum):
    """The number format of the vectors in a file. The last four are as the server's answers."""

    FLOAT32 = "float32"
    FLOAT16 = "float16"
    INT8 = "int8"
    UINT8 = "uint8"
    BINARY = "binary"
    UBINARY = "ubinary"

    @property
    def output(self) -> OutputType:
        """The same as an answer of the server has it; float16 is float there."""
        return OutputType.FLOAT if self in _FLOATS else OutputType(self.value)

    @property
    def dtype(self) -> "np.dtype[np.float32 | np.float16 | np.int8 | np.uint8]":
        """The type of the numbers in an array."""
        match self:
            case NumberFormat.FLOAT32:
                return np.dtype(np.float32)
            case NumberFormat.FLOAT16:
                return np.dtype(np.float16)
            case NumberFormat.INT8 | NumberFormat.BINARY:
                return np.dtype(np.int8)
            case NumberFormat.UINT8 | NumberFormat.UBINARY:
                return np.dtype(np.uint8)

    def numbers(self, dimensions: int) -> int:
        """How many numbers a vector of so many dimensions has in a file."""
        return dimensions // 8 if self in (self.BINARY, self.UBINARY) else dimensions

    def write(self, vectors: Vectors) -> Numbers:
        """Write (n, d) vectors in this format. Raises InvalidRequest for what float16 cannot hold."""
        if self is not NumberFormat.FLOAT16:
            return cast(vectors, self.output)
        with np.errstate(over="ignore"):
            halves = vectors.astype(np.float16)
        if not np.isfinite(halves).all():
            raise InvalidRequest("the vectors have numbers too large for float16; use float32")
        return halves


_FLOATS = (NumberFormat.FLOAT32, NumberFormat.FLOAT16)


@dataclass(frozen=True, slots=True)
class Choices:
    """What decides the bytes of an output, beside the input and the space."""

    kind: Kind | None = None
    dimensions: int | None = None
    overflow: Overflow | None = None
    dtype: NumberFormat = NumberFormat.FLOAT32
    vector_column: str = "embedding"
    overflow_column: str = "overflow"


@dataclass(frozen=True, slots=True)
class Shard:
    """The ``number``-th, from 1, of ``of`` parts of a job. The parts follow one another."""

    number: int = 1
    of: int = 1

    @classmethod
    def read(cls, written: str) -> "Shard":
        """Read ``2/8``. Raises InvalidRequest."""
        found = re.fullmatch(r"(\d{1,5})/(\d{1,5})", written, re.ASCII)
        number, of = (int(found[1]), int(found[2])) if found else (0, 0)
        if not 1 <= number <= of:
            raise InvalidRequest(f"--shard is {written!r}; it must be like 1/4, from 1/4 to 4/4")
        return cls(number, of)

    def rows(self, total: int, size: int) -> tuple[int, int]:
        """Give the first row and the one after the last; all but the last are multiples of size."""
        blocks = -(-total // size)
        first, stop = (blocks * part // self.of for part in (self.number - 1, self.number))
        return min(first * size, total), min(stop * size, total)

    @property
    def suffix(self) -> str:
        """What stands behind the name of an output; "" for the only one."""
        return f"-{self.number:05}-of-{self.of:05}" if self.of > 1 else ""

    def __str__(self) -> str:
        """Write it as it is read."""
        return f"{self.number}/{self.of}"


@dataclass(frozen=True, slots=True)
class Failure:
    """A row without a vector. It does not have the text: that may be private, or very long."""

    row: int
    why: str
    file: str = ""


@dataclass(frozen=True, slots=True)
class Tally:
    """What became of rows. ``overflowed`` is None where a server does not say."""

    rows: int = 0
    failed: int = 0
    overflowed: int | None = 0
    tokens: int = 0

    def __add__(self, other: "Tally") -> "Tally":
        """Count both."""
        unknown = self.overflowed is None or other.overflowed is None
        return Tally(
            self.rows + other.rows,
            self.failed + other.failed,
            None if unknown else (self.overflowed or 0) + (other.overflowed or 0),
            self.tokens + other.tokens,
        )

    @property
    def vectors(self) -> int:
        """How many rows have a vector."""
        return self.rows - self.failed


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job is. ``resumed`` rows were done before this run; ``done`` has those too."""

    total: int
    resumed: int
    done: Tally


# What a job is, as plain words: who runs the same one again must come with the same.
Identity = Mapping[str, str | int | None]
