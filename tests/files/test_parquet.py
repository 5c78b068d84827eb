"""Parquet: what is read is handed on untouched, and what is written depends on the rows alone."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from emblem.errors import InvalidRequest
from emblem.files import arrow_parts, arrow_texts, parquet
from emblem.files.arrow import TypeScan
from emblem.files.parquet import ParquetSink, ParquetSource
from emblem.files.ports import Chunk, Files, Layout, Part

ROWS = 1300
ODD = pa.table(
    {
        "text": [None if row % 11 == 3 else f"row {row}" for row in range(ROWS)],
        "when": pa.array(range(ROWS), pa.timestamp("ns", "Europe/Berlin")),
        "price": pa.array(range(ROWS)).cast(pa.decimal128(25, 2)),
        "blob": [bytes([row % 256]) * (row % 5) if row % 7 else None for row in range(ROWS)],
        "tag": pa.array([f"tag {row // 100}" for row in range(ROWS)]).dictionary_encode(),
        "long": pa.array([str(row) for row in range(ROWS)], pa.large_string()),
        "tree": [
            {"a": [row, None], "b": {"c": str(row)}} if row % 3 else None for row in range(ROWS)
        ],
        "pairs": pa.array([[("k", row)] for row in range(ROWS)], pa.map_(pa.string(), pa.int64())),
        "view": pa.array([f"v{row}" for row in range(ROWS)], pa.string_view()),
        "none": pa.nulls(ROWS),
    }
).replace_schema_metadata({"pandas": "kept"})

Edit = Callable[[bytes], bytes]


def source(*paths: Path, column: str | None = None) -> ParquetSource:
    return ParquetSource(Files(paths, tuple(path.name for path in paths)), column)


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    pq.write_table(ODD, tmp_path / "odd.parquet", row_group_size=700, write_page_checksum=True)
    return tmp_path / "odd.parquet"


def layout_of(schema: pa.Schema, dtype: type = np.float32, numbers: int = 4) -> Layout:
    return Layout(numbers, np.dtype(dtype), schema, about={"space": "tiny@12345678/4"})


def part_of(chunk: Chunk, dtype: type = np.float32, numbers: int = 4) -> Part:
    rows = np.arange(len(chunk.texts)) + chunk.first_row
    vectors = (rows[:, None] * numbers + np.arange(numbers)).astype(dtype)
    return Part(chunk.records, rows, vectors, rows % 5 == 0)


def written(sink: ParquetSink, chunks: Iterator[Chunk], folder: Path) -> list[Path]:
    folder.mkdir()
    paths = []
    for chunk in chunks:
        paths.append(folder / f"{chunk.first_row}")
        sink.write_part(paths[-1], part_of(chunk))
    return paths


def same_values(one: pa.Table, other: pa.Table) -> bool:
    """Tell whether values are the same, whatever codes a dictionary gives them."""

    def decoded(column: pa.ChunkedArray) -> pa.Array:
        array = column.combine_chunks()
        return array.dictionary_decode() if pa.types.is_dictionary(array.type) else array

    return all(
        decoded(a).equals(decoded(b)) for a, b in zip(one.columns, other.columns, strict=True)
    )


def test_the_scan_says_rows_columns_and_types(odd: Path) -> None:
    scan = source(odd).scan(typed=True)
    assert (scan.rows, scan.text_column) == (ROWS, "text")
    assert scan.columns == tuple(ODD.column_names)
    assert scan.schema.equals(pq.read_schema(odd), check_metadata=True)
    assert source(odd).scan(typed=False).schema is None


@pytest.mark.parametrize("group", [7, 100, 700, 5000])
def test_chunks_end_at_multiples_whatever_the_groups_of_rows(tmp_path: Path, group: int) -> None:
    pq.write_table(ODD, tmp_path / "odd.parquet", row_group_size=group)
    found = source(tmp_path / "odd.parquet")
    found.scan(typed=False)
    chunks = list(found.chunks(512))
    assert [chunk.first_row for chunk in chunks] == [0, 512, 1024]
    texts = [text for chunk in chunks for text in chunk.texts]
    assert texts == ODD.column("text").to_pylist()
    assert chunks[0].problems == dict.fromkeys(range(3, 512, 11), "is null")
    records = pa.Table.from_batches([chunk.records for chunk in chunks])
    assert records.equals(pq.read_table(tmp_path / "odd.parquet"))


@pytest.mark.parametrize(
    ("first", "stop"), [(0, None), (512, None), (512, 1024), (0, 0), (1024, 1299)]
)
def test_rows_from_one_to_another(odd: Path, first: int, stop: int | None) -> None:
    found = source(odd, odd)
    found.scan(typed=False)
    chunks = list(found.chunks(512, first, stop))
    texts = [text for chunk in chunks for text in chunk.texts]
    assert texts == (ODD.column("text").to_pylist() * 2)[first:stop]
    if chunks:
        assert chunks[0].first_row == first


def test_several_files_are_one_input_and_every_row_knows_its_file(tmp_path: Path) -> None:
    for name, part in (
        ("a", ODD.slice(0, 300)),
        ("b", ODD.slice(0, 0)),
        ("c", ODD.slice(300, 300)),
    ):
        pq.write_table(part, tmp_path / name)
    found = source(*(tmp_path / name for name in "abc"))
    assert found.scan(typed=True).rows == 600
    first, second = found.chunks(512)
    assert [text for chunk in (first, second) for text in chunk.texts] == (
        ODD.column("text").to_pylist()[:600]
    )
    assert first.files == ("a",) * 300 + ("c",) * 212
    assert second.records.num_rows == 88


@pytest.mark.parametrize(
    ("other", "what"),
    [
        (pa.table({"text": ["a"]}), "there is no column 'n'"),
        (pa.table({"n": [1], "text": ["a"]}), "column 1 is 'n', not 'text'"),
        (pa.table({"text": ["a"], "n": ["1"]}), "column 'n' is string, not int64"),
        (pa.table({"text": ["a"], "n": [1], "m": [1]}), "another column 'm'"),
    ],
)
def test_a_file_with_other_columns_is_named_with_what_differs(
    tmp_path: Path, other: pa.Table, what: str
) -> None:
    pq.write_table(pa.table({"text": ["a"], "n": [1]}), tmp_path / "a.parquet")
    pq.write_table(other, tmp_path / "b.parquet")
    with pytest.raises(
        InvalidRequest, match=rf"^b\.parquet has other columns than a\.parquet: .*{what}"
    ):
        source(tmp_path / "a.parquet", tmp_path / "b.parquet").scan(typed=True)


@pytest.mark.parametrize(
    ("table", "column", "words"),
    [
        (pa.table({"a": [1], "b": ["x"], "c": ["y"]}), None, ("no column 'text'", "'a', 'b', 'c'")),
        (pa.table({"a": [1]}), "b", ("no column 'b'", "'a'")),
        (pa.table({"text": [1], "b": ["x"]}), None, ("'text'", "int64, not string", "'b'")),
        (pa.table({"text": [b"x"]}), None, ("'text'", "binary, not string", "none")),
        (
            pa.Table.from_arrays([pa.array(["x"]), pa.array([1])], ["text", "text"]),
            None,
            ("two columns 'text'",),
        ),
    ],
)
def test_a_column_without_texts_is_one_line(
    tmp_path: Path, table: pa.Table, column: str | None, words: tuple[str, ...]
) -> None:
    pq.write_table(table, tmp_path / "in.parquet")
    with pytest.raises(InvalidRequest) as caught:
        source(tmp_path / "in.parquet", column=column).scan(typed=True)
    for word in ("in.parquet", *words):
        assert word in str(caught.value)


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.string_view(), None])
def test_texts_come_in_any_of_arrows_kinds_of_strings(tmp_path: Path, kind: pa.DataType) -> None:
    texts = ["a", "", None, "😀\0", "a"]
    array = pa.array(texts, kind) if kind else pa.array(texts).dictionary_encode()
    pq.write_table(pa.table({"only": array}), tmp_path / "in.parquet")
    found = source(tmp_path / "in.parquet")
    assert found.scan(typed=True).text_column == "only"
    (chunk,) = found.chunks(512)
    assert chunk.texts == ("a", None, None, "😀\0", "a")
    assert chunk.problems == {1: "is empty", 2: "is null"}


def test_a_text_that_is_no_utf8_fails_alone(tmp_path: Path) -> None:
    good_and_bad = pa.array([b"good", b"b\xffd"]).view(pa.string())
    pq.write_table(pa.table({"text": good_and_bad}), tmp_path / "in.parquet")
    found = source(tmp_path / "in.parquet")
    found.scan(typed=True)
    (chunk,) = found.chunks(512)
    assert (chunk.texts, chunk.problems) == (("good", None), {1: "is not UTF-8"})


def test_a_chunk_ends_with_the_row_that_makes_it_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrow_texts, "CHUNK_BYTES", 10)
    texts = ["xxxx", "ääää", "x", "x" * 50, "x", None, "x"]
    pq.write_table(pa.table({"text": texts}), tmp_path / "in.parquet", row_group_size=2)
    found = source(tmp_path / "in.parquet")
    found.scan(typed=True)
    assert [chunk.first_row for chunk in found.chunks(4)] == [0, 2, 4]
    again = [text for chunk in found.chunks(4, 2) for text in chunk.texts]
    assert again == texts[2:]


def test_huge_cells_are_read_a_few_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """480 cells of 40 kB, where a chunk has 80 kB: they never lie in memory together."""
    monkeypatch.setattr(arrow_texts, "CHUNK_BYTES", 80_000)
    monkeypatch.setattr(arrow_texts, "MAX_ROW_BYTES", 50_000)
    monkeypatch.setattr(parquet, "READ_BYTES", 160_000)
    schema = pa.schema([("text", pa.string())])
    with pq.ParquetWriter(tmp_path / "in.parquet", schema) as writer:
        for first in range(0, 480, 16):
            cells = ["x" * 40_000 + str(row) for row in range(first, first + 16)]
            writer.write_table(pa.table({"text": cells}, schema=schema))
        writer.write_table(pa.table({"text": ["x" * 50_001]}, schema=schema))
    found = source(tmp_path / "in.parquet")
    assert found.scan(typed=True).rows == 481
    before = pa.total_allocated_bytes()
    held, chunks = [], []
    for chunk in found.chunks(512):
        held.append(pa.total_allocated_bytes() - before)
        chunks.append((len(chunk.texts), dict(chunk.problems)))
        del chunk
    assert chunks == [(2, {})] * 240 + [(1, {0: "is longer than 64 MiB"})]
    assert 0 < max(held) < 4_000_000


@pytest.mark.parametrize(
    "edit",
    [
        lambda whole: b"",
        lambda whole: b"text\nnot Parquet\n" * 10,
        lambda whole: whole[:-1000],
        lambda whole: whole[: len(whole) // 2],
        lambda whole: whole[:30] + b"\xff" * 40 + whole[70:],
        lambda whole: whole[:2000] + bytes([whole[2000] ^ 1]) + whole[2001:],
        lambda whole: whole[:-300] + b"\xff" * 290 + whole[-10:],
    ],
)
def test_a_broken_file_is_one_line_that_names_it(odd: Path, edit: Edit) -> None:
    odd.write_bytes(edit(odd.read_bytes()))
    with pytest.raises(
        InvalidRequest, match=r"^odd\.parquet cannot be read as Parquet: ."
    ) as caught:
        read_all(odd)
    assert "\n" not in str(caught.value)


def test_no_broken_byte_is_ever_more_than_one_line(odd: Path) -> None:
    """Every 197th byte, broken alone: an error of ours, or all rows as they were."""
    whole = odd.read_bytes()
    expected = read_all(odd)
    told = 0
    for at in range(0, len(whole), 197):
        odd.write_bytes(whole[:at] + bytes([whole[at] ^ 0x5A]) + whole[at + 1 :])
        try:
            assert read_all(odd) == expected
        except InvalidRequest:
            told += 1
    assert told > 30


def read_all(path: Path) -> list[str | None]:
    found = source(path)
    found.scan(typed=True)
    return [text for chunk in found.chunks(512) for text in chunk.texts]


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match=r"no\.parquet cannot be read"):
        source(tmp_path / "no.parquet").scan(typed=True)


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.int8, np.uint8])
def test_columns_are_kept_and_vectors_are_exact(odd: Path, tmp_path: Path, dtype: type) -> None:
    found = source(odd)
    sink = ParquetSink(layout_of(found.scan(typed=True).schema, dtype))
    (chunk,) = found.chunks(2000)
    part = part_of(chunk, dtype)
    sink.write_part(tmp_path / "part", part)
    assert sink.join(iter([tmp_path / "part"]), tmp_path / "out.parquet") == (
        tmp_path / "out.parquet",
    )
    table = pq.read_table(tmp_path / "out.parquet")
    assert table.column_names == [*ODD.column_names, "embedding", "overflow"]
    kept = table.select(ODD.column_names)
    assert kept.schema == pq.read_schema(odd)
    assert same_values(kept, pq.read_table(odd))
    vectors = table.column("embedding").combine_chunks()
    assert vectors.type.list_size == 4
    flat = vectors.flatten().to_numpy()
    assert (flat.dtype, flat.tobytes()) == (np.dtype(dtype), part.vectors.tobytes())
    assert part.overflowed is not None
    assert table.column("overflow").to_pylist() == part.overflowed.tolist()


def test_a_reader_can_tell_which_space_the_vectors_are_of(odd: Path, tmp_path: Path) -> None:
    sink = ParquetSink(layout_of(source(odd).scan(typed=True).schema))
    sink.join(iter([]), tmp_path / "out.parquet")
    schema = pq.read_schema(tmp_path / "out.parquet")
    expected = {
        "space": "tiny@12345678/4",
        "column": "embedding",
        "numbers": 4,
        "number_type": "float32",
    }
    assert json.loads(schema.metadata[b"emblem"]) == expected
    assert json.loads(schema.field("embedding").metadata[b"emblem"]) == expected
    assert schema.metadata[b"pandas"] == b"kept"


def test_the_bytes_are_the_same_however_the_work_was_cut(
    odd: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parts of other sizes, and shards of other sizes merged: the file is the same."""
    monkeypatch.setattr(arrow_parts, "GROUP_ROWS", 190)
    found = source(odd)
    sink = ParquetSink(layout_of(found.scan(typed=True).schema))
    whole = tmp_path / "whole.parquet"
    sink.join(iter(written(sink, found.chunks(2000), tmp_path / "w")), whole)
    assert pq.ParquetFile(whole).num_row_groups == 7
    for size in (64, 512):
        parts = written(sink, found.chunks(size), tmp_path / f"{size}")
        sink.join(iter(parts), tmp_path / "cut.parquet")
        assert (tmp_path / "cut.parquet").read_bytes() == whole.read_bytes()
        shards = [tmp_path / f"{name}.parquet" for name in "abc"]
        for at, shard in zip((slice(0, 1), slice(1, 3), slice(3, None)), shards, strict=True):
            sink.join(iter(parts[at]), shard)
        merger = ParquetSink(Layout(4, np.dtype(np.float32)))
        merger.merge(iter(shards), tmp_path / "merged.parquet")
        assert (tmp_path / "merged.parquet").read_bytes() == whole.read_bytes()


