"""What a command line of ``emblem embed`` asks for, as values, and the files that it means."""

import shlex
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO, TypeVar

from emblem.cli.embed_report import many, say
from emblem.config import Settings
from emblem.errors import InvalidRequest
from emblem.files import formats
from emblem.files.formats import SOURCES, SUFFIXES
from emblem.files.ports import Files, Scan, Source
from emblem.files.rows import TEXT
from emblem.job import Choices, NumberFormat
from emblem.types import Kind, Overflow

STDIN = "-"
DOCUMENTS = (".txt", ".md", ".markdown", ".rst", ".text", ".adoc", ".org")
FORMATS = tuple(name for name in SOURCES if name != "documents")
DELIMITED = ("csv", "tsv")
READ = (*(suffix for suffix, name in SUFFIXES.items() if name in SOURCES), *DOCUMENTS)

Word = TypeVar("Word", bound=StrEnum)


@dataclass(frozen=True, slots=True)
class Asked:
    """A command line of ``emblem embed``."""

    inputs: tuple[str, ...]
    out: str | None
    column: str | None
    input_format: str | None
    delimiter: str | None
    choices: Choices
    shard: str | None
    errors: str | None
    model: str | None
    base_url: str | None
    settings: Settings
    restart: bool
    force: bool
    quiet: bool
    as_json: bool


@dataclass(frozen=True, slots=True)
class Given:
    """Files of one format; ``skipped`` counts those of a folder that are of none that is read."""

    format: str
    files: Files
    skipped: int = 0


def choices(
    kind: str | None,
    dimensions: int | None,
    overflow: str | None,
    dtype: str,
    columns: tuple[str, str],
) -> Choices:
    """Read the words of a command line; ``columns`` are the vectors' and the overflow's.

    Raises InvalidRequest.
    """
    made = Choices(
        kind=None if kind is None else _word("--kind", kind, Kind),
        dimensions=dimensions,
        overflow=None if overflow is None else _word("--overflow", overflow, Overflow),
        dtype=_word("--dtype", dtype, NumberFormat),
        vector_column=columns[0],
        overflow_column=columns[1],
    )
    if not all(columns) or columns[0] == columns[1]:
        raise InvalidRequest(
            f"--vector-column is {columns[0]!r} and --overflow-column {columns[1]!r}; they must be "
            "two names"
        )
    return made


def _word(flag: str, given: str, words: type[Word]) -> Word:
    try:
        return words(given)
    except ValueError:
        raise InvalidRequest(f"{flag} is {given!r}; it must be {', '.join(words)}") from None


def refuse_clash(scan: Scan, choices: Choices) -> None:
    """Raise InvalidRequest where the input has a column of a name that the output needs."""
    for column in (choices.vector_column, choices.overflow_column):
        if column in scan.columns:
            raise InvalidRequest(
                f"the input has a column {column!r} already, where the output would put its own; "
                "--vector-column and --overflow-column give those other names"
            )


def scanned(given: Given, asked: Asked, *, typed: bool) -> tuple[Source, Scan]:
    """Read the input once, and say what of it is left out, or chosen by nobody."""
    more = {}
    if asked.delimiter is not None:
        if given.format not in DELIMITED:
            raise InvalidRequest(
                f"--delimiter is for {' and '.join(DELIMITED)}, not {given.format}"
            )
        if len(asked.delimiter) != 1 or asked.delimiter in '"\r\n':
            raise InvalidRequest(f"--delimiter is {asked.delimiter!r}; it must be one character")
        more["delimiter"] = asked.delimiter
    source: Source = formats.source(given.format)(given.files, asked.column, **more)
    scan = source.scan(typed=typed)
    if given.skipped and not asked.quiet:
        say(f"{many(given.skipped, 'file')} of other formats left out")
    if asked.column is None and scan.text_column != TEXT and not asked.quiet:
        say(f"the column {scan.text_column!r} is embedded; --column names another")
    return source, scan


def read_as(given: Given, asked: Asked) -> str:
    """Say how the input is read: the same bytes may be rows of several formats."""
    return given.format + (f" with {asked.delimiter!r}" if asked.delimiter else "")


def names_files(inputs: tuple[str, ...]) -> bool:
    """Tell whether the arguments are what holds texts, and not texts themselves.

    Raises InvalidRequest where some are and others are not, and where none is there and all have
    names that files have.
    """
    _refuse_stdin_beside(inputs)
    there = [one == STDIN or exists(one) for one in inputs]
    if any(there) and not all(there):
        text, file = inputs[there.index(False)], inputs[there.index(True)]
        raise InvalidRequest(
            f"{file!r} is there as a file or folder, and {_short(text)} is not; give either texts "
            "or files"
        )
    if not any(there) and all(Path(one).suffix.lower() in READ for one in inputs):
        one = inputs[0]
        raise InvalidRequest(
            f"there is no file {_short(one)}; to embed these words as a text, give them through a "
            f"pipe: echo {shlex.quote(one)} | emblem embed"
        )
    return all(there)


