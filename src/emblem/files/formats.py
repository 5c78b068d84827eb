"""Which formats are read and written, by suffix, and where their code is.

Nothing is imported until it is asked for. A new format is a file and a row.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from emblem.errors import InvalidRequest
from emblem.registry import Entry, resolve

SOURCES: Mapping[str, Entry] = MappingProxyType(
    {
        "txt": Entry("emblem.files.text:LinesSource"),
        "documents": Entry("emblem.files.text:DocumentsSource"),
        "jsonl": Entry("emblem.files.jsonl:JsonlSource"),
        "csv": Entry("emblem.files.delimited:CsvSource"),
        "tsv": Entry("emblem.files.delimited:TsvSource"),
        "parquet": Entry("emblem.files.parquet:ParquetSource", "parquet"),
    }
)

SINKS: Mapping[str, Entry] = MappingProxyType(
    {
        "jsonl": Entry("emblem.files.jsonl:JsonlSink"),
        "npy": Entry("emblem.files.npy:NpySink"),
        "parquet": Entry("emblem.files.parquet:ParquetSink", "parquet"),
        "lance": Entry("emblem.files.lance:LanceSink", "lance"),
    }
)

ARROW: Mapping[str, Entry] = MappingProxyType(
    {
        "types": Entry("emblem.files.arrow:TypeScan", "parquet"),
        "objects": Entry("emblem.files.arrow:json_objects", "parquet"),
    }
)

SUFFIXES: Mapping[str, str] = MappingProxyType(
    {
        ".txt": "txt",
        ".jsonl": "jsonl",
        ".ndjson": "jsonl",
        ".csv": "csv",
        ".tsv": "tsv",
        ".parquet": "parquet",
        ".npy": "npy",
        ".lance": "lance",
    }
)


def source(format_name: str) -> Any:
    """Give the class of a source. Raises MissingExtra where a package is not installed."""
    return resolve(SOURCES, "format", format_name)


def sink(out: Path) -> Any:
    """Give the class of the sink that writes ``out``, by its suffix.

    Raises InvalidRequest for a suffix that is not written, MissingExtra where a package is missing.
    """
    name = SUFFIXES.get(out.suffix.lower(), "")
    if name not in SINKS:
        written = ", ".join(f".{one}" for one in SINKS)
        raise InvalidRequest(f"{out} cannot be written: its suffix must be one of {written}")
    if name == "lance" and not re.fullmatch(r"[A-Za-z0-9_.-]+", out.stem):
        raise InvalidRequest(
            f"{out.name} cannot be written: lancedb opens it as the table {out.stem!r}, and takes "
            "only letters, digits and _.- in a name"
        )
    return resolve(SINKS, "format", name)


def arrow_types() -> Any:
    """Give an empty fold over rows that finds the Arrow types of their columns.

    Raises MissingExtra where pyarrow is not installed.
    """
    return resolve(ARROW, "conversion", "types")()


def json_objects(batch: Any) -> Iterable[bytes]:
    """Write each row of a pyarrow.RecordBatch as a JSON object in UTF-8."""
    objects: Iterable[bytes] = resolve(ARROW, "conversion", "objects")(batch)
    return objects