def test_nested_values_of_json_lines_give_the_same_bytes_from_shards(tmp_path: Path) -> None:
    """Parquet calls the items of a list otherwise than Arrow does, once it is read again."""
    rows = [{"text": f"{n}", "tags": [[n], None], "tree": {"a": [{"b": [n]}]}} for n in range(9)]
    records = tuple(json.dumps(row).encode() for row in rows)
    types = TypeScan()
    for number, row in enumerate(rows):
        types.feed(number, row)
    sink = ParquetSink(layout_of(types.schema()))
    parts = [tmp_path / f"{first}.part" for first in (0, 3, 6)]
    for first, path in zip((0, 3, 6), parts, strict=True):
        vectors = np.full((3, 4), first, np.float32)
        sink.write_part(path, Part(records[first : first + 3], np.arange(3), vectors, None))
    sink.join(iter(parts), tmp_path / "whole.parquet")
    sink.join(iter(parts[:2]), tmp_path / "a.parquet")
    sink.join(iter(parts[2:]), tmp_path / "b.parquet")
    merger = ParquetSink(Layout(4, np.dtype(np.float32)))
    shards = iter([tmp_path / "a.parquet", tmp_path / "b.parquet"])
    merger.merge(shards, tmp_path / "merged.parquet")
    assert (tmp_path / "merged.parquet").read_bytes() == (tmp_path / "whole.parquet").read_bytes()
    kept = pq.read_table(tmp_path / "whole.parquet", columns=["text", "tags", "tree"])
    assert kept.to_pylist() == rows