def _refuse_stdin_beside(inputs: tuple[str, ...]) -> None:
    if len(inputs) > 1 and STDIN in inputs:
        raise InvalidRequest(f"{STDIN!r} is standard input, and must stand alone")


def find(asked: Asked, spool: Path) -> Given:
    """Find the files that the arguments mean; stdin becomes the file ``spool``.

    What else can be read only once, a pipe that has a name, is copied beside it. Raises
    InvalidRequest where there is none, or they are of several formats.
    """
    if asked.input_format is not None and asked.input_format not in FORMATS:
        raise InvalidRequest(f"--format is {asked.input_format!r}; it must be {', '.join(FORMATS)}")
    inputs = asked.inputs or (STDIN,)
    if inputs == (STDIN,):
        if not asked.inputs and sys.stdin.isatty():
            raise InvalidRequest(
                "there is nothing to embed; give texts, a file, a folder or a pipe"
            )
        _copy(sys.stdin.buffer, spool)
        return Given(asked.input_format or "txt", Files((spool,), ("standard input",)))
    _refuse_stdin_beside(inputs)
    for one in inputs:
        if not exists(one):
            raise InvalidRequest(
                f"there is no file or folder {_short(one)}; to embed a text itself, leave --output out"
            )
    if len(inputs) == 1 and Path(inputs[0]).is_dir() and not _is_dataset(Path(inputs[0])):
        return _folder(Path(inputs[0]), asked.input_format)
    paths = tuple(map(Path, inputs))
    if folder := next((path for path in paths if path.is_dir()), None):
        raise InvalidRequest(f"{folder} is a folder; give one folder alone, or files")
    format_name = _one_format(paths, asked.input_format)
    kept = (
        _spooled(path, spool.with_name(f"{spool.name}-{number}")) if once(path) else path
        for number, path in enumerate(paths)
    )
    return Given(format_name, Files(tuple(kept), inputs))


def once(path: Path) -> bool:
    """Tell whether a path can be read only once, as a pipe or what ``<(…)`` stands for."""
    if path == Path("/dev/stdin") or path.parent == Path("/dev/fd"):
        return True  # also of a file: some systems go on there where it was read last
    return not path.is_file() and not path.is_dir()


def _spooled(path: Path, spool: Path) -> Path:
    try:
        pipe = path.open("rb")
    except OSError as error:
        raise InvalidRequest(f"{path} cannot be read: {error.strerror}") from None
    with pipe:
        _copy(pipe, spool)
    return spool


def _copy(pipe: BinaryIO, spool: Path) -> None:
    with spool.open("wb") as out:
        shutil.copyfileobj(pipe, out, 1 << 20)


def _folder(folder: Path, asked: str | None) -> Given:
    """Take all files below a folder in the order of their names, hidden ones left out."""
    every = sorted(_below(folder), key=lambda path: path.relative_to(folder).as_posix())
    formats = {path: _format_in_folder(path) for path in every}
    wanted = "documents" if asked == "txt" else asked
    found = {name for name in formats.values() if name is not None}
    if wanted is None and len(found) > 1:
        listed = " and ".join("text" if one == "documents" else one for one in sorted(found))
        raise InvalidRequest(f"{folder} has {listed} files; say which with --format")
    wanted = wanted or next(iter(found), None)
    paths = tuple(path for path in every if formats[path] == wanted)
    if wanted is None or not paths:
        raise InvalidRequest(f"{folder} has no files that can be read")
    names = tuple(path.relative_to(folder).as_posix() for path in paths)
    return Given(wanted, Files(paths, names), len(every) - len(paths))


def _below(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.name.startswith("."):
            continue
        if path.is_dir():
            if not path.is_symlink():  # it may lead back here
                yield from _below(path)
        elif path.is_file():
            yield path


def _format_in_folder(path: Path) -> str | None:
    if path.suffix.lower() in DOCUMENTS:
        return "documents"
    name = SUFFIXES.get(path.suffix.lower())
    return name if name in SOURCES else None


def _one_format(paths: tuple[Path, ...], asked: str | None) -> str:
    if asked is not None:
        return asked
    found = {}
    for path in paths:
        name = SUFFIXES.get(path.suffix.lower(), "")
        if name not in SOURCES and path.suffix.lower() in DOCUMENTS:
            name = "documents"
        if not path.suffix and once(path):  # as stdin
            name = "txt"
        if name not in SOURCES:
            listed = ", ".join(one for one, name in SUFFIXES.items() if name in SOURCES)
            raise InvalidRequest(
                f"{path} has none of the suffixes {listed}; say what it is with --format"
            )
        found[name] = path
    if len(found) > 1:
        raise InvalidRequest(f"{' and '.join(map(str, found.values()))} are of different formats")
    return next(iter(found))


def _is_dataset(path: Path) -> bool:
    return path.suffix.lower() == ".lance"


def exists(path: str) -> bool:
    """Tell whether an argument is the name of something that is there."""
    try:
        return path != "" and Path(path).exists()  # which is no name, and a text that fails
    except (OSError, ValueError):  # a text is too long for a name, or has what none may have
        return False


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else f"{text[:40]}…")
