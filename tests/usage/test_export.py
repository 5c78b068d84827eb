"""Records in files: what is in them, and that a file is there whole or not at all."""

import csv
import sys
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from emblem.accounts import Page, Use, Window
from emblem.errors import InvalidRequest, LedgerUnavailable, MissingExtra
from emblem.ledger import export as exporting
from emblem.ledger.export import COLUMNS, export
from emblem.ledger.usagebook import SqlUsageBook

from .conftest import NOW, use

WHOLE = use("req-1", NOW + 0.25, user='Zoë, "x"\n', tags=("a", "ü"), cost=1_000_000_002)
BARE = use("req-2", NOW + 1, team=None, cost=0)


@pytest.fixture
def filled(book: SqlUsageBook, monkeypatch: pytest.MonkeyPatch) -> SqlUsageBook:
    monkeypatch.setattr(exporting, "PAGE", 3)
    book.add([WHOLE, BARE, *(use(f"more-{number}", NOW + 2) for number in range(5))])
    return book


def test_csv_has_a_line_for_each_record(filled: SqlUsageBook, tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    assert export(filled, Window(), path) == 7
    with path.open(encoding="utf-8", newline="") as file:
        head, first, second, *rest = csv.reader(file)
    assert tuple(head) == COLUMNS
    assert dict(zip(head, first, strict=True)) == {
        "at": "2026-11-21T10:30:00.250000Z",
        "id": "req-1",
        "key": "key-a",
        "team": "team-a",
        "model": "minilm",
        "space": "minilm@0/384",
        "served_by": "local",
        "inputs": "2",
        "tokens": "10",
        "hits": "1",
        "status": "200",
        "ms": "12.0",
        "cost": "1.000000002",
        "user": 'Zoë, "x"\n',
        "tags": '["a", "ü"]',
    }
    assert (second[3], second[12], second[14]) == ("", "0.000000000", "")
    assert [line[1] for line in rest] == [f"more-{number}" for number in range(5)]
    assert [one.name for one in tmp_path.iterdir() if "out" in one.name] == ["out.csv"]


@pytest.mark.parametrize("begins", list("=+-@\t\r\n"))
def test_no_text_in_csv_is_a_formula(book: SqlUsageBook, tmp_path: Path, begins: str) -> None:
    wanted = f"{begins}HYPERLINK(1)"
    book.add([use("req-1", NOW, user=wanted, model=wanted)])
    export(book, Window(), tmp_path / "out.csv")
    with (tmp_path / "out.csv").open(encoding="utf-8", newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["user"], row["model"], row["cost"][0]) == (f"'{wanted}", f"'{wanted}", "0")


def test_parquet_has_types(filled: SqlUsageBook, tmp_path: Path) -> None:
    path = tmp_path / "out.PARQUET"
    assert export(filled, Window(), path) == 7
    with pq.ParquetFile(path) as file:
        table = file.read()
        assert file.num_row_groups == 3
    assert tuple(table.column_names) == COLUMNS
    assert table.schema.field("at").type == pa.timestamp("us", tz="UTC")
    first, second, *_ = table.to_pylist()
    assert first["at"] == datetime(2026, 11, 21, 10, 30, 0, 250_000, UTC)
    assert first["cost"] == Decimal("1.000000002")
    assert (first["tags"], first["user"]) == (["a", "ü"], 'Zoë, "x"\n')
    assert (second["team"], second["tags"]) == (None, [])


@pytest.mark.parametrize("name", ["out.csv", "out.parquet"])
def test_a_window_without_records_gives_a_file_without_rows(
    filled: SqlUsageBook, tmp_path: Path, name: str
) -> None:
    assert export(filled, Window(until=NOW), tmp_path / name) == 0
    if name.endswith("csv"):
        assert (tmp_path / name).read_text().splitlines() == [",".join(COLUMNS)]
    else:
        assert pq.read_table(tmp_path / name).num_rows == 0


def test_other_names_and_places_are_refused(filled: SqlUsageBook, tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match=r"must end in \.csv or \.parquet"):
        export(filled, Window(), tmp_path / "out.xlsx")
    with pytest.raises(InvalidRequest, match="cannot be written: No such file"):
        export(filled, Window(), tmp_path / "none" / "out.csv")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(InvalidRequest, match=r"folder\.csv cannot be written"):
        export(filled, Window(), tmp_path / "folder.csv")
    assert {one.name for one in tmp_path.glob("*.part")} == set()


def test_a_file_stays_as_it_is_where_the_records_end_too_early(
    filled: SqlUsageBook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "out.csv"
    path.write_text("before")

    def gone(_: SqlUsageBook, window: Window, page: Page) -> list[Use]:
        if page.after is not None:
            raise LedgerUnavailable("it is away")
        return [WHOLE]

    monkeypatch.setattr(SqlUsageBook, "records", gone)
    with pytest.raises(LedgerUnavailable):
        export(filled, Window(), path)
    assert path.read_text() == "before"
    assert list(tmp_path.glob("*.part")) == []


@pytest.mark.parametrize("name", ["out.csv", "out.parquet"])
def test_two_exports_to_one_file_leave_a_whole_one_for_its_owner_only(
    filled: SqlUsageBook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    path, real = tmp_path / name, SqlUsageBook.records

    def and_another(book: SqlUsageBook, window: Window, page: Page) -> list[Use]:
        monkeypatch.setattr(SqlUsageBook, "records", real)
        assert export(filled, Window(until=NOW + 0.5), path) == 1
        return real(book, window, page)

    monkeypatch.setattr(SqlUsageBook, "records", and_another)
    assert export(filled, Window(), path) == 7
    assert path.stat().st_mode & 0o777 == 0o600
    rows = pq.read_table(path).num_rows if "parquet" in name else path.read_text().count("req-2")
    assert rows == (7 if "parquet" in name else 1)
    assert list(tmp_path.glob("*.part")) == []


def test_parquet_without_its_extra_says_what_to_install(
    filled: SqlUsageBook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtra, match=r"emblem\[parquet\]"):
        export(filled, Window(), tmp_path / "out.parquet")
    assert export(filled, Window(), tmp_path / "out.csv") == 7
