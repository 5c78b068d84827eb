"""Records into a file: CSV, or Parquet. Read page by page, so that any number of them fits."""

import csv
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from emblem.accounts import Page, Use, Window
from emblem.core.spreadsheet import cell
from emblem.errors import InvalidRequest, MissingExtra
from emblem.ledger.part import part_of
from emblem.ports import UsageBook

PAGE = 5000  # records read at once, and rows of a group in Parquet
COLUMNS = (
    "at", "id", "key", "team", "model", "space", "served_by", "inputs", "tokens", "hits",
    "status", "ms", "cost", "user", "tags",
)  # fmt: skip

_EPOCH = datetime.fromtimestamp(0, UTC)
_BILLIONTHS = 9  # decimals of money


def export(book: UsageBook, window: Window, path: Path) -> int:
    """Write the records of a window, oldest first, and give how many they were.

    What the file is follows from its name. It is there whole or not at all, and
    for its owner only: it says who asked for what. Raises InvalidRequest,
    MissingExtra, and what the book raises.
    """
    write = _WRITERS.get(path.suffix.lower())
    if write is None:
        raise InvalidRequest(f"{path} must end in {' or '.join(_WRITERS)}")
    try:
        with part_of(path) as part:
            written = write(_pages(book, window), part)
            part.replace(path)
    except OSError as error:
        raise InvalidRequest(f"{path} cannot be written: {error.strerror or error}") from None
    return written


def _pages(book: UsageBook, window: Window) -> Iterator[list[Use]]:
    mark = None
    while page := book.records(window, Page(PAGE, mark)):
        yield page
        mark = (page[-1].at, page[-1].id)


def _moment(seconds: float) -> datetime:
    """Give a time to the microsecond."""
    return _EPOCH + timedelta(microseconds=round(seconds * 1e6))


def _money(billionths: int) -> Decimal:
    return Decimal(billionths).scaleb(-_BILLIONTHS)


def _write_csv(pages: Iterator[list[Use]], path: Path) -> int:
    """Write CSV in UTF-8: times in UTC as RFC 3339 has them, tags as a list in JSON.

    What would be a formula in a spreadsheet has a ' before it.
    """
    written = 0
    with path.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(COLUMNS)
        for page in pages:
            writer.writerows(map(_row, page))
            written += len(page)
    return written


def _row(use: Use) -> tuple[object, ...]:
    texts = (use.id, use.key, use.team or "", use.model, use.space, use.served_by)
    tags = json.dumps(use.tags, ensure_ascii=False) if use.tags else ""
    at = _moment(use.at).isoformat(timespec="microseconds").replace("+00:00", "Z")
    return (
        at,
        *map(cell, texts),
        use.inputs,
        use.tokens,
        use.hits,
        use.status,
        use.ms,
        f"{_money(use.cost):f}",
        cell(use.user),
        tags,
    )


def _write_parquet(pages: Iterator[list[Use]], path: Path) -> int:
    """Write Parquet: times as timestamps in UTC, money as decimals, tags as lists."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise MissingExtra("Parquet", "parquet") from None
    schema = _schema(pa)
    written = 0
    with pq.ParquetWriter(path, schema) as writer:
        for page in pages:
            writer.write_table(pa.table(_columns(page), schema=schema))
            written += len(page)
    return written


def _schema(pa: Any) -> Any:
    special = {
        "at": pa.timestamp("us", tz="UTC"),
        "status": pa.int16(),
        "ms": pa.float64(),
        "cost": pa.decimal128(38, _BILLIONTHS),
        "tags": pa.list_(pa.string()),
        **dict.fromkeys(("inputs", "tokens", "hits"), pa.int64()),
    }
    return pa.schema([(name, special.get(name, pa.string())) for name in COLUMNS])


def _columns(page: list[Use]) -> dict[str, list[Any]]:
    columns = {name: [getattr(use, name) for use in page] for name in COLUMNS}
    columns["at"] = [_moment(at) for at in columns["at"]]
    columns["cost"] = [_money(cost) for cost in columns["cost"]]
    return columns


_WRITERS: dict[str, Callable[[Iterator[list[Use]], Path], int]] = {
    ".csv": _write_csv,
    ".parquet": _write_parquet,
}
