"""Sources that read row after row: what txt, jsonl and csv have in common."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from itertools import islice
from pathlib import Path
from typing import Any, Generic, TypeVar

from emblem.errors import InvalidRequest
from emblem.files.fingerprint import of_files
from emblem.files.ports import CHUNK_BYTES, MAX_ROW_BYTES, Chunk, Files, Records, Scan

TEXT = "text"  # the column that is embedded where nobody says which
BOM = b"\xef\xbb\xbf"
UTF_16 = (b"\xff\xfe", b"\xfe\xff")
TOO_LONG = f"is longer than {MAX_ROW_BYTES >> 20} MiB"

Item = TypeVar("Item")  # a row as it lies in the file, not looked into yet


@dataclass(frozen=True, slots=True)
class Row:
    """One row. ``record`` is a JSON object in UTF-8 and ``values`` the same as Python has it.

    A row that cannot be read has a ``problem`` and neither of them.
    """

    record: bytes = b""
    values: Mapping[str, Any] | None = None
    problem: str = ""


class RowSource(ABC, Generic[Item]):
    """Reads rows one after another and never holds more than a chunk of them; see ``Source``."""

    def __init__(self, files: Files, column: str | None = None) -> None:
        self._files = files
        self._asked = column
        self._column = column or TEXT

    @abstractmethod
    def _items(self, path: Path, name: str) -> Iterator[Item]:
        """Give the rows of a file, as cheaply as they can be told apart."""

    @abstractmethod
    def _row(self, item: Item) -> Row:
        """Read one row."""

    @abstractmethod
    def scan(self, *, typed: bool) -> Scan:
        """Read everything once; see ``Source``."""

    def fingerprint(self) -> str:
        """SHA-256 in hex of all that is read."""
        return of_files(self._files)

    def chunks(self, size: int, first: int = 0, stop: int | None = None) -> Iterator[Chunk]:
        """Give the rows from ``first`` up to ``stop`` in chunks; see ``Source``."""
        gathered = _Gathered(first)
        several = len(self._files.paths) > 1
        for name, item in islice(self._all(), first, stop):
            gathered.add(self._row(item), self._column, name if several else None)
            if gathered.full(size):
                yield gathered.chunk()
                gathered = _Gathered(gathered.next_row)
        if gathered.texts:
            yield gathered.chunk()

    def _all(self) -> Iterator[tuple[str, Item]]:
        for path, name in zip(self._files.paths, self._files.names, strict=True):
            for item in self._items(path, name):
                yield name, item

    @property
    def _called(self) -> str:
        """What the input is called in a message."""
        names = self._files.names
        others = len(names) - 1
        return (
            f"{names[0]} (with {others} other file{'s' if others > 1 else ''})"
            if others
            else names[0]
        )


class _Gathered:
    """The rows of a chunk that is being read."""

    def __init__(self, first_row: int) -> None:
        self.first_row = first_row
        self.texts: list[str | None] = []
        self.problems: dict[int, str] = {}
        self.records: list[bytes] = []
        self.files: list[str] = []
        self.bytes = 0

    @property
    def next_row(self) -> int:
        return self.first_row + len(self.texts)

    def add(self, row: Row, column: str, file: str | None) -> None:
        text, problem = (None, row.problem) if row.values is None else text_in(row.values, column)
        if problem:
            self.problems[len(self.texts)] = problem
        self.texts.append(text)
        self.records.append(row.record)
        if file is not None:
            self.files.append(file)
        self.bytes += len(row.record)

    def full(self, size: int) -> bool:
        return self.next_row % size == 0 or self.bytes >= CHUNK_BYTES

    def chunk(self) -> Chunk:
        return Chunk(
            self.first_row,
            tuple(self.texts),
            self.problems,
            tuple(self.records),
            tuple(self.files),
        )


def text_in(values: Mapping[str, Any], column: str) -> tuple[str | None, str]:
    """Give the text of a row, or None and why there is none."""
    if column not in values:
        return None, f"has no {column!r}"
    text = values[column]
    if isinstance(text, str):
        return (text, "") if text else (None, "is empty")
    return None, "is null" if text is None else f"is {_kind(text)}, not a text"


def _kind(value: object) -> str:
    match value:
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case list():
            return "a list"
        case _:
            return "an object"


def choose_column(columns: Mapping[str, bool], asked: str | None, where: str) -> str:
    """Say which column is embedded; ``columns`` tells of each whether it holds nothing but texts.

    The one that is asked for, else ``text``, else the only one of texts. Raises InvalidRequest.
    """
    listed = ", ".join(map(repr, columns)) or "none"
    if asked is not None:
        if columns and asked not in columns:
            raise InvalidRequest(f"{where} has no column {asked!r}; its columns: {listed}")
        return asked
    if TEXT in columns or not columns:
        return TEXT
    texts = [name for name, only_texts in columns.items() if only_texts]
    if len(texts) == 1:
        return texts[0]
    raise InvalidRequest(
        f"{where} has no column {TEXT!r}; say which one is to be embedded, with --column; "
        f"its columns: {listed}"
    )


def kept(records: Records, positions: list[int]) -> Records:
    """Give some of a chunk's records, by their positions in it."""
    if isinstance(records, tuple):
        return tuple(records[position] for position in positions)
    from emblem.files.arrow_texts import rows_at

    return rows_at(records, positions)


@contextmanager
def opened(path: Path, name: str) -> Iterator[BufferedReader]:
    """Open a file behind its byte order mark. Raises InvalidRequest where it cannot be read."""
    try:
        with path.open("rb") as handle:
            yield behind_mark(handle, name)
    except OSError as error:
        raise InvalidRequest(f"{name} cannot be read: {error.strerror or error}") from None


def behind_mark(handle: BufferedReader, name: str) -> BufferedReader:
    """Skip a byte order mark, if there is one. Raises InvalidRequest for UTF-16."""
    start = handle.peek(len(BOM))[: len(BOM)]
    if start[:2] in UTF_16:
        raise InvalidRequest(
            f"{name} is UTF-16 and must be UTF-8: iconv -f UTF-16 -t UTF-8 does that"
        )
    if start == BOM:
        handle.read(len(BOM))
    return handle


def lines(path: Path, name: str) -> Iterator[bytes | None]:
    """Give the lines of a file; see ``lines_in``."""
    with opened(path, name) as handle:
        yield from lines_in(handle)


def lines_in(handle: BufferedReader) -> Iterator[bytes | None]:
    """Give lines as they come, without their ends; None in the place of one that is too long."""
    while line := handle.readline(MAX_ROW_BYTES + 2):
        if len(line) > MAX_ROW_BYTES + 1 and not line.endswith(b"\n"):
            while (rest := handle.readline(1 << 20)) and not rest.endswith(b"\n"):
                pass
            yield None
            continue
        line = line.removesuffix(b"\n")
        yield line.removesuffix(b"\r")
