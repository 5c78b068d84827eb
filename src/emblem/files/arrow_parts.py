"""Parts as Arrow files, and streams of batches cut anew, which all columnar formats share.

How a stream is cut depends on its rows and on nothing else: not on the batches in which they come,
so that a job that was interrupted, or done in shards, ends in the same bytes as any other.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

# A group of rows ends with the row with which it has so many rows or bytes.
GROUP_ROWS = 1 << 16
GROUP_BYTES = 64 << 20

Sizes = npt.NDArray[np.int64]


def write_part(path: Path, batch: pa.RecordBatch) -> None:
    """Write one batch to a file that is not there yet. Raises FileExistsError."""
    with path.open("xb") as out, pa.ipc.new_file(out, batch.schema) as writer:
        writer.write_batch(compact(batch))


def read_parts(parts: Iterable[Path]) -> Iterator[pa.RecordBatch]:
    """Give the batches of parts, one at a time."""
    for path in parts:
        with path.open("rb") as part, pa.ipc.open_file(part) as reader:
            for number in range(reader.num_record_batches):
                yield reader.get_batch(number)


def grouped(
    batches: Iterable[pa.RecordBatch], schema: pa.Schema, most: int | None = None
) -> Iterator[pa.RecordBatch]:
    """Give the same rows in groups of GROUP_ROWS or ``most`` bytes; see the module.

    No group is empty. Holds one group and one batch in memory.
    """
    most = most or GROUP_BYTES
    held: list[pa.RecordBatch] = []
    rows = size = 0
    for batch in batches:
        start = 0
        sizes = row_bytes(batch)
        while start < batch.num_rows:
            count, added = _room(sizes[start:], GROUP_ROWS - rows, most - size)
            held.append(batch.slice(start, count))
            rows, size, start = rows + count, size + added, start + count
            if rows == GROUP_ROWS or size >= most:
                yield _whole(held, schema)
                held, rows, size = [], 0, 0
    if held:
        yield _whole(held, schema)


def _room(sizes: Sizes, rows: int, size: int) -> tuple[int, int]:
    """Say how many of these rows come into a group with that room, and how large they are."""
    total = np.cumsum(sizes[:rows])
    count = min(len(total), int(np.searchsorted(total, size)) + 1)
    return count, int(total[count - 1])


def _whole(held: list[pa.RecordBatch], schema: pa.Schema) -> pa.RecordBatch:
    return compact(pa.concat_batches(held).cast(schema))


def compact(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Keep of each column's dictionary what its rows use, in the order in which they use it.

    A batch that was cut out of a larger one has all of that one's. An ordered dictionary means
    something by its order, and is left alone.
    """
    columns = [
        _own_dictionary(column)
        if pa.types.is_dictionary(column.type) and not column.type.ordered
        else column
        for column in batch.columns
    ]
    return pa.RecordBatch.from_arrays(columns, schema=batch.schema) if columns else batch


def _own_dictionary(column: pa.DictionaryArray) -> pa.DictionaryArray:
    new = column.dictionary_decode().dictionary_encode()
    kind = column.type
    return pa.DictionaryArray.from_arrays(
        new.indices.cast(kind.index_type), new.dictionary.cast(kind.value_type)
    )


def row_bytes(batch: pa.RecordBatch) -> Sizes:
    """Say how large each row is, (n,) int64, by its values alone."""
    return sum((_bytes(column) for column in batch.columns), np.zeros(batch.num_rows, np.int64))


def _bytes(array: pa.Array) -> Sizes:
    kind = array.type
    types = pa.types
    if isinstance(kind, pa.BaseExtensionType):
        return _bytes(array.storage)
    if types.is_dictionary(kind):
        sizes = np.append(_bytes(array.dictionary), 0)
        codes = pc.fill_null(array.indices.cast(pa.int64()), len(sizes) - 1)
        coded: Sizes = sizes[codes.to_numpy()]
        return coded
    if types.is_struct(kind):
        return sum((_bytes(one) for one in array.flatten()), np.zeros(len(array), np.int64))
    if types.is_map(kind):
        return _bytes(
            array.cast(pa.list_(pa.struct([("k", kind.key_type), ("v", kind.item_type)])))
        )
    if types.is_nested(kind):  # the lists, large, of fixed size and viewed
        return _list_bytes(array)
    if types.is_string_view(kind) or types.is_binary_view(kind):
        array = array.cast(pa.large_binary())
    elif types.is_null(kind) or types.is_run_end_encoded(kind):
        return np.zeros(len(array), np.int64)
    elif not _varies(kind):
        return np.full(len(array), _width(kind), np.int64)
    lengths: Sizes = pc.fill_null(pc.binary_length(array), 0).to_numpy().astype(np.int64)
    return lengths


def _width(kind: pa.DataType) -> int:
    return max(1, int(kind.bit_width) // 8)


def _varies(kind: pa.DataType) -> bool:
    types = pa.types
    return bool(
        types.is_string(kind)
        or types.is_large_string(kind)
        or types.is_binary(kind)
        or types.is_large_binary(kind)
        or types.is_string_view(kind)
        or types.is_binary_view(kind)
    )


def _list_bytes(array: pa.Array) -> Sizes:
    kind = array.type
    if pa.types.is_fixed_size_list(kind) and pa.types.is_primitive(kind.value_type):
        return np.full(len(array), kind.list_size * _width(kind.value_type), np.int64)
    there = array.is_valid()
    lengths = pc.if_else(there, pc.list_value_length(array), 0).to_numpy(zero_copy_only=False)
    ends = np.cumsum(lengths)
    total = np.append(0, np.cumsum(_bytes(array.flatten())))
    sizes: Sizes = total[ends] - total[ends - lengths]
    return sizes
