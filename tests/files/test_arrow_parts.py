"""Streams of batches cut anew: groups depend on the rows and on nothing else."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emblem.files import arrow_parts
from emblem.files.arrow_parts import compact, grouped, read_parts, row_bytes, write_part

BATCH = pa.record_batch(
    {
        "text": ["", "ä", None, "x" * 50, "yy", "z"],
        "tag": pa.array(["a", "b", None, "a", "c", "c"]).dictionary_encode(),
        "list": pa.array([[], ["abc", None], None, [""], ["d"], []]),
        "object": pa.array([{"a": 1, "b": "xy"}, None, {"a": None, "b": None}, None, None, None]),
        "map": pa.array([[("k", "v")], None, [], [], [], []], pa.map_(pa.string(), pa.string())),
        "vector": pa.array([[1.0, 2.0]] * 6, pa.list_(pa.float32(), 2)),
        "binary": pa.array([b"12", None, b"", b"", b"", b""]),
        "view": pa.array(["abcd", None, "", "", "", ""], pa.string_view()),
        "none": pa.nulls(6),
    }
)


def cut(batch: pa.RecordBatch, at: list[int]) -> Iterator[pa.RecordBatch]:
    edges = [0, *sorted(at), batch.num_rows]
    for start, stop in pairwise(edges):
        yield batch.slice(start, stop - start)


def test_a_row_is_as_large_as_its_values() -> None:
    fixed = 8 + 8  # the object's number, and the vector
    expected = [1 + 0 + 2 + 2 + 2 + 4, 2 + 1 + 3, 0, 50 + 1, 2 + 1 + 1, 1 + 1]
    assert row_bytes(BATCH).tolist() == [fixed + one for one in expected]


@given(at=st.integers(0, 6), count=st.integers(0, 6))
def test_a_slice_has_the_sizes_of_its_rows(at: int, count: int) -> None:
    assert row_bytes(BATCH.slice(at, count)).tolist() == row_bytes(BATCH).tolist()[at : at + count]


@settings(deadline=None)
@given(at=st.lists(st.integers(0, 6)), rows=st.integers(1, 7), size=st.integers(1, 200))
def test_groups_are_the_same_however_the_rows_come(at: list[int], rows: int, size: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(arrow_parts, "GROUP_ROWS", rows)
        patch.setattr(arrow_parts, "GROUP_BYTES", size)
        whole = list(grouped([BATCH], BATCH.schema))
        found = list(grouped(cut(BATCH, at), BATCH.schema))
    assert len(found) == len(whole)
    assert all(one.equals(other) for one, other in zip(found, whole, strict=True))
    assert pa.Table.from_batches(found).to_pylist() == BATCH.to_pylist()
    for group in found:
        assert 0 < group.num_rows <= rows
        assert row_bytes(group)[:-1].sum() < size


def test_no_rows_are_no_groups() -> None:
    assert list(grouped([BATCH.slice(0, 0)], BATCH.schema)) == []


def test_a_dictionary_is_cut_down_to_what_is_used_unless_its_order_means_something() -> None:
    codes, words = pa.array([2, None, 0], pa.int8()), pa.array(["a", "b", "c"])
    plain = pa.DictionaryArray.from_arrays(codes, words)
    ranks = pa.DictionaryArray.from_arrays(codes, words, ordered=True)
    found = compact(pa.record_batch({"plain": plain, "ranks": ranks}))
    assert found.column("plain").dictionary.to_pylist() == ["c", "a"]
    assert found.column("plain").type == plain.type
    assert found.column("ranks").dictionary.to_pylist() == ["a", "b", "c"]
    assert found.to_pylist() == pa.record_batch({"plain": plain, "ranks": ranks}).to_pylist()


def test_parts_are_read_as_they_were_written_and_never_written_over(tmp_path: Path) -> None:
    parts = [tmp_path / "0.part", tmp_path / "1.part", tmp_path / "2.part"]
    for path, batch in zip(parts, cut(BATCH, [2, 2]), strict=True):
        write_part(path, batch)
    assert pa.Table.from_batches(read_parts(parts)).to_pylist() == BATCH.to_pylist()
    with pytest.raises(FileExistsError):
        write_part(parts[0], BATCH)


def test_a_part_does_not_carry_the_dictionary_of_all_rows(tmp_path: Path) -> None:
    words = pa.array([f"{number:0100}" for number in range(10_000)])
    coded = pa.record_batch({"tag": pa.DictionaryArray.from_arrays(np.arange(10_000), words)})
    write_part(tmp_path / "part", coded.slice(5_000, 3))
    assert (tmp_path / "part").stat().st_size < 5_000
