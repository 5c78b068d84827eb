"""Requests that succeed: the bytes that OpenAI's clients read, whatever form the question has."""

import asyncio
import base64
import json
import re
import time

import numpy as np
import pytest

from api.asking import Reply, arriving, post, reply_to
from api.small_app import DIGEST, SERVED, Small, charging, vector_of
from emblem.api.app import create_app
from emblem.names import Names
from emblem.service import Limits, Service
from emblem.types import Kind, Lane, Overflow
from tiny_engine import WIDTH, tiny_engine, words
from tiny_engine import vector_of as engine_vector_of


def floats(reply: Reply) -> np.ndarray:
    """Give the vectors of an answer in the format ``float``: (n, d) float32."""
    return np.array([item["embedding"] for item in reply.json["data"]], np.float32)


def decoded(reply: Reply, dtype: str = "<f4") -> np.ndarray:
    """Give the vectors of an answer in the format ``base64``: (n, d)."""
    items = [base64.b64decode(item["embedding"], validate=True) for item in reply.json["data"]]
    return np.stack([np.frombuffer(item, dtype) for item in items])


# -- the golden shape ---------------------------------------------------------------------------


def test_a_single_text_is_answered_in_openai_s_shape(small: Small) -> None:
    reply = post(small.app, {"model": "tiny", "input": "two words"})
    assert reply.status == 200
    assert reply.json == {
        "object": "list",
        "data": [
            {
                "object": "embedding",
                "index": 0,
                "embedding": pytest.approx(vector_of("two words").tolist(), abs=1e-7),
            }
        ],
        "model": "tiny",
        "usage": {"prompt_tokens": 4, "total_tokens": 4},
    }
    assert list(reply.json) == ["object", "data", "model", "usage"]


def test_a_list_is_answered_in_its_own_order_and_its_tokens_add_up(small: Small) -> None:
    texts = [f"text {n}" for n in range(20)]
    reply = post(small.app, {"model": "tiny", "input": texts})
    assert [item["index"] for item in reply.json["data"]] == list(range(20))
    assert reply.json["usage"] == {"prompt_tokens": 80, "total_tokens": 80}
    np.testing.assert_array_equal(floats(reply), [vector_of(text) for text in texts])


def test_as_many_inputs_as_openai_takes_are_taken(small: Small) -> None:
    reply = post(small.app, {"model": "tiny", "input": ["x"] * 2048})
    assert len(reply.json["data"]) == 2048


def embedded(value: object) -> Reply:
    """Give the answer of an application over a real engine."""

    async def answer() -> Reply | None:
        async with tiny_engine() as engine:
            service = Service(Names(SERVED, str), {"tiny": engine}, Limits(), charging())
            body = json.dumps({"model": "tiny", "input": value}).encode()
            app = create_app(service, None)
            return await reply_to(app, "POST", "/v1/embeddings", arriving(body), {})

    reply = asyncio.run(answer())
    assert reply is not None
    return reply


def test_the_engine_s_own_vectors_reach_the_client() -> None:
    texts = [words(1, 2, 3), words(*range(25)), words(7)]
    reply = embedded(texts)
    expected = [engine_vector_of(text) for text in texts]
    np.testing.assert_allclose(floats(reply), expected, atol=1e-6)
    assert reply.json["usage"]["total_tokens"] == 5 + 27 + 3
    assert reply.headers["x-embedding-overflow"] == "mean; count=1; inputs=1"


def test_ten_million_bytes_of_text_are_refused_and_not_too_large_to_be_told_why() -> None:
    reply = embedded("ten bytes " * 1_000_000)
    assert reply.status == 400
    assert "maximum context length is 8192 tokens" in reply.error["message"]
    assert reply.error["param"] == "input"


# -- formats of the numbers ---------------------------------------------------------------------


def test_base64_holds_the_same_numbers_bit_for_bit(small: Small) -> None:
    body = {"model": "tiny", "input": [f"text {n}" for n in range(50)]}
    plain = post(small.app, body)
    packed = post(small.app, body | {"encoding_format": "base64"})
    assert decoded(packed).tobytes() == floats(plain).tobytes()
    assert packed.json["usage"] == plain.json["usage"]


