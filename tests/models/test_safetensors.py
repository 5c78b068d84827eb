"""Reading weights: the numbers, and files that are not what they say."""

import hashlib
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from emblem.errors import ModelError
from emblem.models.safetensors import Weights, digest
from tiny_models import write_safetensors

NUMBERS = np.array([[0.5, -1.25, 3.0], [65504.0, 0.0, -2.0]], np.float32)


def _write(file: Path, header: Any, data: bytes) -> Path:
    head = header if isinstance(header, bytes) else json.dumps(header).encode()
    file.write_bytes(struct.pack("<Q", len(head)) + head + data)
    return file


def _one(dtype: str, data: bytes, shape: tuple[int, ...]) -> dict[str, Any]:
    return {"t": {"dtype": dtype, "shape": shape, "data_offsets": [0, len(data)]}}


def test_float32_is_a_view_that_may_be_written_without_changing_the_file(tmp_path: Path) -> None:
    file = tmp_path / "w.safetensors"
    write_safetensors(file, {"a": NUMBERS, "b": NUMBERS.T.copy()})
    before = file.read_bytes()
    weights = Weights([file])
    assert list(weights) == ["a", "b"]
    assert weights.shape("b") == (3, 2)
    np.testing.assert_array_equal(weights["a"], NUMBERS)
    np.testing.assert_array_equal(weights["b"], NUMBERS.T)
    assert weights["a"].flags.writeable
    weights["a"][0, 0] = 7
    assert weights["a"][0, 0] == 7
    assert file.read_bytes() == before


@pytest.mark.parametrize("dtype", ["F16", "F64", "BF16"])
def test_other_floats_become_float32(dtype: str, tmp_path: Path) -> None:
    if dtype == "BF16":
        data = (NUMBERS.view(np.uint32) >> 16).astype("<u2").tobytes()
        expected = (NUMBERS.view(np.uint32) & 0xFFFF0000).view(np.float32)
    else:
        data = NUMBERS.astype({"F16": "<f2", "F64": "<f8"}[dtype]).tobytes()
        expected = NUMBERS
    file = _write(tmp_path / "w.safetensors", _one(dtype, data, (2, 3)), data)
    read = Weights([file])["t"]
    assert read.dtype == np.float32
    np.testing.assert_array_equal(read, expected)


def test_a_tensor_that_is_not_aligned_in_its_file_is_aligned_when_read(tmp_path: Path) -> None:
    header = {
        "odd": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]},
        "t": {"dtype": "F32", "shape": [2, 3], "data_offsets": [1, 25]},
    }
    file = _write(tmp_path / "w.safetensors", header, b"\0" + NUMBERS.tobytes())
    read = Weights([file])["t"]
    assert read.flags.aligned
    np.testing.assert_array_equal(read, NUMBERS)


def test_scalars_and_empty_tensors_have_their_shapes(tmp_path: Path) -> None:
    header = {
        "none": {"dtype": "F32", "shape": [0, 4], "data_offsets": [0, 0]},
        "one": {"dtype": "F32", "shape": [], "data_offsets": [0, 4]},
        "__metadata__": {"format": "pt"},
    }
    weights = Weights([_write(tmp_path / "w.safetensors", header, struct.pack("<f", 2.5))])
    assert weights["none"].shape == (0, 4)
    assert weights["one"].shape == ()
    assert weights["one"] == 2.5
    assert "__metadata__" not in weights


def test_another_number_format_is_an_error_only_when_it_is_read(tmp_path: Path) -> None:
    data = b"\0" * 16
    file = _write(tmp_path / "w.safetensors", _one("I64", data, (2,)), data)
    weights = Weights([file])
    assert "t" in weights
    with pytest.raises(ModelError, match=r"w\.safetensors: tensor t is I64; F32, F16"):
        weights["t"]


def test_shards_are_one_mapping_and_may_not_overlap(tmp_path: Path) -> None:
    first, second = tmp_path / "1.safetensors", tmp_path / "2.safetensors"
    write_safetensors(first, {"a": NUMBERS})
    write_safetensors(second, {"b": NUMBERS})
    assert set(Weights([first, second])) == {"a", "b"}
    with pytest.raises(ModelError, match=r"tensor a is in 1\.safetensors too"):
        Weights([first, first])


