"""Parquet: columns are read as they are and written as they were, in groups of rows."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from emblem.errors import InvalidRequest
from emblem.files.arrow import output_batch, output_schema
from emblem.files.arrow_parts import grouped, read_parts, write_part
from emblem.files.arrow_texts import Column, Gathered, is_text
from emblem.files.fingerprint import of_files
from emblem.files.ports import Chunk, Files, Layout, Part, Scan
from emblem.files.rows import TEXT, choose_column

# What is decoded at once, by what the file says of its groups of rows.
READ_ROWS = 512
READ_BYTES = 16 << 20


class ParquetSource:
    """Streams batches of rows; see ``Source``. Every column is handed on untouched.

    The text column is a string column of any of Arrow's kinds, or a dictionary of strings.
    """

    def __init__(self, files: Files, column: str | None = None) -> None:
        self._files = files
        self._asked = column
        self._column = column or TEXT

    def fingerprint(self) -> str:
        """SHA-256 in hex of all that is read."""
        return of_files(self._files)

    def scan(self, *, typed: bool) -> Scan:
        """Read what the files say of themselves: rows, columns and types."""
        schemas = []
        rows = 0
        for path, name in self._each():
            with opened(path, name) as file:
                schemas.append(file.schema_arrow)
                rows += file.metadata.num_rows
            check_same(schemas[0], self._files.names[0], schemas[-1], name)
        schema = schemas[0]
        if twice := [one for one in schema.names if schema.names.count(one) > 1]:
            raise InvalidRequest(f"{self._files.names[0]} has two columns {twice[0]!r}")
        self._column = self._text_column(schema)
        return Scan(rows, tuple(schema.names), self._column, schema if typed else None)

    def _text_column(self, schema: pa.Schema) -> str:
        first = self._files.names[0]
        chosen = choose_column({one.name: is_text(one.type) for one in schema}, self._asked, first)
        if chosen not in schema.names:
            raise InvalidRequest(f"{first} has no column {chosen!r}, nor any other")
        kind = schema.field(chosen).type
        if not is_text(kind):
            texts = ", ".join(repr(one.name) for one in schema if is_text(one.type)) or "none"
            raise InvalidRequest(
                f"column {chosen!r} of {first} is {kind}, not string; columns of texts: {texts}"
            )
        return chosen

    def chunks(self, size: int, first: int = 0, stop: int | None = None) -> Iterator[Chunk]:
        """Give the rows from ``first`` up to ``stop`` in chunks; see ``Source``."""
        gathered = Gathered(first, size)
        for name, batch in self._rows(first, stop):
            start = 0
            with _readable(name):
                column = Column.of(batch.column(batch.schema.get_field_index(self._column)))
            while start < batch.num_rows:
                file = name if len(self._files.paths) > 1 else ""
                start += gathered.add(batch, column, start, file)
                if gathered.full:
                    yield _chunk(gathered, name)
                    gathered = Gathered(gathered.next_row, size)
        if not gathered.empty:
            yield _chunk(gathered, self._files.names[-1])

    def _rows(self, first: int, stop: int | None) -> Iterator[tuple[str, pa.RecordBatch]]:
        """Give the batches from a row up to another, each with its file's name."""
        row = 0  # of the whole input, at which the file or batch begins
        for path, name in self._each():
            with opened(path, name) as file:
                if row + file.metadata.num_rows <= first:
                    row += file.metadata.num_rows
                    continue
                skipped = max(0, first - row)
                row += skipped
                for batch in read_batches(file, name, skipped):
                    if stop is not None and row + batch.num_rows >= stop:
                        yield name, batch.slice(0, max(0, stop - row))
                        return
                    yield name, batch
                    row += batch.num_rows

    def _each(self) -> Iterator[tuple[Path, str]]:
        return zip(self._files.paths, self._files.names, strict=True)


def _chunk(gathered: Gathered, name: str) -> Chunk:
    with _readable(name):
        return gathered.chunk()


