"""Column types found in plain rows, rows as columns, and columns as JSON."""

import datetime as dt
import json
import uuid
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emblem.errors import InvalidRequest
from emblem.files.arrow import TypeScan, batch_of, json_objects
from emblem.files.shapes import MAX_DEPTH, MAX_KEYS, Place, Shape, joined

Row = Mapping[str, Any]


def schema_of(*rows: Row) -> pa.Schema:
    types = TypeScan()
    for number, row in enumerate(rows):
        types.feed(number, row)
    return types.schema()


def type_of(*values: object) -> pa.DataType:
    return schema_of(*({"c": value} for value in values)).field("c").type


def lines(*rows: Row) -> tuple[bytes, ...]:
    return tuple(json.dumps(row).encode() for row in rows)


def as_json(array: pa.Array) -> list[Any]:
    return [json.loads(line)["c"] for line in json_objects(pa.record_batch({"c": array}))]


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ((None, None), pa.null()),
        ((None, True), pa.bool_()),
        ((1, None, -5), pa.int64()),
        ((2**63 - 1, -(2**63)), pa.int64()),
        ((2**64 - 1, 0), pa.uint64()),
        ((1, 0.5), pa.float64()),
        ((0.5, 2**53), pa.float64()),
        (("", None, "a\0b"), pa.string()),
        (([], None), pa.list_(pa.null())),
        (([1], [None, 0.5], []), pa.list_(pa.float64())),
        (({"a": 1}, {"b": "x"}), pa.struct([("a", pa.int64()), ("b", pa.string())])),
        (([{"a": [True]}], [{}]), pa.list_(pa.struct([("a", pa.list_(pa.bool_()))]))),
        (
            ({"a": None, "b": [None]},),
            pa.struct([("a", pa.string()), ("b", pa.list_(pa.string()))]),
        ),
    ],
)
def test_a_column_has_the_narrowest_type_that_holds_all(
    values: tuple[object, ...], kind: pa.DataType
) -> None:
    assert type_of(*values) == kind


def test_columns_stand_in_the_order_in_which_they_are_first_seen() -> None:
    assert schema_of({"b": 1}, {"a": 1, "b": 2}, {"c": None}).names == ["b", "a", "c"]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ((1, "x"), ("`c`", "a number in row 0", "a text in row 1", ".jsonl")),
        ((True, 0), ("true or false in row 0", "a number in row 1")),
        ((None, "x", [1]), ("a text in row 1", "a list in row 2")),
        (({"a": [1]}, {"a": ["x"]}), ("`c.a[]`", "a number in row 0", "a text in row 1")),
        ((2**64,), ("18446744073709551616 in row 0, beyond 64 bits",)),
        ((-1, 2**63), ("9223372036854775808 in row 1 and negative ones elsewhere",)),
        ((2**63, -1), ("-1 in row 1 and larger ones elsewhere",)),
        ((2**53 + 1, 0.5), ("0.5 in row 1", "9007199254740993 in row 0", "float64")),
        ((10**4000,), ("13,288 bits",)),
        (({},), ("`c`", "empty objects")),
        (({str(key): 1 for key in range(MAX_KEYS + 1)},), ("2,000 different keys",)),
    ],
)
def test_what_one_type_cannot_hold_is_one_line_that_names_column_and_rows(
    values: tuple[object, ...], words: tuple[str, ...]
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        type_of(*values)
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)


def test_endless_nesting_is_one_line() -> None:
    value: object = 1
    for _ in range(MAX_DEPTH + 1):
        value = [value]
    with pytest.raises(InvalidRequest, match="nested more than 64 deep"):
        type_of(value)


def test_a_row_that_says_nothing_new_changes_nothing() -> None:
    row = {"a": 1, "b": [{"c": "x"}], "d": 0.5, "e": None, "f": True}
    shape = joined(Shape(), row, Place(0))
    assert joined(shape, row, Place(1)) is shape


# Values of one column: of one kind each, so that it has a type.
numbers = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
scalars = st.sampled_from([st.booleans(), st.integers(-(2**63), 2**63 - 1), st.text(), numbers])
columns = scalars.flatmap(
    lambda one: st.lists(
        st.fixed_dictionaries(
            {},
            optional={
                "plain": st.none() | one,
                "list": st.none() | st.lists(st.none() | one, max_size=3),
                "object": st.none()
                | st.fixed_dictionaries({"a": st.none() | one}, optional={"b": st.lists(one)}),
            },
        ),
        max_size=6,
    )
)


@settings(deadline=None)
@given(rows=columns)
def test_rows_become_columns_and_rows_again(rows: list[dict[str, Any]]) -> None:
    """What is missing comes back as null, and a whole number among fractions as a float."""
    schema = schema_of(*rows)
    batch = batch_of(lines(*rows), schema)
    assert batch.schema == schema
    found = [json.loads(line) for line in json_objects(batch)]
    if batch.num_columns:
        assert found == [_filled(row, schema) for row in rows]