@pytest.mark.parametrize("asked", [{}, {"encoding_format": None}, {"encoding_format": "float"}])
def test_numbers_are_written_as_numbers_unless_base64_is_asked_for(
    small: Small, asked: dict[str, str | None]
) -> None:
    embedding = post(small.app, {"model": "tiny", "input": "x"} | asked).json["data"][0]
    assert all(isinstance(number, float) for number in embedding["embedding"])


@pytest.mark.parametrize(
    ("output", "dtype", "numbers"),
    [
        ("float", "<f4", WIDTH),
        ("int8", "<i1", WIDTH),
        ("uint8", "<u1", WIDTH),
        ("binary", "<i1", WIDTH // 8),
        ("ubinary", "<u1", WIDTH // 8),
    ],
)
def test_every_output_type_has_the_same_numbers_in_both_formats(
    small: Small, output: str, dtype: str, numbers: int
) -> None:
    body = {"model": "tiny", "input": ["x", "y"], "output_dtype": output}
    plain = post(small.app, body)
    packed = decoded(post(small.app, body | {"encoding_format": "base64"}), dtype)
    assert packed.shape == (2, numbers)
    assert (
        packed.tolist()
        == np.array([item["embedding"] for item in plain.json["data"]], dtype).tolist()
    )
    ends = "" if output == "float" else f"+{output}"
    assert plain.headers["x-embedding-space"] == f"tiny@{DIGEST}/{WIDTH}{ends}"


@pytest.mark.parametrize("encoding", ["float", "base64"])
def test_fewer_dimensions_are_given_at_unit_length(small: Small, encoding: str) -> None:
    body = {"model": "tiny", "input": ["x", "y"], "dimensions": 3, "encoding_format": encoding}
    reply = post(small.app, body)
    vectors = floats(reply) if encoding == "float" else decoded(reply)
    np.testing.assert_array_equal(vectors, [vector_of("x", 3), vector_of("y", 3)])
    assert reply.headers["x-embedding-space"] == f"tiny@{DIGEST}/3"
    assert reply.headers["x-served-by"] == "tiny"


# -- four forms of input ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "texts"),
    [
        ("hi", ("hi",)),
        (["hi", "there"], ("hi", "there")),
        ([104, 105], ("hi",)),
        ([[104, 105], [33]], ("hi", "!")),
        ([[195], [169]], ("�", "�")),
        ([195, 169], ("é",)),
        (" ", (" ",)),
        (["\n\t", "\0", "😀", "\N{BYTE ORDER MARK}"], ("\n\t", "\0", "😀", "\N{BYTE ORDER MARK}")),
    ],
)
def test_a_text_texts_ids_and_arrays_of_ids_all_become_texts(
    small: Small, value: object, texts: tuple[str, ...]
) -> None:
    assert post(small.app, {"model": "tiny", "input": value}).status == 200
    assert small.asked.inputs == texts


@pytest.mark.parametrize("space", [" ", "\n\t\r "])
def test_white_space_between_the_parts_of_the_json_changes_nothing(
    small: Small, space: str
) -> None:
    for written in ('"hi"', '["hi"]', "[104,105]", "[[104,105]]"):
        spaced = "".join(f"{space}{one}{space}" if one in "[],:{}" else one for one in written)
        body = f'{space}{{"input"{space}:{space}{spaced}{space},"model":"tiny"}}{space}'
        assert post(small.app, body.encode()).status == 200
        assert small.asked.inputs == ("hi",)


def test_escapes_and_surrogate_pairs_are_read_as_their_characters(small: Small) -> None:
    body = b'{"model": "tiny", "input": ["\\ud83d\\ude00 \\u00e9", "\\\\ud800", "[1, 2]"]}'
    assert post(small.app, body).status == 200
    assert small.asked.inputs == ("😀 é", "\\ud800", "[1, 2]")


# -- fields beside input ------------------------------------------------------------------------


def test_null_counts_as_left_out_in_every_field(small: Small) -> None:
    fields = ("encoding_format", "dimensions", "user", "input_type", "overflow", "output_dtype")
    body = {"model": "tiny", "input": "x"} | dict.fromkeys((*fields, "priority"))
    assert post(small.app, body).body == post(small.app, {"model": "tiny", "input": "x"}).body


@pytest.mark.parametrize(
    "extra",
    [
        {"user": "someone"},
        {"extra_body": {"a": [1, {"b": None}]}, "truncate": True},
        {"prefix": "search_query: ", "Dimensions": 3, "": 0},
    ],
)
def test_the_user_and_unknown_fields_change_nothing(small: Small, extra: dict) -> None:
    body = {"model": "tiny", "input": "x"}
    assert post(small.app, body | extra).body == post(small.app, body).body


def test_our_own_fields_reach_the_embedder(small: Small) -> None:
    own = {"input_type": "query", "overflow": "truncate", "priority": "bulk", "dimensions": 5}
    reply = post(small.app, {"model": "asking", "input": "x"} | own)
    assert reply.status == 200
    asked = small.asked
    assert (asked.kind, asked.overflow, asked.lane, asked.dimensions) == (
        Kind.QUERY,
        Overflow.TRUNCATE,
        Lane.BULK,
        5,
    )


@pytest.mark.parametrize(
    ("model", "space"),
    [
        ("mine", f"tiny@{DIGEST}/8"),
        ("acme/four", f"tiny@{DIGEST}/4"),
        ("cut", f"tiny@{DIGEST}/8+truncate"),
        ("small", f"tiny@{DIGEST}/8+int8"),
        (f"acme/four@{DIGEST}", f"tiny@{DIGEST}/4"),
        ("text-embedding-3-small", f"tiny@{DIGEST}/8"),
    ],
)
def test_an_alias_or_a_pinned_name_is_answered_by_its_model_in_the_space_that_it_says(
    small: Small, model: str, space: str
) -> None:
    reply = post(small.app, {"model": model, "input": "x"})
    assert reply.json["model"] == "tiny"
    assert reply.headers["x-embedding-space"] == space


def test_the_key_shares_one_turn(small: Small) -> None:
    post(small.app, {"model": "tiny", "input": "x"})
    assert small.asked.fair_share == "key-1"


# -- headers ------------------------------------------------------------------------------------


def test_every_answer_has_an_id_of_its_own_and_its_time(small: Small) -> None:
    replies = [post(small.app, {"model": "tiny", "input": "x"}) for _ in range(2)]
    replies.append(post(small.app, b"no json"))
    ids = {reply.headers["x-request-id"] for reply in replies}
    assert len(ids) == 3
    assert all(one.startswith("req_") for one in ids)
    assert all(int(reply.headers["openai-processing-ms"]) >= 0 for reply in replies)
    assert all(int(reply.headers["content-length"]) == len(reply.body) for reply in replies)


def test_an_id_begins_with_the_time_so_that_the_later_one_comes_behind(small: Small) -> None:
    before = int(1000 * time.time())
    name = post(small.app, {"model": "tiny", "input": "x"}).headers["x-request-id"]
    after = int(1000 * time.time())
    assert re.fullmatch("req_[0-9a-f]{32}", name)
    assert before <= int(name[4:16], 16) <= after


def test_overflow_is_said_only_where_there_was_some(small: Small) -> None:
    body = {"model": "tiny", "input": ["x"] * 3}
    assert "x-embedding-overflow" not in post(small.app, body).headers
    small.embedder.overflowed = (0, 2)
    said = post(small.app, body | {"overflow": "truncate"}).headers["x-embedding-overflow"]
    assert said == "truncate; count=2; inputs=0,2"


def test_a_long_list_of_overflow_is_cut_and_still_counted(small: Small) -> None:
    small.embedder.overflowed = tuple(range(101))
    reply = post(small.app, {"model": "tiny", "input": ["x"] * 101})
    said = reply.headers["x-embedding-overflow"]
    assert said.startswith("mean; count=101; inputs=0,1,")
    assert said.endswith(",98,99,...")