def test_shards_with_other_columns_are_not_merged(tmp_path: Path) -> None:
    for name, numbers in (("a", 4), ("b", 8)):
        sink = ParquetSink(layout_of(pa.schema([("text", pa.string())]), numbers=numbers))
        sink.join(iter([]), tmp_path / f"{name}.parquet")
    merger = ParquetSink(Layout(4, np.dtype(np.float32)))
    with pytest.raises(InvalidRequest, match=r"^b\.parquet has other columns than a\.parquet"):
        merger.merge(iter([tmp_path / "a.parquet", tmp_path / "b.parquet"]), tmp_path / "o.parquet")


def test_what_parquet_cannot_hold_is_one_line_before_anything_is_computed() -> None:
    schema = pa.schema([("text", pa.string()), ("gap", pa.month_day_nano_interval())])
    with pytest.raises(InvalidRequest, match=r"\.parquet cannot hold these columns: .*interval"):
        ParquetSink(layout_of(schema))


def test_rows_and_vectors_of_different_number_are_never_written(tmp_path: Path) -> None:
    sink = ParquetSink(layout_of(pa.schema([("text", pa.string())])))
    records: Any = (b'{"text":"a"}',)
    with pytest.raises(ValueError, match=r"1 rows and vectors of shape \(2, 4\)"):
        sink.write_part(
            tmp_path / "part", Part(records, np.arange(1), np.zeros((2, 4), np.float32), None)
        )


def test_joining_holds_one_group_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """40 MB of parts: the join takes what two groups of 2 MB take."""
    monkeypatch.setattr(arrow_parts, "GROUP_BYTES", 2 << 20)
    sink = ParquetSink(layout_of(pa.schema([("text", pa.string())]), numbers=1000))
    paths = []
    for number in range(40):
        records = tuple(b'{"text":"%d"}' % row for row in range(250))
        vectors = np.full((250, 1000), number, np.float32)
        paths.append(tmp_path / f"{number}.part")
        sink.write_part(paths[-1], Part(records, np.arange(250), vectors, None))
    before = pa.total_allocated_bytes()
    held = []

    def watched() -> Iterator[Path]:
        for path in paths:
            held.append(pa.total_allocated_bytes() - before)
            yield path

    sink.join(watched(), tmp_path / "out.parquet")
    assert len(held) == 40
    assert max(held) < 12 << 20
    assert pq.ParquetFile(tmp_path / "out.parquet").num_row_groups == 20
