"""Where the tensors of an ONNX file are: read from its protobuf."""

from pathlib import Path

import numpy as np
import pytest

import tiny_layouts as tiny
from emblem.backends.graph import GraphBackend
from emblem.errors import ModelError
from emblem.model import Graph
from emblem.models.onnx import external_files
from emblem.types import Row

WIDTH, ROWS = 8, 30
TABLE = np.random.default_rng(5).standard_normal((ROWS, WIDTH)).astype("<f4")


def number(value: int) -> bytes:
    parts = []
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*parts, value])


def field(name: int, value: int | bytes | str) -> bytes:
    """Write one field of a message."""
    if isinstance(value, int):
        return number(name << 3) + number(value)
    content = value.encode() if isinstance(value, str) else value
    return number(name << 3 | 2) + number(len(content)) + content


def tensor(location: str | None, offset: int = 0) -> bytes:
    """Write the table as an ONNX tensor, inside the file or elsewhere."""
    head = field(1, ROWS) + field(1, WIDTH) + field(2, 1) + field(8, "table")
    if location is None:
        return head + field(9, TABLE.tobytes())
    about = {"location": location, "offset": str(offset), "length": str(TABLE.nbytes)}
    entries = (field(13, field(1, key) + field(2, value)) for key, value in about.items())
    return head + b"".join(entries) + field(14, 1)


def value(name: str, kind: int, *sides: str | int) -> bytes:
    """Describe an input or an output: a side is a name, or a size."""
    shape = b"".join(
        field(1, field(2, side) if isinstance(side, str) else field(1, side)) for side in sides
    )
    return field(1, name) + field(2, field(1, field(1, kind) + field(2, shape)))


def model(table: bytes, *more: bytes) -> bytes:
    """Write a model that looks up a token's row in the table."""
    node = field(1, "table") + field(1, "input_ids") + field(2, "last_hidden_state")
    graph = field(1, node + field(4, "Gather")) + field(2, "g") + field(5, table)
    graph += b"".join(more) + field(11, value("input_ids", 7, "b", "s"))
    graph += field(12, value("last_hidden_state", 1, "b", "s", WIDTH))
    return field(1, 8) + field(7, graph) + field(8, field(2, 17))


def test_a_model_whose_numbers_are_in_another_file_is_run_with_them(tmp_path: Path) -> None:
    file, numbers = tmp_path / "model.onnx", tmp_path / "model.onnx_data"
    file.write_bytes(model(tensor(numbers.name, 16)))
    numbers.write_bytes(bytes(16) + TABLE.tobytes())
    assert external_files(file) == (numbers,)
    stream = GraphBackend(Graph(file, WIDTH, 9), threads=1).stream()
    row = Row(np.arange(7, dtype=np.int32), np.array([3, 4], np.int32))
    np.testing.assert_array_equal(stream.run(row), TABLE[:7])


def test_a_model_that_holds_its_numbers_needs_no_other_file(tmp_path: Path) -> None:
    file = tmp_path / "model.onnx"
    file.write_bytes(model(tensor(None)))
    assert external_files(file) == ()
    for one in tiny.GRAPHS.glob("*.onnx"):
        assert external_files(one) == ()


def test_tensors_are_found_wherever_a_graph_may_have_them(tmp_path: Path) -> None:
    for name in "abcd":
        (tmp_path / name).touch()
    constant = field(1, field(5, field(1, "value") + field(5, tensor("b"))) + field(4, "Constant"))
    inner = field(1, field(5, field(6, field(5, tensor("c")))) + field(4, "If"))
    sparse = field(15, field(1, tensor("d")))
    file = tmp_path / "model.onnx"
    file.write_bytes(model(tensor("a"), constant, inner, sparse))
    assert [path.name for path in external_files(file)] == list("abcd")


@pytest.mark.parametrize("name", ["../numbers", "missing", "", "a/b", "/etc/hostname"])
def test_numbers_elsewhere_are_refused(name: str, tmp_path: Path) -> None:
    (tmp_path.parent / "numbers").touch()
    file = tmp_path / "model.onnx"
    file.write_bytes(model(tensor(name)))
    with pytest.raises(ModelError, match=rf"model\.onnx: its tensors are in '{name}', which is no"):
        external_files(file)


@pytest.mark.parametrize("left", [1, 5, 100, 90_000])
def test_a_file_that_is_cut_short_is_named(left: int, tmp_path: Path) -> None:
    file = tmp_path / "model.onnx"
    file.write_bytes((tiny.GRAPHS / "mpnet.onnx").read_bytes()[:left])
    with pytest.raises(ModelError, match=r"model\.onnx: is no ONNX file, or cut short: ") as caught:
        external_files(file)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"hello world", b"\xff" * 40, b"\x3a" + b"\xff" * 20])
def test_a_file_that_is_something_else_is_named(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "model.onnx"
    file.write_bytes(content)
    with pytest.raises(ModelError, match=r"model\.onnx: is no ONNX file, or cut short: "):
        external_files(file)


def test_graphs_inside_graphs_without_end_are_refused(tmp_path: Path) -> None:
    graph = b""
    for _ in range(200):
        graph = field(1, field(5, field(6, graph)))
    file = tmp_path / "model.onnx"
    file.write_bytes(field(7, graph))
    with pytest.raises(ModelError, match="nested too deeply"):
        external_files(file)
