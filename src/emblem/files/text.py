"""Plain text: a file whose every line is a text, or a folder whose every file is one."""

from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path
from typing import Any

import orjson

from emblem.errors import InvalidRequest
from emblem.files.formats import arrow_types
from emblem.files.ports import MAX_ROW_BYTES, Files, Scan
from emblem.files.rows import BOM, TEXT, TOO_LONG, Row, RowSource, behind_mark, lines, lines_in

PATH = "path"


class LinesSource(RowSource[bytes | None]):
    """Every line is a row with one column, ``text``. An empty line is a row without a text."""

    def scan(self, *, typed: bool) -> Scan:
        """Count the lines."""
        _refuse_column(self._asked, self._called, TEXT)
        rows = sum(1 for _ in self._all())
        return Scan(rows, (TEXT,), TEXT, strings_schema((TEXT,)) if typed else None)

    def _items(self, path: Path, name: str) -> Iterator[bytes | None]:
        return lines(path, name)

    def _row(self, item: bytes | None) -> Row:
        return Row(problem=TOO_LONG) if item is None else _decoded(item, {})


class PipedLinesSource(LinesSource):
    """The same of a pipe, line by line as it comes. It can be read once, and is not scanned."""

    def __init__(self, pipe: BufferedReader) -> None:
        super().__init__(Files((Path("-"),), ("standard input",)))
        self._pipe = pipe

    def _items(self, path: Path, name: str) -> Iterator[bytes | None]:  # noqa: ARG002 - it is open
        return lines_in(behind_mark(self._pipe, name))


class DocumentsSource(RowSource[tuple[Path, str]]):
    """Every file is a row with two columns: ``path``, seen from the folder, and ``text``."""

    def scan(self, *, typed: bool) -> Scan:
        """Count the files."""
        _refuse_column(self._asked, self._called, TEXT)
        columns = (PATH, TEXT)
        schema = strings_schema(columns) if typed else None
        return Scan(len(self._files.paths), columns, TEXT, schema)

    def _items(self, path: Path, name: str) -> Iterator[tuple[Path, str]]:
        yield path, name

    def _row(self, item: tuple[Path, str]) -> Row:
        path, name = item
        try:
            with path.open("rb") as handle:
                content = handle.read(MAX_ROW_BYTES + 1)
        except OSError as error:
            return Row(problem=f"cannot be read: {error.strerror}")
        if len(content) > MAX_ROW_BYTES:
            return Row(problem=TOO_LONG)
        return _decoded(content.removeprefix(BOM), {PATH: name})


def strings_schema(columns: tuple[str, ...]) -> Any:
    """Give the Arrow schema of columns that all hold texts. Raises MissingExtra."""
    types = arrow_types()
    types.feed(0, dict.fromkeys(columns, ""))
    return types.schema()


def _decoded(content: bytes, others: dict[str, str]) -> Row:
    try:
        values = {**others, TEXT: content.decode()}
        return Row(orjson.dumps(values), values)
    except UnicodeDecodeError as error:
        return Row(problem=f"is not UTF-8 at byte {error.start}")
    except orjson.JSONEncodeError:  # a file's name may be any bytes
        return Row(problem="has a name that is not UTF-8")


def _refuse_column(asked: str | None, where: str, *columns: str) -> None:
    if asked is not None and asked not in columns:
        listed = ", ".join(map(repr, columns))
        raise InvalidRequest(f"{where} has no column {asked!r}; its columns: {listed}")
