"""Lance: a table in a folder, as lancedb opens it. Nothing leaves the machine.

The folder holds times and random names, so that two of them are never the same bytes; what they
hold is compared with ``same_table``.
"""

import shutil
from collections.abc import Iterable, Iterator
from itertools import zip_longest
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import lancedb
import pyarrow as pa

from emblem.errors import InvalidRequest
from emblem.files.arrow import output_batch, output_schema
from emblem.files.arrow_parts import grouped, read_parts, write_part
from emblem.files.ports import Layout, Part

TABLE = "table"  # the name of a table while it is written
READ_ROWS = 512

# Lance holds several batches while it writes, and reads ahead as far as it is asked for.
WRITE_BYTES = 8 << 20
AHEAD_ROWS = 16 * READ_ROWS


class LanceSink:
    """Writes a folder ``NAME.lance``: ``lancedb.connect(its parent).open_table(NAME)``.

    The schema says under ``emblem`` what the vectors are. A part is an Arrow file. Raises
    InvalidRequest for columns that Lance cannot hold.
    """

    typed = True

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        if layout.schema is not None:
            self._schema = output_schema(layout)
            with TemporaryDirectory() as folder:
                _create(Path(folder), [], self._schema)

    @staticmethod
    def beside(out: Path) -> tuple[Path, ...]:  # noqa: ARG004 - other formats need it
        """Name what belongs to an output: it is one file, or one folder."""
        return ()

    def write_part(self, path: Path, part: Part) -> None:
        """Write the rows of a part with their vectors."""
        write_part(path, output_batch(part, self._layout, self._schema))

    def join(self, parts: Iterator[Path], out: Path) -> tuple[Path, ...]:
        """Write the rows of all parts."""
        return self._write(read_parts(parts), self._schema, out)

    def merge(self, shards: Iterator[Path], out: Path) -> tuple[Path, ...]:
        """Write the rows of all shards. Raises InvalidRequest where their columns differ."""
        paths = list(shards)
        schema = _opened(paths[0]).schema
        for path in paths[1:]:
            if not _opened(path).schema.equals(schema):
                raise InvalidRequest(f"{path.name} has other columns than {paths[0].name}")
        return self._write((batch for path in paths for batch in rows(path)), schema, out)

    def _write(
        self, batches: Iterable[pa.RecordBatch], schema: pa.Schema, out: Path
    ) -> tuple[Path, ...]:
        with TemporaryDirectory(dir=out.parent, prefix=f"{out.name}.") as folder:
            made = _create(Path(folder), grouped(batches, schema, WRITE_BYTES), schema)
            if out.exists():
                shutil.rmtree(out)
            made.rename(out)
        return (out,)


def _create(folder: Path, batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> Path:
    reader = pa.RecordBatchReader.from_batches(schema, batches)
    try:
        lancedb.connect(folder).create_table(TABLE, reader)
    except (RuntimeError, pa.ArrowException) as error:
        raise InvalidRequest(f".lance cannot hold these columns: {_line(error)}") from None
    return folder / f"{TABLE}.lance"


def _opened(path: Path) -> Any:
    try:
        return lancedb.connect(path.parent).open_table(path.stem)
    except (RuntimeError, ValueError, OSError) as error:
        raise InvalidRequest(f"{path.name} cannot be read as Lance: {_line(error)}") from None


def rows(path: Path) -> Iterator[pa.RecordBatch]:
    """Give the rows of a table in their order, in small batches. Raises InvalidRequest."""
    table = _opened(path)
    last = -1
    for batch in _scanned(table):
        for number in batch.column("_rowid").to_pylist():
            if number <= last:
                raise InvalidRequest(f"{path.name} gave its rows in another order; try again")
            last = number
        yield batch.drop_columns(["_rowid"]).cast(table.schema)


def _scanned(table: Any) -> Iterator[pa.RecordBatch]:
    for first in range(0, table.count_rows(), AHEAD_ROWS):
        some = table.search().with_row_id(True).offset(first).limit(AHEAD_ROWS)
        yield from some.to_batches(READ_ROWS)


def same_table(one: Path, other: Path) -> bool:
    """Tell whether two tables have the same columns and the same rows in the same order."""
    if not _opened(one).schema.equals(_opened(other).schema, check_metadata=True):
        return False
    schema = _opened(one).schema
    groups = zip_longest(grouped(rows(one), schema), grouped(rows(other), schema))
    return all(a is not None and b is not None and a.equals(b) for a, b in groups)


def _line(error: Exception) -> str:
    """Say it in one line, without the place in somebody else's source."""
    said = " ".join(str(error).split())
    return said.partition(", /")[0][:300]
