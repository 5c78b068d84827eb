"""Lance: a table that lancedb opens, with every row in its order; and nothing leaves the machine."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import lancedb
import numpy as np
import pyarrow as pa
import pytest

from emblem.errors import InvalidRequest
from emblem.files import arrow_parts, formats, lance
from emblem.files.lance import LanceSink, rows, same_table
from emblem.files.ports import Layout, Part
from system import require

ROWS = 3000
SCHEMA = pa.schema(
    [
        ("text", pa.string()),
        ("when", pa.timestamp("ns", "Europe/Berlin")),
        ("tag", pa.dictionary(pa.int32(), pa.string())),
        ("tree", pa.list_(pa.struct([("a", pa.list_(pa.int64()))]))),
        ("none", pa.null()),
    ]
)
ODD = pa.record_batch(
    [
        pa.array([None if row % 11 == 3 else f"row {row}\0" for row in range(ROWS)]),
        pa.array(range(ROWS), SCHEMA.field("when").type),
        pa.array([f"tag {row // 100}" for row in range(ROWS)]).dictionary_encode(),
        pa.array([[{"a": [row, None]}] if row % 3 else None for row in range(ROWS)]),
        pa.nulls(ROWS),
    ],
    schema=SCHEMA,
)


def layout(dtype: type = np.float32, schema: pa.Schema | None = SCHEMA) -> Layout:
    return Layout(4, np.dtype(dtype), schema, about={"space": "tiny@12345678/4"})


def part(first: int, stop: int, dtype: type = np.float32) -> Part:
    numbers = np.arange(first, stop)
    vectors = (numbers[:, None] + np.array([0.25, 0.5, 0.75, 1])).astype(dtype)
    return Part(ODD.slice(first, stop - first), numbers, vectors, numbers % 5 == 0)


def table_of(folder: Path, name: str, size: int, first: int = 0, stop: int = ROWS) -> Path:
    sink = LanceSink(layout())
    paths = []
    for start in range(first, stop, size):
        paths.append(folder / f"{name}-{start}.part")
        sink.write_part(paths[-1], part(start, min(start + size, stop)))
    out = folder / f"{name}.lance"
    assert sink.join(iter(paths), out) == (out,)
    for path in paths:
        path.unlink()
    return out


def values(column: pa.Array | pa.ChunkedArray) -> list[object]:
    if pa.types.is_timestamp(column.type):  # Python's own have no nanoseconds
        column = column.cast(pa.int64())
    found: list[object] = column.to_pylist()
    return found


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.int8, np.uint8])
def test_lancedb_opens_the_table_by_its_name_and_finds_neighbours(
    tmp_path: Path, dtype: type
) -> None:
    sink = LanceSink(layout(dtype))
    sink.write_part(tmp_path / "part", part(0, 100, dtype))
    sink.join(iter([tmp_path / "part"]), tmp_path / "out-1.v2.lance")
    assert {path.name for path in tmp_path.iterdir()} == {"part", "out-1.v2.lance"}
    table = lancedb.connect(tmp_path).open_table("out-1.v2")
    found = table.to_arrow()
    assert found.schema.names == [*SCHEMA.names, "embedding", "overflow"]
    for name in SCHEMA.names:
        assert found.schema.field(name).equals(SCHEMA.field(name))
        assert values(found.column(name)) == values(ODD.column(name).slice(0, 100))
    vectors = found.column("embedding").combine_chunks()
    assert vectors.type.list_size == 4
    flat = vectors.flatten().to_numpy()
    assert (flat.dtype, flat.tobytes()) == (np.dtype(dtype), part(0, 100, dtype).vectors.tobytes())
    assert found.column("overflow").to_pylist() == [row % 5 == 0 for row in range(100)]
    if dtype is not np.int8:  # which lancedb does not search
        near = table.search(part(42, 43, dtype).vectors[0]).limit(1).to_arrow()
        assert near.column("text").to_pylist() == ["row 42\0"]


def test_a_reader_can_tell_which_space_the_vectors_are_of(tmp_path: Path) -> None:
    schema = lancedb.connect(tmp_path).open_table(table_of(tmp_path, "out", 9000).stem).schema
    assert json.loads(schema.metadata[b"emblem"])["space"] == "tiny@12345678/4"
    assert json.loads(schema.field("embedding").metadata[b"emblem"])["number_type"] == "float32"


def test_the_table_is_the_same_however_the_work_was_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows in their order, from parts and shards of other sizes, through several groups."""
    monkeypatch.setattr(arrow_parts, "GROUP_ROWS", 700)
    monkeypatch.setattr(lance, "AHEAD_ROWS", 1000)
    whole = table_of(tmp_path, "whole", ROWS)
    found = pa.Table.from_batches(rows(whole))
    assert found.column("text").equals(pa.chunked_array([ODD.column("text")]))
    assert same_table(table_of(tmp_path, "cut", 512), whole)
    shards = [table_of(tmp_path, "a", 512, 0, 1024), table_of(tmp_path, "b", 512, 1024)]
    merger = LanceSink(layout(schema=None))
    merged = tmp_path / "merged.lance"
    assert merger.merge(iter(shards), merged) == (merged,)
    assert same_table(merged, whole)


