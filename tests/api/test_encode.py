"""The body of a success: in parts, and the same as if it were written at once."""

import asyncio
import base64
import json
from dataclasses import replace

import numpy as np
import orjson
import pytest

from emblem.api.embeddings import _encoded
from emblem.api.wire import NUMBERS_AT_A_TIME, EncodingFormat, encode
from emblem.service import Answer
from emblem.types import Overflow

pytestmark = pytest.mark.anyio

BASE64 = EncodingFormat.BASE64


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def answer(n: int, width: int) -> Answer:
    vectors = np.random.default_rng(0).standard_normal((n, width)).astype(np.float32)
    return Answer('a "model"', vectors, 7, "space", Overflow.MEAN, ())


@pytest.mark.parametrize("encoding", EncodingFormat)
@pytest.mark.parametrize("shape", [(1, 384), (100, 384), (3, NUMBERS_AT_A_TIME + 8)])
def test_parts_make_the_body_that_would_be_written_at_once(
    shape: tuple[int, int], encoding: EncodingFormat
) -> None:
    given = answer(*shape)
    rows = [
        base64.b64encode(row.tobytes()).decode() if encoding is EncodingFormat.BASE64 else row
        for row in given.vectors
    ]
    whole = {
        "object": "list",
        "data": [
            {"object": "embedding", "index": index, "embedding": row}
            for index, row in enumerate(rows)
        ],
        "model": given.model,
        "usage": {"prompt_tokens": 7, "total_tokens": 7},
    }
    expected = orjson.dumps(whole, option=orjson.OPT_SERIALIZE_NUMPY)
    assert b"".join(encode(given, encoding)) == expected


async def test_others_have_their_turn_while_a_large_answer_is_written() -> None:
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    beside = asyncio.ensure_future(other())
    body = await _encoded(answer(2048, 384), EncodingFormat.FLOAT)
    beside.cancel()
    assert turns >= 2048 * 384 // NUMBERS_AT_A_TIME
    assert len(json.loads(body)["data"]) == 2048


@pytest.mark.parametrize("encoding", EncodingFormat)
@pytest.mark.parametrize("n", [1, 3, 80])
async def test_a_body_is_its_parts_in_their_order(n: int, encoding: EncodingFormat) -> None:
    given = answer(n, NUMBERS_AT_A_TIME)  # in one part, in several, and in megabytes
    assert await _encoded(given, encoding) == b"".join(encode(given, encoding))


@pytest.mark.parametrize("kind", [np.float32, np.int8, np.uint8])
@pytest.mark.parametrize("width", range(1, 11))
@pytest.mark.parametrize("n", [1, 2, 5])
def test_every_vector_has_the_base64_that_it_has_alone(n: int, width: int, kind: type) -> None:
    numbers = np.random.default_rng(width).integers(-128, 128, (n, width)).astype(kind)
    body = json.loads(b"".join(encode(replace(answer(1, 1), vectors=numbers), BASE64)))
    assert [item["embedding"] for item in body["data"]] == [
        base64.b64encode(row.tobytes()).decode() for row in numbers
    ]
    assert [item["index"] for item in body["data"]] == [*range(n)]


def test_more_vectors_than_have_their_places_written_beforehand_are_numbered_too() -> None:
    body = json.loads(b"".join(encode(answer(2 * NUMBERS_AT_A_TIME, 2), BASE64)))
    assert [item["index"] for item in body["data"]] == [*range(2 * NUMBERS_AT_A_TIME)]
