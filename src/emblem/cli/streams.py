"""The three streams of a process: closed ones, full ones, and ones whose reader has left."""

import os
import sys
from contextlib import suppress
from io import BufferedWriter, FileIO, TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING

from emblem.errors import InvalidRequest

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

STREAMS = (("stdin", "r"), ("stdout", "w"), ("stderr", "w"))


class _Output(FileIO):
    """Standard output. What cannot be written is said as such, whichever command wrote it."""

    def write(self, content: "ReadableBuffer", /) -> int:
        try:
            return super().write(content)
        except BrokenPipeError:
            raise  # whoever was reading has left
        except OSError as error:
            raise _cannot(error) from error


def prepare() -> None:
    """Have three streams that take any character; one that was closed is as /dev/null."""
    for name, mode in STREAMS:
        if getattr(sys, name) is None:
            nowhere = Path(os.devnull).open(mode, encoding="utf-8")  # noqa: SIM115 - to the end
            setattr(sys, name, nowhere)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a name in Chinese must not fail in a C locale
            stream.reconfigure(errors="backslashreplace")
    if sys.stdout is sys.__stdout__ and isinstance(sys.stdout, TextIOWrapper):
        sys.stdout = _told(sys.stdout)


def _told(stream: TextIOWrapper) -> TextIOWrapper:
    """Give the same stream, with errors that say what it is; anything but a plain one as it is."""
    buffer: object = stream.buffer
    if type(buffer.raw if isinstance(buffer, BufferedWriter) else buffer) is not FileIO:
        return stream
    raw = _Output(stream.fileno(), "wb", closefd=False)
    return TextIOWrapper(
        BufferedWriter(raw) if isinstance(buffer, BufferedWriter) else raw,
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )


def flush() -> None:
    """Write what is left. Raises BrokenPipeError, and InvalidRequest where it cannot be written."""
    try:
        sys.stdout.flush()
    except (BrokenPipeError, InvalidRequest):
        _let_go()
        raise
    except OSError as error:
        _let_go()
        raise _cannot(error) from error


def _let_go() -> None:
    """Throw away what is left: Python would complain once more while it exits."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _cannot(error: OSError) -> InvalidRequest:
    return InvalidRequest(f"standard output cannot be written: {error.strerror or error}")