def test_tables_with_other_rows_order_or_columns_are_not_the_same(tmp_path: Path) -> None:
    whole = table_of(tmp_path, "whole", 100, 0, 100)
    assert same_table(whole, whole)
    assert not same_table(whole, table_of(tmp_path, "shorter", 99, 0, 99))
    assert not same_table(table_of(tmp_path, "empty", 99, 0, 0), whole)
    turned = LanceSink(layout())
    turned.write_part(tmp_path / "1", part(50, 100))
    turned.write_part(tmp_path / "2", part(0, 50))
    turned.join(iter([tmp_path / "1", tmp_path / "2"]), tmp_path / "turned.lance")
    assert not same_table(whole, tmp_path / "turned.lance")
    LanceSink(layout(np.float16)).join(iter([]), tmp_path / "half.lance")
    assert not same_table(whole, tmp_path / "half.lance")
    with pytest.raises(InvalidRequest, match=r"^half\.lance has other columns than whole\.lance$"):
        turned.merge(iter([whole, tmp_path / "half.lance"]), tmp_path / "o.lance")


def test_no_rows_are_an_empty_table(tmp_path: Path) -> None:
    table_of(tmp_path, "empty", 1, 0, 0)
    table = lancedb.connect(tmp_path).open_table("empty")
    assert table.count_rows() == 0
    assert table.schema.names == [*SCHEMA.names, "embedding", "overflow"]


def test_what_a_join_that_was_killed_left_behind_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "out.lance" / "data").mkdir(parents=True)
    (tmp_path / "out.lance" / "data" / "rubbish").write_bytes(b"?")
    out = table_of(tmp_path, "out", 9000)
    assert sum(batch.num_rows for batch in rows(out)) == ROWS
    assert not (out / "data" / "rubbish").exists()


def test_what_lance_cannot_hold_is_one_line_before_anything_is_computed() -> None:
    schema = pa.schema([("text", pa.string()), ("gap", pa.month_day_nano_interval())])
    with pytest.raises(InvalidRequest, match=r"^\.lance cannot hold these columns: .") as caught:
        LanceSink(layout(schema=schema))
    assert "\n" not in str(caught.value)
    assert ".cargo" not in str(caught.value)


def test_what_is_no_table_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "no.lance").mkdir()
    with pytest.raises(InvalidRequest, match=r"^no\.lance cannot be read as Lance: "):
        list(rows(tmp_path / "no.lance"))


@pytest.mark.parametrize("name", ["a b", "ä", "a+b"])
def test_a_name_that_lancedb_would_not_open_is_refused_at_once(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidRequest, match=r"letters, digits and _\.-"):
        formats.sink(tmp_path / f"{name}.lance")
    with pytest.raises(ValueError, match="Invalid table name"):
        lancedb.connect(tmp_path).create_table(name, [{"a": 1}])
    assert formats.sink(tmp_path / "a-b_1.c.lance") is LanceSink


WRITE_AND_READ = """
import socket, sys
socket.socket(socket.AF_UNIX).connect_ex("/no/such/socket")  # so that the trace is seen to work
sys.path.insert(0, {tests!r})
from pathlib import Path
from files.test_lance import rows, table_of
print(sum(batch.num_rows for batch in rows(table_of(Path({folder!r}), "out", 1000))))
"""


def test_nothing_leaves_the_machine(tmp_path: Path) -> None:
    """Whatever names an address is seen by strace; event loops wake themselves without one."""
    require("strace")
    code = WRITE_AND_READ.format(tests=str(Path(__file__).parents[1]), folder=str(tmp_path))
    log = tmp_path / "strace"
    calls = "trace=connect,sendto,sendmsg,sendmmsg"
    done = subprocess.run(
        ["strace", "-f", "-qq", "-o", str(log), "-e", calls, sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stdout) == (0, f"{ROWS}\n"), done.stderr
    found = [one for one in log.read_text().splitlines() if "sa_family" in one]
    assert len(found) == 1, found
    assert "/no/such/socket" in found[0]


def test_a_table_is_read_in_the_order_of_its_rows_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    turned = pa.record_batch({"n": [1, 0], "_rowid": pa.array([1, 0], pa.uint64())})
    table = SimpleNamespace(schema=pa.schema([("n", pa.int64())]))
    monkeypatch.setattr(lance, "_opened", lambda _: table)
    monkeypatch.setattr(lance, "_scanned", lambda _: iter([turned]))
    with pytest.raises(InvalidRequest, match=r"x\.lance gave its rows in another order"):
        list(rows(tmp_path / "x.lance"))