@pytest.mark.parametrize(
    ("header", "data", "why"),
    [
        (_one("F32", b"\0" * 8, (2,)), b"\0" * 7, "cut short or its header lies"),
        (_one("F32", b"\0" * 8, (2,)), b"\0" * 9, "1 bytes after the last tensor"),
        (_one("F32", b"\0" * 8, (3,)), b"\0" * 8, "its shape and dtype take 12 bytes"),
        (_one("F32", b"\0" * 8, (-1, -2)), b"\0" * 8, "shape .* is impossible"),
        (_one("Q4", b"\0" * 8, (2,)), b"\0" * 8, "dtype Q4 of tensor t is not known"),
        (
            {"t": {"dtype": "F32", "shape": [1], "data_offsets": [-4, 0]}},
            b"",
            "its shape and dtype take 4",
        ),
        ({"t": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}}, b"\0" * 8, "after 0 of 8"),
        ({"t": {"dtype": "F32", "shape": [1]}}, b"", "missing required field `data_offsets`"),
        ({"t": {"dtype": "F32", "shape": ["x"], "data_offsets": [0, 4]}}, b"", "Expected `int`"),
        (b"not json", b"", "header is not what safetensors describes"),
        (b'["a"]', b"", "header is not what safetensors describes"),
        (b'{"a":' + b"[" * 100_000, b"", "header is nested too deeply"),
    ],
)
def test_a_header_that_cannot_be_true_is_one_line(
    header: Any, data: bytes, why: str, tmp_path: Path
) -> None:
    file = _write(tmp_path / "w.safetensors", header, data)
    with pytest.raises(ModelError, match=why) as caught:
        Weights([file])
    assert str(caught.value).startswith(f"{file}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "0 bytes are too few"),
        (b"\x01\0\0", "3 bytes are too few"),
        (struct.pack("<Q", 1 << 62), "is more than the file can hold"),
        (struct.pack("<Q", 3) + b"{}", "header length 3 is more than"),
    ],
)
def test_a_file_that_is_too_short_is_one_line(content: bytes, why: str, tmp_path: Path) -> None:
    file = tmp_path / "w.safetensors"
    file.write_bytes(content)
    with pytest.raises(ModelError, match=why):
        Weights([file])


def test_a_file_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"gone\.safetensors: cannot be read: No such file"):
        Weights([tmp_path / "gone.safetensors"])


def test_the_digest_is_the_files_own_or_that_of_the_files_digests(tmp_path: Path) -> None:
    first, second = tmp_path / "1", tmp_path / "2"
    first.write_bytes(b"one")
    second.write_bytes(b"two")
    ones, twos = (hashlib.sha256(content).hexdigest() for content in (b"one", b"two"))
    assert digest([first]) == ones
    assert digest([first, second]) == hashlib.sha256((ones + twos).encode()).hexdigest()
    assert digest([first, second]) != digest([second, first])


@pytest.mark.parametrize(
    ("kind", "numbers"),
    [("I8", "<i1"), ("U8", "<u1"), ("I16", "<i2"), ("I32", "<i4"), ("I64", "<i8"), ("U32", "<u4")],
)
def test_whole_numbers_are_read_as_they_are(kind: str, numbers: str, tmp_path: Path) -> None:
    values = np.array([[1, 2, 3], [4, 5, 100]], numbers)
    header = json.dumps(
        {
            "whole": {"dtype": kind, "shape": [2, 3], "data_offsets": [0, values.nbytes]},
            "real": {
                "dtype": "F32",
                "shape": [1],
                "data_offsets": [values.nbytes, values.nbytes + 4],
            },
        }
    ).encode()
    file = tmp_path / "w.safetensors"
    file.write_bytes(struct.pack("<Q", len(header)) + header + values.tobytes() + bytes(4))
    weights = Weights([file])
    assert (weights.is_whole("whole"), weights.is_whole("real")) == (True, False)
    assert weights.whole("whole").dtype == values.dtype
    np.testing.assert_array_equal(weights.whole("whole"), values)
    with pytest.raises(ModelError, match="tensor real is F32, not whole numbers"):
        weights.whole("real")
