"""JSON lines: an object on every line, and what was on it is handed on byte for byte."""

import json
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import orjson

from emblem.files.formats import arrow_types, json_objects
from emblem.files.ports import Layout, Part, Records, Scan
from emblem.files.rows import TEXT, TOO_LONG, Row, RowSource, choose_column, lines


class JsonlSource(RowSource[bytes | None]):
    """Every line that is not blank is a row. One that is no JSON object is a row that fails."""

    def scan(self, *, typed: bool) -> Scan:
        """Find the columns of all rows, and their types where they are asked for."""
        types = arrow_types() if typed else None
        columns: dict[str, bool] = {}
        rows = 0
        for _, item in self._all():
            row = self._row(item)
            for name, value in (row.values or {}).items():
                columns[name] = columns.get(name, True) and (
                    value is None or isinstance(value, str)
                )
            if types is not None and row.values is not None:
                types.feed(rows, self._as_written(row.record))
            rows += 1
        self._column = choose_column(columns, self._asked, self._called)
        return Scan(rows, tuple(columns), self._column, types.schema() if types else None)

    def _as_written(self, record: bytes) -> dict[str, Any]:
        """Read a row for its types. What is no text fails, and is not in the output's column."""
        values: dict[str, Any] = json.loads(record)  # whose whole numbers have any size
        text = self._asked or TEXT
        if text in values and not isinstance(values[text], str):
            values[text] = None
        return values

    def _items(self, path: Path, name: str) -> Iterator[bytes | None]:
        return (line for line in lines(path, name) if line is None or line.strip())

    def _row(self, item: bytes | None) -> Row:
        if item is None:
            return Row(problem=TOO_LONG)
        try:
            values = orjson.loads(item)
        except orjson.JSONDecodeError as error:
            return Row(problem=_not_utf_8(item) or f"is not JSON: {error}")
        if not isinstance(values, dict):
            return Row(problem="is JSON, but not an object")
        return Row(item.strip(), values)


def _not_utf_8(item: bytes) -> str:
    try:
        item.decode()
    except UnicodeDecodeError as error:
        return f"is not UTF-8 at byte {error.start}"
    return ""


class JsonlSink:
    """Writes each row as it was, with its vector and ``overflow`` at the end of the object."""

    typed = False

    def __init__(self, layout: Layout) -> None:
        self._vector = orjson.dumps(layout.vector_column) + b":"
        self._overflow = b"," + orjson.dumps(layout.overflow_column) + b":"

    @staticmethod
    def beside(out: Path) -> tuple[Path, ...]:  # noqa: ARG004 - other formats need it
        """Name what belongs to an output: it is one file, or one folder."""
        return ()

    def write_part(self, path: Path, part: Part) -> None:
        """Write the rows of a part, one line each."""
        with path.open("xb") as out:
            for line in self.lines(part):
                out.write(line)

    def lines(self, part: Part) -> Iterator[bytes]:
        """Give the lines of a part, each with its end."""
        for position, record in enumerate(_objects(part.records)):
            start = record[:-1].rstrip()
            comma = b"" if start == b"{" else b","
            vector = orjson.dumps(part.vectors[position], option=orjson.OPT_SERIALIZE_NUMPY)
            over = None if part.overflowed is None else bool(part.overflowed[position])
            yield b"".join(
                (start, comma, self._vector, vector, self._overflow, orjson.dumps(over), b"}\n")
            )

    def join(self, parts: Iterator[Path], out: Path) -> tuple[Path, ...]:
        """Lay the parts end to end."""
        with out.open("wb") as whole:
            for path in parts:
                with path.open("rb") as part:
                    shutil.copyfileobj(part, whole, 1 << 20)
        return (out,)

    def merge(self, shards: Iterator[Path], out: Path) -> tuple[Path, ...]:
        """Lay the shards end to end."""
        return self.join(shards, out)


def _objects(records: Records) -> Iterable[bytes]:
    return records if isinstance(records, tuple) else json_objects(records)
