"""The contracts between a job and the files it reads and writes, on one page.

A ``Source`` gives the rows of files in chunks, a ``Sink`` writes what became of a chunk to a file
of its own, a part, and at the end joins the parts. Both run in threads, one call at a time.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

# Rows of a chunk. It is one request, and what is lost at most when a job is killed.
CHUNK_ROWS = 512

# A chunk with texts of so many bytes is not made longer.
CHUNK_BYTES = 8 << 20

# A row longer than that is not read: one line without an end must not fill the memory.
MAX_ROW_BYTES = 64 << 20

# What a row held: for each row a JSON object in UTF-8 (b"" for one that could not be read), or a
# pyarrow.RecordBatch. Only sources and sinks look inside.
Records = tuple[bytes, ...] | Any

Numbers = (
    npt.NDArray[np.float32] | npt.NDArray[np.float16] | npt.NDArray[np.int8] | npt.NDArray[np.uint8]
)


@dataclass(frozen=True, slots=True)
class Files:
    """Files of one kind, in the order in which they are read; ``names`` are for people."""

    paths: tuple[Path, ...]
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Chunk:
    """Rows that follow one another. ``first_row`` counts from 0 over the whole input.

    ``texts`` has one entry for each row, None where there is no text to embed; ``problems`` says
    why, by the position in the chunk, such as "is null". ``files`` names each row's file where the
    input is several files, and is empty where it is one.
    """

    first_row: int
    texts: tuple[str | None, ...]
    problems: Mapping[int, str]
    records: Records
    files: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Scan:
    """What a first pass over the input finds.

    ``columns`` are in the order in which they are first seen; ``text_column`` is the one that is
    embedded. ``schema`` is the pyarrow.Schema of the columns, None where nobody asked for it.
    """

    rows: int
    columns: tuple[str, ...]
    text_column: str
    schema: Any = None


class Source(Protocol):
    """Rows of one or several files. Constructed with ``(files: Files, column: str | None)``."""

    def fingerprint(self) -> str:
        """SHA-256 in hex of all that is read; see ``fingerprint.of_files``."""
        ...

    def scan(self, *, typed: bool) -> Scan:
        """Read everything once, within bounded memory; comes before ``chunks``.

        The text column is the one that was asked for, else ``text``, else the only column of
        texts. With ``typed`` the scan has a schema. Raises InvalidRequest, in one line that names
        the file, for what cannot be read at all and for a column that is not there. A single row
        that is wrong is no reason: it is a problem of its chunk.
        """
        ...

    def chunks(self, size: int, first: int = 0, stop: int | None = None) -> Iterator[Chunk]:
        """Give the rows from ``first`` up to ``stop`` (None: to the end) in chunks.

        A chunk ends before the next row that is a multiple of ``size``, and after the row with
        which its texts come to CHUNK_BYTES: a pure function of the rows from its first on, so that
        whoever starts at the first row of a chunk gets the same chunks.
        """
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """What became of a chunk: the rows that have a vector, and nothing of those that failed.

    ``records`` are of the same kind as the chunk's; ``rows`` is (k,) int64, their numbers in the
    input; ``vectors`` is (k, d) in the number format that was asked for; ``overflowed`` is (k,)
    bool, or None where a server does not say which texts were too long. k may be 0.
    """

    records: Records
    rows: npt.NDArray[np.int64]
    vectors: Numbers
    overflowed: npt.NDArray[np.bool_] | None


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """How an output looks: the same for every part of it, and for every shard.

    ``vector_column`` and ``overflow_column`` stand after the input's own columns, in that order,
    and are none of them. ``numbers`` is d of ``Part.vectors`` and ``number_type`` its type.
    ``schema`` is that of ``Scan``, there where ``Sink.typed`` asks for it. ``about`` says what the
    vectors are (space, model, dimensions, …), for formats that have a place for it.
    """

    numbers: int
    number_type: np.dtype[Any]
    schema: Any = None
    vector_column: str = "embedding"
    overflow_column: str = "overflow"
    about: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


class Sink(Protocol):
    """Writes one format. Constructed with ``(layout: Layout)``. Equal parts give equal bytes.

    ``typed`` says whether it needs the schema of the input's columns.
    """

    typed: bool

    @staticmethod
    def beside(out: Path) -> tuple[Path, ...]:
        """Name the files beside ``out`` that belong to it, and that ``join`` writes too."""
        ...

    def write_part(self, path: Path, part: Part) -> None:
        """Write a part to a file that is not there yet; whoever calls syncs and renames it."""
        ...

    def join(self, parts: Iterator[Path], out: Path) -> tuple[Path, ...]:
        """Write the parts, in their order, as one output, within bounded memory.

        Gives every file or folder that it wrote, all beside one another: ``out``, then what
        belongs to it. There may be no part at all.
        """
        ...

    def merge(self, shards: Iterator[Path], out: Path) -> tuple[Path, ...]:
        """Write finished outputs of this format, in their order, as one; else as ``join``."""
        ...
