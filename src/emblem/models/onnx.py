"""The files beside an ONNX file that hold its tensors: read from its protobuf, nothing else.

Only what leads to an external tensor is followed: a model's graph, its nodes and their graphs, and
the tensors in them.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from emblem.errors import ModelError

# Fields by their numbers in onnx.proto: those that hold a message to follow, and what it is.
_INNER = {
    "model": {7: "graph", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {13: "entry"},
}
_DEEPEST = 64
_VARINT, _EIGHT, _BYTES, _FOUR = 0, 1, 2, 5


def external_files(file: Path) -> tuple[Path, ...]:
    """Give the files that hold tensors of an ONNX file, in the order of their names.

    Raises ModelError for a file that is cut short or no protobuf, and for one that is missing or
    elsewhere.
    """
    names: set[str] = set()
    try:
        names.update(_locations(np.memmap(file, np.uint8, "r").data, "model", 0))
    except ValueError as error:
        raise ModelError(f"{file}: is no ONNX file, or cut short: {error}") from None
    except OSError as error:
        raise ModelError(f"{file}: cannot be read: {error.strerror or error}") from None
    for name in sorted(names):
        if Path(name).name != name or not (file.parent / name).is_file():
            raise ModelError(f"{file}: its tensors are in {name!r}, which is no file beside it")
    return tuple(file.parent / name for name in sorted(names))


def _locations(message: memoryview, kind: str, depth: int) -> Iterator[str]:
    """Give the ``location`` of every external tensor below a message."""
    if depth > _DEEPEST:
        raise ValueError("its graphs are nested too deeply")
    inner = _INNER[kind]
    for number, content in _fields(message):
        below = inner.get(number)
        if below is None or content is None:
            continue
        if below == "entry":
            entry = {name: bytes(value or b"") for name, value in _fields(content)}
            if entry.get(1) == b"location":
                yield entry.get(2, b"").decode()
        else:
            yield from _locations(content, below, depth + 1)


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview | None]]:
    """Give the fields of a message: number, and content where it has a length."""
    place = 0
    while place < len(message):
        tag, place = _number(message, place)
        kind, content = tag & 7, None
        if kind == _VARINT:
            _, place = _number(message, place)
        elif kind == _BYTES:
            length, place = _number(message, place)
            content = message[place : place + length]
            place += length
        elif kind in (_EIGHT, _FOUR):
            place += 8 if kind == _EIGHT else 4
        else:
            raise ValueError(f"a field of the unknown kind {kind}")
        if place > len(message):
            raise ValueError("a field reaches beyond its end")
        yield tag >> 3, content


def _number(message: memoryview, place: int) -> tuple[int, int]:
    """Read a number of one to ten bytes; give it and the place after it."""
    value = 0
    for shift in range(0, 70, 7):
        if place >= len(message):
            raise ValueError("a number reaches beyond its end")
        byte = message[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return value, place
    raise ValueError("a number of more than ten bytes")
