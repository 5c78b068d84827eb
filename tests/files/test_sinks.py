"""JSON lines and npy: rows as they were, with their vectors."""

import json
from pathlib import Path

import numpy as np
import pytest

from emblem.errors import InvalidRequest
from emblem.files import formats
from emblem.files.jsonl import JsonlSink
from emblem.files.npy import NpySink
from emblem.files.ports import Layout, Part


def part(first: int, count: int, dtype: type = np.float32) -> Part:
    return Part(
        records=tuple(b'{"id": %d}' % row for row in range(first, first + count)),
        rows=np.arange(first, first + count),
        vectors=np.arange(first * 3, (first + count) * 3).reshape(count, 3).astype(dtype),
        overflowed=np.arange(first, first + count) % 2 == 1,
    )


def test_a_vector_stands_at_the_end_of_what_the_row_was(tmp_path: Path) -> None:
    sink = JsonlSink(Layout(2, np.dtype(np.float32), vector_column='the "vector"'))
    records = (b"{}", b'{ "a" : 1.10, "b": {"c": "}"} }', b"{ }")
    vectors = np.array([[0.1, 1], [2, 3], [4, 5]], np.float32)
    one = Part(records, np.arange(3), vectors, np.array([False, True, False]))
    sink.write_part(tmp_path / "part", one)
    assert (tmp_path / "part").read_bytes() == (
        b'{"the \\"vector\\"":[0.1,1.0],"overflow":false}\n'
        b'{ "a" : 1.10, "b": {"c": "}"},"the \\"vector\\"":[2.0,3.0],"overflow":true}\n'
        b'{"the \\"vector\\"":[4.0,5.0],"overflow":false}\n'
    )


def test_what_a_server_does_not_say_is_null() -> None:
    sink = JsonlSink(Layout(1, np.dtype(np.float32)))
    (line,) = sink.lines(Part((b"{}",), np.arange(1), np.ones((1, 1), np.float32), None))
    assert json.loads(line) == {"embedding": [1.0], "overflow": None}


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.int8, np.uint8])
def test_numbers_of_every_format_are_read_back_exactly(tmp_path: Path, dtype: type) -> None:
    exact = np.array([[0.1, -1.0], [1 / 3, 1.0]]) if dtype in (np.float32, np.float16) else [[1, 2]]
    vectors = np.array(exact, dtype)
    sink = JsonlSink(Layout(2, np.dtype(dtype)))
    lines = sink.lines(Part((b"{}",) * len(vectors), np.arange(len(vectors)), vectors, None))
    read = np.array([json.loads(line)["embedding"] for line in lines], dtype)
    assert read.tobytes() == vectors.tobytes()


@pytest.mark.parametrize("counts", [[2, 0, 3], [0], [], [1]])
@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.int8])
def test_parts_become_one_array_and_one_of_row_numbers(
    tmp_path: Path, counts: list[int], dtype: type
) -> None:
    sink = NpySink(Layout(3, np.dtype(dtype)))
    parts, first = [], 0
    for number, count in enumerate(counts):
        parts.append(part(first, count, dtype))
        sink.write_part(tmp_path / f"{number}", parts[-1])
        first += count
    out = tmp_path / "out.npy"
    written = sink.join((tmp_path / f"{n}" for n in range(len(counts))), out)
    assert written == (out, tmp_path / "out.rows.npy")
    vectors, rows = np.load(out), np.load(tmp_path / "out.rows.npy")
    assert (vectors.dtype, vectors.shape, rows.dtype) == (dtype, (first, 3), np.int64)
    assert vectors.ravel().tolist() == list(range(first * 3))
    assert rows.tolist() == list(range(first))


@pytest.mark.parametrize("name", ["out.jsonl", "out.npy"])
def test_shards_merged_are_the_whole_to_the_byte(tmp_path: Path, name: str) -> None:
    sink = formats.sink(Path(name))(Layout(3, np.dtype(np.float32)))
    for number in range(4):
        sink.write_part(tmp_path / f"{number}", part(number * 2, 2))
    paths = [tmp_path / f"{number}" for number in range(4)]
    for folder in ("whole", "first", "second", "merged"):
        (tmp_path / folder).mkdir()
    whole = sink.join(iter(paths), tmp_path / "whole" / name)
    shards = [
        sink.join(iter(some), tmp_path / folder / name)[0]
        for folder, some in (("first", paths[:1]), ("second", paths[1:]))
    ]
    merged = sink.merge(iter(shards), tmp_path / "merged" / name)
    assert [one.read_bytes() for one in merged] == [one.read_bytes() for one in whole]


@pytest.mark.parametrize("name", [*formats.SOURCES])
def test_every_format_that_is_read_has_a_source(name: str) -> None:
    source = formats.source(name)
    assert all(hasattr(source, method) for method in ("fingerprint", "scan", "chunks"))


@pytest.mark.parametrize("name", [*formats.SINKS])
def test_every_format_that_is_written_has_a_sink(name: str) -> None:
    sink = formats.sink(Path(f"out.{name}"))
    assert all(hasattr(sink, method) for method in ("typed", "write_part", "join", "merge"))


def test_a_suffix_that_is_not_written_is_one_line() -> None:
    with pytest.raises(InvalidRequest, match=r"x\.txt cannot be written: its suffix must be one"):
        formats.sink(Path("x.txt"))
    assert formats.sink(Path("X.JSONL")) is JsonlSink