def _filled(row: Mapping[str, Any], schema: Any) -> dict[str, Any]:
    filled = {}
    for field in schema:
        value = row.get(field.name)
        if pa.types.is_struct(field.type) and value is not None:
            value = _filled(value, field.type)
        filled[field.name] = value
    return filled


def test_a_batch_is_handed_on_as_it_is() -> None:
    batch = pa.record_batch({"text": ["a"], "n": [1]})
    assert batch_of(batch, batch.schema) is batch
    with pytest.raises(InvalidRequest, match="columns have changed"):
        batch_of(batch, pa.schema([("text", pa.string())]))


@pytest.mark.parametrize("value", ["x", {"a": 1}, 2**70])
def test_a_row_that_was_not_scanned_is_never_bent_to_fit(value: object) -> None:
    with pytest.raises(InvalidRequest, match="`c`"):
        batch_of(lines({"c": value}), pa.schema([("c", pa.int64())]))


def test_numbers_that_json_lacks_become_null() -> None:
    found = as_json(pa.array([1.5, float("nan"), float("inf"), float("-inf"), None]))
    assert found == [1.5, None, None, None, None]


def test_whole_numbers_keep_every_digit() -> None:
    assert as_json(pa.array([2**53 + 1, -(2**63), None])) == [2**53 + 1, -(2**63), None]
    assert as_json(pa.array([2**64 - 1], pa.uint64())) == [2**64 - 1]


ZONE = "Europe/Berlin"


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (pa.array([dt.date(2024, 2, 29), None]), ["2024-02-29", None]),
        (pa.array([86_400_000], pa.date64()), ["1970-01-02"]),
        (pa.array([1], pa.time64("ns")), ["00:00:00.000000001"]),
        (pa.array([0, None], pa.timestamp("s")), ["1970-01-01T00:00:00", None]),
        (pa.array([1], pa.timestamp("ns", ZONE)), ["1970-01-01T00:00:00.000000001Z"]),
        (pa.array([1_500, -1], pa.duration("ms")), ["PT1.500S", "-PT0.001S"]),
        (pa.array([90], pa.duration("s")), ["PT90S"]),
        (pa.array([Decimal("1.10"), None]), ["1.10", None]),
        (pa.array([Decimal("-1E+30")], pa.decimal256(50, 0)), ["-1" + "0" * 30]),
        (pa.array([b"\xff\0", b"", None]), ["/wA=", "", None]),
        (pa.array([b"ab"], pa.binary(2)), ["YWI="]),
        (pa.array(["a", None, "a"]).dictionary_encode(), ["a", None, "a"]),
        (pa.array(["ä"], pa.string_view()), ["ä"]),
        (pa.array([uuid.UUID(int=1).bytes, None], pa.uuid()), [str(uuid.UUID(int=1)), None]),
        (pa.array([[1, 2], None], pa.list_(pa.int8(), 2)), [[1, 2], None]),
        (pa.array([[1], None, []], pa.large_list(pa.int8())), [[1], None, []]),
        (
            pa.array([[("a", 1), ("a", 2)], None, []], pa.map_(pa.string(), pa.int8())),
            [[{"key": "a", "value": 1}, {"key": "a", "value": 2}], None, []],
        ),
        (pa.array([{"a": [float("nan")]}, None, {"a": None}]), [{"a": [None]}, None, {"a": None}]),
        (pa.nulls(1), [None]),
    ],
)
def test_every_type_has_a_form_in_json(array: pa.Array, expected: list[object]) -> None:
    assert as_json(array) == expected


@settings(deadline=None)
@given(
    values=st.lists(st.none() | st.lists(st.none() | st.text()), min_size=1),
    start=st.integers(0, 3),
    viewed=st.booleans(),
)
def test_a_slice_of_nested_values_is_written_like_a_whole(
    values: list[list[str | None] | None], start: int, viewed: bool
) -> None:
    kind = pa.list_view(pa.string()) if viewed else pa.list_(pa.string())
    assert as_json(pa.array(values, kind).slice(start)) == values[start:]


def test_text_that_is_no_utf8_is_one_line_and_never_mended() -> None:
    bad = pa.Array.from_buffers(
        pa.string(), 1, [None, pa.py_buffer(b"\0\0\0\0\2\0\0\0"), pa.py_buffer(b"a\xff")]
    )
    with pytest.raises(InvalidRequest, match="`c` has text that is not UTF-8"):
        as_json(bad)


def test_an_object_with_one_name_twice_is_one_line() -> None:
    array = pa.StructArray.from_arrays([pa.array([1]), pa.array([2])], ["a", "a"])
    with pytest.raises(InvalidRequest, match="two fields of one name"):
        as_json(array)


def test_a_type_without_a_form_is_one_line() -> None:
    array = pa.array([(1, 2, 3)], pa.month_day_nano_interval())
    with pytest.raises(InvalidRequest, match=r"month_day_nano_interval.*\.jsonl"):
        as_json(array)
