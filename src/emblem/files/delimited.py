"""CSV and TSV: the first record names the columns, and every value is a text."""

import csv
from collections.abc import Iterator
from io import TextIOWrapper
from pathlib import Path

import orjson

from emblem.errors import InvalidRequest
from emblem.files.ports import MAX_ROW_BYTES, Files, Scan
from emblem.files.rows import Row, RowSource, choose_column, opened
from emblem.files.text import strings_schema

Record = list[str]

DELIMITERS = (";", "\t", "|", ",")

# The module's own limit is 128 KiB, for the whole process.
csv.field_size_limit(MAX_ROW_BYTES)


class CsvSource(RowSource[Record]):
    """Every record after the header is a row. One with more or fewer fields is a row that fails."""

    delimiter = ","

    def __init__(
        self, files: Files, column: str | None = None, delimiter: str | None = None
    ) -> None:
        super().__init__(files, column)
        self._certain = delimiter is not None
        self.delimiter = delimiter or self.delimiter

    def scan(self, *, typed: bool) -> Scan:
        """Count the records, and see that the whole file can be read."""
        header = self._header()
        self._column = choose_column(dict.fromkeys(header, True), self._asked, self._called)
        rows = sum(1 for _ in self._all())
        schema = strings_schema(tuple(header)) if typed else None
        return Scan(rows, tuple(header), self._column, schema)

    def _header(self) -> Record:
        """Give the names of the columns, which all files share."""
        first: Record = []
        for path, name in zip(self._files.paths, self._files.names, strict=True):
            with opened(path, name):  # an empty file has no header to read
                pass
            header = next(self._records(path, name), None)
            if header is None:
                raise InvalidRequest(f"{name} is empty; its first line must name the columns")
            if any(map(_undecodable, header)):
                raise InvalidRequest(f"{name} is not UTF-8 in its first line")
            if twice := [one for one in header if header.count(one) > 1]:
                raise InvalidRequest(f"{name} has two columns {twice[0]!r}")
            self._refuse_unparted(header, name)
            if first and header != first:
                raise InvalidRequest(f"{name} has other columns than {self._files.names[0]}")
            first = header
        self._columns = first
        return first

    def _refuse_unparted(self, header: Record, name: str) -> None:
        """Raise InvalidRequest where the only column has a name that looks like several."""
        if len(header) > 1 or self._certain or self._asked in header:
            return
        if found := [one for one in DELIMITERS if one in header[0] and one != self.delimiter]:
            right = "--format tsv" if found[0] == "\t" else f"--delimiter {found[0]!r}"
            raise InvalidRequest(
                f"{name} has one column, {header[0]!r}; its fields seem to be separated by "
                f"{found[0]!r}: add {right}"
            )

    def _items(self, path: Path, name: str) -> Iterator[Record]:
        records = self._records(path, name)
        next(records, None)
        return records

    def _records(self, path: Path, name: str) -> Iterator[Record]:
        with opened(path, name) as handle:
            # What is no UTF-8 becomes lone surrogates, so that the row can be told.
            text = TextIOWrapper(handle, "utf-8", errors="surrogateescape", newline="")
            reader = csv.reader(text, delimiter=self.delimiter, strict=True)
            try:
                for record in reader:
                    if record:  # a blank line is none
                        yield record
            except csv.Error as error:
                raise InvalidRequest(f"{name}: line {reader.line_num}: {_said(error)}") from None
            finally:
                text.detach()

    def _row(self, item: Record) -> Row:
        if len(item) != len(self._columns):
            fields = "1 field" if len(item) == 1 else f"{len(item)} fields"
            return Row(problem=f"has {fields}, and the header {len(self._columns)}")
        if any(map(_undecodable, item)):
            return Row(problem="is not UTF-8")
        values = dict(zip(self._columns, item, strict=True))
        return Row(orjson.dumps(values), values)


class TsvSource(CsvSource):
    """The same with tabs between the fields."""

    delimiter = "\t"


def _undecodable(text: str) -> bool:
    return not text.isascii() and any("\udc80" <= character <= "\udcff" for character in text)


def _said(error: csv.Error) -> str:
    if "field larger" in str(error):
        return f"a field is longer than {MAX_ROW_BYTES >> 20} MiB; is a quote left open?"
    if "unexpected end" in str(error):
        return "a quote is left open"
    return str(error)