class ParquetSink:
    """Writes one file, in groups of rows that depend on nothing but the rows.

    The schema says under ``emblem`` what the vectors are. A part is an Arrow file. Raises
    InvalidRequest for columns that Parquet cannot hold.
    """

    typed = True

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        if layout.schema is not None:
            self._schema = output_schema(layout)
            self._written = _as_read(self._schema)

    @staticmethod
    def beside(out: Path) -> tuple[Path, ...]:  # noqa: ARG004 - other formats need it
        """Name what belongs to an output: it is one file, or one folder."""
        return ()

    def write_part(self, path: Path, part: Part) -> None:
        """Write the rows of a part with their vectors."""
        write_part(path, output_batch(part, self._layout, self._schema))

    def join(self, parts: Iterator[Path], out: Path) -> tuple[Path, ...]:
        """Write the rows of all parts."""
        self._write(read_parts(parts), self._written, out)
        return (out,)

    def merge(self, shards: Iterator[Path], out: Path) -> tuple[Path, ...]:
        """Write the rows of all shards. Raises InvalidRequest where their columns differ."""
        paths = list(shards)
        with opened(paths[0], paths[0].name) as file:
            schema = file.schema_arrow
        self._write(_batches(paths, schema), schema, out)
        return (out,)

    def _write(self, batches: Iterable[pa.RecordBatch], schema: pa.Schema, out: Path) -> None:
        # Vectors have next to no number twice: neither a dictionary nor statistics would help.
        vector = f"{self._layout.vector_column}.list."
        leaves = [one for one in _leaves(schema) if not one.startswith(vector)]
        with pq.ParquetWriter(
            out, schema, use_dictionary=leaves, write_statistics=leaves, write_page_checksum=True
        ) as writer:
            for group in grouped(batches, schema):
                writer.write_table(pa.Table.from_batches([group]), row_group_size=group.num_rows)


@contextmanager
def opened(path: Path, name: str) -> Iterator[pq.ParquetFile]:
    """Open a Parquet file for streaming. Raises InvalidRequest where it is none."""
    with _readable(name):
        file = pq.ParquetFile(
            path, pre_buffer=False, buffer_size=1 << 20, page_checksum_verification=True
        )
    with file:
        yield file


def read_batches(file: pq.ParquetFile, name: str, skip: int = 0) -> Iterator[pa.RecordBatch]:
    """Give the rows after the first ``skip`` in small batches. Raises InvalidRequest."""
    for number in range(file.num_row_groups):
        about = file.metadata.row_group(number)
        if skip >= about.num_rows:
            skip -= about.num_rows
            continue
        each = max(1, about.total_byte_size // about.num_rows)
        batches = file.iter_batches(
            max(1, min(READ_ROWS, READ_BYTES // each)), row_groups=[number], use_threads=False
        )
        while True:
            with _readable(name):
                batch = next(batches, None)
            if batch is None:
                break
            skipped = min(skip, batch.num_rows)
            skip -= skipped
            if skipped < batch.num_rows:
                yield batch.slice(skipped)


def check_same(one: pa.Schema, name: str, other: pa.Schema, other_name: str) -> None:
    """Raise InvalidRequest, saying where they differ, unless two files have the same columns."""
    if other.equals(one):
        return
    for index, field in enumerate(one):
        there = other.field(index) if index < len(other) else None
        if there is None or there.name != field.name:
            what = (
                f"column {index + 1} is {there.name!r}, not {field.name!r}"
                if there
                else (f"there is no column {field.name!r}")
            )
            break
        if not there.equals(field):
            what = f"column {field.name!r} is {_typed(there)}, not {_typed(field)}"
            break
    else:
        what = f"there is another column {other.field(len(one)).name!r}"
    raise InvalidRequest(f"{other_name} has other columns than {name}: {what}")


def _typed(field: pa.Field) -> str:
    return f"{field.type}{'' if field.nullable else ' not null'}"


def _batches(paths: list[Path], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    for path in paths:
        with opened(path, path.name) as file:
            check_same(schema, paths[0].name, file.schema_arrow, path.name)
            yield from read_batches(file, path.name)


@contextmanager
def _readable(name: str) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        raise InvalidRequest(f"{name} cannot be read as Parquet: {_line(error)}") from None


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]


def _empty(schema: pa.Schema) -> Any:
    """Write a file without rows, and open it."""
    sink = pa.BufferOutputStream()
    try:
        pq.write_table(schema.empty_table(), sink)
    except pa.ArrowException as error:
        raise InvalidRequest(f".parquet cannot hold these columns: {_line(error)}") from None
    return pq.ParquetFile(pa.BufferReader(sink.getvalue()))


def _as_read(schema: pa.Schema) -> pa.Schema:
    """Give a schema as it is read back, so that what is written twice has the same bytes."""
    return _empty(schema).schema_arrow


def _leaves(schema: pa.Schema) -> list[str]:
    """Name the columns as Parquet does, down into the nested ones."""
    columns = _empty(schema).schema
    return [columns.column(index).path for index in range(len(columns))]
