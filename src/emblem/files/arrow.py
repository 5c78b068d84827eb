"""Between plain records and Arrow: column types, rows to columns, and columns to rows.

The rules, both ways: a whole number is int64 or, where it must be, uint64; whole numbers beside
fractions are float64; what is missing is null; null alone is Arrow's null type; an object is a
struct and a list a list. ``arrow_json.py`` says how Arrow's other types are written as JSON.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
import orjson
import pyarrow as pa

from emblem.errors import InvalidRequest
from emblem.files.arrow_json import plain
from emblem.files.ports import Layout, Part
from emblem.files.shapes import INSTEAD, INT64, Place, Shape, Word, joined


class TypeScan:
    """Finds the type of every column, row by row. What it has seen is one frozen ``Shape``."""

    def __init__(self) -> None:
        self._rows = Shape()

    def feed(self, row: int, values: Mapping[str, Any]) -> None:
        """Look at a row: an object as ``json.loads`` gives it.

        Raises InvalidRequest, naming the column, both values and both rows, where a column would
        need two types.
        """
        self._rows = joined(self._rows, values, Place(row))

    def schema(self) -> pa.Schema:
        """Give the columns in the order in which they were first seen, and their types.

        Raises InvalidRequest for a column of empty objects, which no format of columns holds.
        """
        return pa.schema(
            [pa.field(name, _type(shape, name)) for name, shape in self._rows.fields.items()]
        )


def _type(shape: Shape, path: str, *, inside: bool = False) -> pa.DataType:
    match shape.word:
        case Word.NOTHING:
            # Lance writes no column of nulls inside an object.
            return pa.string() if inside else pa.null()
        case Word.FLAG:
            return pa.bool_()
        case Word.TEXT:
            return pa.string()
        case Word.NUMBER if shape.fraction is not None:
            return pa.float64()
        case Word.NUMBER:
            return pa.int64() if shape.high <= INT64[1] else pa.uint64()
        case Word.LIST:
            return pa.list_(_type(shape.item or Shape(), f"{path}[]", inside=inside))
        case Word.OBJECT:
            return _struct(shape, path)


def _struct(shape: Shape, path: str) -> pa.DataType:
    if not shape.fields:
        raise InvalidRequest(
            f"column `{path}` has nothing but empty objects, which .parquet and .lance cannot "
            "hold; .jsonl can"
        )
    fields = shape.fields.items()
    return pa.struct(
        [pa.field(name, _type(inner, f"{path}.{name}", inside=True)) for name, inner in fields]
    )


def batch_of(records: Sequence[bytes] | pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """Give rows as columns: JSON objects by a schema that holds them all, a batch as it is.

    Raises InvalidRequest for what the schema does not hold, which is then not of these rows.
    """
    if isinstance(records, pa.RecordBatch):
        if not records.schema.equals(schema):
            raise InvalidRequest(f"the input's columns have changed; {INSTEAD}")
        return records
    rows = [msgspec.json.decode(record) for record in records]
    columns = []
    for field in schema:
        try:
            columns.append(pa.array([row.get(field.name) for row in rows], field.type))
        except (pa.ArrowException, OverflowError, TypeError, ValueError) as error:
            raise InvalidRequest(f"column `{field.name}` is not {field.type}: {error}") from None
    return pa.RecordBatch.from_arrays(columns, schema=schema) if columns else _empty(len(rows))


def _empty(rows: int) -> pa.RecordBatch:
    """Give rows without any column."""
    return pa.RecordBatch.from_arrays([pa.nulls(rows)], ["_"]).select([])


def json_objects(batch: pa.RecordBatch) -> Iterator[bytes]:
    """Write each row as a JSON object in UTF-8.

    Raises InvalidRequest, naming the column, for text that is not UTF-8 and types without a rule.
    """
    names = batch.schema.names
    columns = [plain(column, name) for name, column in zip(names, batch.columns, strict=True)]
    for row in range(batch.num_rows):
        yield orjson.dumps({name: values[row] for name, values in zip(names, columns, strict=True)})


def output_schema(layout: Layout) -> pa.Schema:
    """Give the columns of an output: the input's, the vectors, and which texts were too long.

    What the vectors are stands as JSON under the key ``emblem``, of the schema and of the column.
    """
    about = orjson.dumps(
        {
            **layout.about,
            "column": layout.vector_column,
            "numbers": layout.numbers,
            "number_type": layout.number_type.name,
        },
        option=orjson.OPT_SORT_KEYS,
    )
    kind = pa.list_(pa.from_numpy_dtype(layout.number_type), layout.numbers)
    own: pa.Schema = layout.schema
    vector = pa.field(layout.vector_column, kind, nullable=False, metadata={b"emblem": about})
    overflow = pa.field(layout.overflow_column, pa.bool_())
    return pa.schema([*own, vector, overflow], {**(own.metadata or {}), b"emblem": about})


def output_batch(part: Part, layout: Layout, schema: pa.Schema) -> pa.RecordBatch:
    """Give a part as columns; ``schema`` is that of ``output_schema``."""
    records = batch_of(part.records, layout.schema)
    count, numbers = part.vectors.shape
    if count != records.num_rows or numbers != layout.numbers:
        raise ValueError(f"{records.num_rows} rows and vectors of shape {part.vectors.shape}")
    flat = pa.array(part.vectors.astype(layout.number_type, copy=False).reshape(-1))
    vectors = pa.FixedSizeListArray.from_arrays(flat, type=schema.field(layout.vector_column).type)
    over = pa.nulls(count, pa.bool_()) if part.overflowed is None else pa.array(part.overflowed)
    return pa.RecordBatch.from_arrays([*records.columns, vectors, over], schema=schema)
