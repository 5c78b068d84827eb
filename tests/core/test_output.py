"""Fewer dimensions and other number formats, against plain definitions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emblem.core.output import cast, shortened
from emblem.types import OutputType, Vectors


def unit_vectors(n: int = 5, width: int = 16, seed: int = 1) -> Vectors:
    vectors = np.random.default_rng(seed).standard_normal((n, width))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors.astype(np.float32)


def test_all_dimensions_are_the_same_bytes() -> None:
    vectors = unit_vectors()
    assert shortened(vectors, 16, normalised=True).tobytes() == vectors.tobytes()


@settings(deadline=None)
@given(dimensions=st.integers(1, 15), seed=st.integers(0, 20))
def test_the_first_numbers_are_kept_and_have_unit_norm_again(dimensions: int, seed: int) -> None:
    vectors = unit_vectors(seed=seed)
    short = shortened(vectors, dimensions, normalised=True)
    assert (short.shape, short.dtype) == ((5, dimensions), np.float32)
    assert short.flags.c_contiguous
    for full, found in zip(vectors.tolist(), short.tolist(), strict=True):
        norm = sum(x * x for x in full[:dimensions]) ** 0.5
        assert found == pytest.approx([x / norm for x in full[:dimensions]], abs=1e-6)


def test_vectors_that_were_not_unit_are_only_cut() -> None:
    short = shortened(np.array([[3, 4, 5]], np.float32), 2, normalised=False)
    assert short.tolist() == [[3, 4]]


def test_what_is_cut_to_nothing_stays_zero_for_the_check_to_find() -> None:
    assert shortened(np.array([[0, 0, 1]], np.float32), 2, normalised=True).tolist() == [[0, 0]]


def test_float_is_what_it_was() -> None:
    vectors = unit_vectors()
    assert cast(vectors, OutputType.FLOAT) is vectors


def test_int8_is_the_number_times_127_rounded_and_uint8_that_plus_128() -> None:
    vectors = np.concatenate([unit_vectors(), np.eye(2, 16, dtype=np.float32), -np.eye(1, 16, dtype=np.float32)])  # fmt: skip
    signed, unsigned = cast(vectors, OutputType.INT8), cast(vectors, OutputType.UINT8)
    expected = [[round(127 * x) for x in vector] for vector in vectors.tolist()]
    assert (signed.dtype, unsigned.dtype) == (np.int8, np.uint8)
    assert signed.tolist() == expected
    assert unsigned.tolist() == [[x + 128 for x in vector] for vector in expected]
    assert (signed.min(), signed.max()) == (-127, 127)


def test_a_number_a_little_beyond_one_does_not_wrap_around() -> None:
    assert cast(np.array([[1.004, -1.004]], np.float32), OutputType.INT8).tolist() == [[127, -127]]


def test_ubinary_packs_signs_highest_bit_first_and_binary_is_that_less_128() -> None:
    vectors = np.array([[1, -1, 1, 1, -1, 0, 0, 1, -1, -1, -1, -1, -1, -1, -1, 1]], np.float32)
    unsigned, signed = cast(vectors, OutputType.UBINARY), cast(vectors, OutputType.BINARY)
    assert (unsigned.dtype, signed.dtype) == (np.uint8, np.int8)
    assert unsigned.tolist() == [[0b10110001, 0b00000001]]
    assert signed.tolist() == [[0b10110001 - 128, 1 - 128]]


def test_every_output_type_has_a_row_for_each_vector() -> None:
    for output in OutputType:
        packed = output in (OutputType.BINARY, OutputType.UBINARY)
        assert cast(unit_vectors(), output).shape == (5, 2 if packed else 16)
