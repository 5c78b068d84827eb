"""An answer gives each text its own vector or is refused, whatever was done to it on the way."""

import base64
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emblem.core.check import violation
from emblem.space import Space
from emblem.types import EmbedRequest, EmbedResult
from emblem.upstreams import vectors as vectors_read
from emblem.upstreams.answers import Embeddings, Malformed, embeddings, spread

WIDTH = 4
SPACE = Space.declared("a/b", WIDTH, normalised=True)

Items = list[dict[str, Any]]
Fault = Callable[[Items, int], object]


def vectors(texts: int) -> np.ndarray:
    found = np.random.default_rng(texts).standard_normal((texts, WIDTH))
    unit: np.ndarray = (found / np.linalg.norm(found, axis=1)[:, None]).astype(np.float32)
    return unit


def item(index: int, row: np.ndarray, *, as_base64: bool) -> dict[str, Any]:
    form: object = [float(one) for one in row]
    if as_base64:
        form = base64.b64encode(row.astype("<f4").tobytes()).decode()
    return {"object": "embedding", "index": index, "embedding": form}


def read(items: Items, texts: int) -> np.ndarray:
    """Give what would be returned, or raise Malformed, for violations that are found later, too."""
    body = json.dumps({"data": items, "usage": {"prompt_tokens": 9}}).encode()
    found: Embeddings = embeddings(body, texts, WIDTH)
    result = EmbedResult(found.vectors, spread(found.tokens, ["a"] * texts), (), "x")
    if what := violation(EmbedRequest(("a",) * texts), result, SPACE):
        raise Malformed(what)
    return found.vectors


@given(st.data(), st.integers(1, 8))
def test_any_order_and_any_mixture_of_forms_gives_the_same(data: st.DataObject, texts: int) -> None:
    rows = vectors(texts)
    forms = data.draw(st.lists(st.booleans(), min_size=texts, max_size=texts))
    items = [item(at, rows[at], as_base64=forms[at]) for at in range(texts)]
    np.testing.assert_array_equal(read(data.draw(st.permutations(items)), texts), rows)


def _set(field: str, value: object) -> Fault:
    return lambda items, at: items[at].update({field: value})


def _numbers(change: Callable[[list[Any]], object]) -> Fault:
    def fault(items: Items, at: int) -> None:
        numbers = list(vectors(len(items))[items[at]["index"]].astype(float))
        items[at]["embedding"] = change(numbers)

    return fault


FAULTS: dict[str, Fault] = {
    "drops one": lambda items, at: items.pop(at),
    "says one twice": lambda items, at: items.append(items[at]),
    "gives one more": lambda items, at: items.append({**items[at], "index": len(items)}),
    "counts from one": lambda items, at: [one.update(index=one["index"] + 1) for one in items],
    "has no index": lambda items, at: items[at].pop("index"),
    "has null for an index": _set("index", None),
    "has text for an index": _set("index", "0"),
    "has truth for an index": _set("index", True),
    "counts below zero": _set("index", -1),
    "has no vector": lambda items, at: items[at].pop("embedding"),
    "has null for a vector": _set("embedding", None),
    "has an object for a vector": _set("embedding", {"0": 1.0}),
    "has vectors in a vector": _numbers(lambda numbers: [numbers]),
    "writes numbers as text": _numbers(lambda numbers: [str(one) for one in numbers]),
    "writes truth for numbers": _numbers(lambda numbers: [True, *numbers[1:]]),
    "has null for a number": _numbers(lambda numbers: [None, *numbers[1:]]),
    "has not a number": _numbers(lambda numbers: [float("nan"), *numbers[1:]]),
    "has infinity": _numbers(lambda numbers: [*numbers[:3], float("inf")]),
    "has what is no float32": _numbers(lambda numbers: [1e300, *numbers[1:]]),
    "has only zeros": _numbers(lambda numbers: [0.0] * len(numbers)),
    "is twice as long": _numbers(lambda numbers: [2 * one for one in numbers]),
    "has a number more": _numbers(lambda numbers: [*numbers, 0.0]),
    "has a number less": _numbers(lambda numbers: numbers[:-1]),
    "has no numbers": _numbers(lambda numbers: []),
    "is a quarter in size": _numbers(
        lambda numbers: base64.b64encode(np.array(numbers).astype(np.int8).tobytes()).decode()
    ),
    "has doubles for floats": _numbers(
        lambda numbers: base64.b64encode(np.array(numbers, "<f8").tobytes()).decode()
    ),
    "is written the other way round": _numbers(
        lambda numbers: base64.b64encode(np.array(numbers, ">f4").tobytes()).decode()
    ),
    "is no base64": _set("embedding", "%%%%"),
    "is base64 of an address": _numbers(
        lambda numbers: base64.urlsafe_b64encode(bytes([255, 239, 191, 255] * 4)).decode()
    ),
    "is an empty text": _set("embedding", ""),
}


@pytest.mark.parametrize("fault", FAULTS)
@settings(max_examples=15)
@given(st.data(), st.integers(2, 6), st.booleans())
def test_no_fault_becomes_a_vector(
    fault: str, data: st.DataObject, texts: int, as_base64: bool
) -> None:
    rows = vectors(texts)
    items = [item(at, rows[at], as_base64=as_base64) for at in range(texts)]
    items = data.draw(st.permutations(items))
    FAULTS[fault](items, data.draw(st.integers(0, texts - 1)))
    with pytest.raises(Malformed):
        read(items, texts)


def test_indices_that_are_all_zero_are_refused() -> None:
    rows = vectors(3)
    with pytest.raises(Malformed, match="two vectors with index 0"):
        read([item(0, row, as_base64=True) for row in rows], 3)


@given(st.binary(max_size=200))
def test_bytes_of_any_kind_are_refused_and_nothing_else_is_raised(body: bytes) -> None:
    with pytest.raises(Malformed):
        embeddings(body, 1, WIDTH)


@given(st.data())
def test_an_answer_that_was_cut_short_is_refused(data: st.DataObject) -> None:
    items = [item(at, row, as_base64=at % 2 == 0) for at, row in enumerate(vectors(3))]
    body = json.dumps({"data": items}).encode()
    with pytest.raises(Malformed):
        embeddings(body[: data.draw(st.integers(0, len(body) - 1))], 3, WIDTH)


# Width 3 is one of those at which base64 ends with no "=".
ROWS = np.random.default_rng(3).standard_normal((5, 3)).astype("<f4")
CODED = [base64.b64encode(row.tobytes()).decode() for row in ROWS]
# What may stand around vectors, and looks as if it were one.
AROUND = [
    "",
    '"embedding":"AAAA",',
    '"x":{"embedding":"AAAA"},',
    '"x":["embedding"],',
    '"x":"\\"embedding\\":\\"",',
    '"x":"embedding","y":"",',
    '"x":{"embedding":[0.5]},',
    '"\\u0065mbedding":"AAAA",',
    '"embedding":"",',
]
NAMES = ['"embedding":', '"embedding" : ', '"embedding":\n\t', '"\\u0065mbedding":']


def spelled(coded: str, how: int) -> str:
    """Give base64 as JSON, in one of the ways that mean the same."""
    ways = [coded, coded.replace("/", "\\/"), f"\\u{ord(coded[0]):04x}{coded[1:]}"]
    return f'"{ways[how]}"'


@given(st.data(), st.integers(1, 5))
def test_a_vector_in_base64_is_read_however_json_spells_it(data: st.DataObject, texts: int) -> None:
    items = []
    for index in range(texts):
        around, name = data.draw(st.sampled_from(AROUND)), data.draw(st.sampled_from(NAMES))
        text = spelled(CODED[index], data.draw(st.integers(0, 2)))
        items.append(f'{{{around}"index":{index},{name}{text}}}')
    after = data.draw(st.sampled_from(AROUND))
    body = f'{{{after}"data":[{",".join(items)}]}}'
    assert [json.loads(body)["data"][at]["embedding"] for at in range(texts)] == CODED[:texts]
    np.testing.assert_array_equal(embeddings(body.encode(), texts, 3).vectors, ROWS[:texts])


@pytest.mark.parametrize("place", range(5))
@given(st.data())
def test_one_letter_that_is_no_base64_is_found_among_many(place: int, data: st.DataObject) -> None:
    letter = data.draw(st.sampled_from('=-_ \n\x00é"\\'))
    at = data.draw(st.integers(0, len(CODED[0]) - 1))
    coded = [*CODED]
    coded[place] = coded[place][:at] + letter + coded[place][at + 1 :]
    items = [{"index": index, "embedding": one} for index, one in enumerate(coded)]
    for ascii_only in (True, False):
        body = json.dumps({"data": items}, ensure_ascii=ascii_only).encode()
        with pytest.raises(Malformed, match=f"vector {place}"):
            embeddings(body, 5, 3)
    raw = body.replace(json.dumps(coded[place])[1:-1].encode(), coded[place].encode())
    with pytest.raises(Malformed):
        embeddings(raw, 5, 3)


@pytest.mark.parametrize("place", range(5))
def test_many_vectors_are_read_a_few_at_a_time(place: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vectors_read, "TOGETHER", 2 * 12)
    items = [{"index": at, "embedding": one} for at, one in enumerate(CODED)]
    found = embeddings(json.dumps({"data": items}).encode(), 5, 3).vectors
    np.testing.assert_array_equal(found, ROWS)
    assert found.flags.c_contiguous
    items[place]["embedding"] = "=" + CODED[place][1:]
    with pytest.raises(Malformed, match=f"vector {place}"):
        embeddings(json.dumps({"data": items}).encode(), 5, 3)


def test_one_vector_that_is_longer_is_not_made_up_for_by_one_that_is_shorter() -> None:
    coded = [*CODED]
    coded[1], coded[2] = coded[1] + coded[2][:4], coded[2][4:]
    body = json.dumps({"data": [{"index": at, "embedding": one} for at, one in enumerate(coded)]})
    with pytest.raises(Malformed, match="15 bytes in vector 1"):
        embeddings(body.encode(), 5, 3)


@pytest.mark.parametrize(
    "body",
    [
        '{"data":[{"index":0,"embedding":0}],"embedding":"%s"}',
        '{"data":[{"index":0,"embedding":null}],"embedding":"%s"}',
        '{"data":[{"index":0,"embedding":""}],"x":{"embedding":"%s"}}',
        '{"data":[{"index":0,"embedding":[]}],"x":{"embedding":"%s"}}',
        '{"data":[{"index":0,"\\u0065mbedding":""}],"x":{"embedding":"%s"}}',
        '{"data":[{"index":0,"embedding":"%s}]}',
        '{"data":[{"index":0,"embedding":"%s"x}]}',
    ],
)
def test_no_text_from_elsewhere_is_taken_for_a_vector(body: str) -> None:
    with pytest.raises(Malformed):
        embeddings((body % CODED[0]).encode(), 1, 3)


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        ({"prompt_tokens": 5, "total_tokens": 5}, 5),
        ({"total_tokens": 6}, 6),
        ({"prompt_tokens": 7.0}, 7),
        ({"prompt_tokens": None}, 0),
        ({"prompt_tokens": -3}, 0),
        ({}, 0),
        (None, 0),
    ],
)
def test_tokens_are_read_where_they_are_said(usage: object, tokens: int) -> None:
    items = [item(0, vectors(1)[0], as_base64=True)]
    body = json.dumps({"data": items, "usage": usage}).encode()
    assert embeddings(body, 1, WIDTH).tokens == tokens


def test_a_usage_that_is_no_count_is_refused() -> None:
    items = [item(0, vectors(1)[0], as_base64=True)]
    with pytest.raises(Malformed, match="a usage of"):
        embeddings(json.dumps({"data": items, "usage": {"prompt_tokens": 2**31}}).encode(), 1, 4)


@given(st.integers(0, 2**31 - 1), st.lists(st.text(max_size=9), min_size=1, max_size=9))
def test_tokens_are_shared_out_to_the_last(total: int, texts: list[str]) -> None:
    shares = spread(total, texts)
    assert shares.sum() == total
    assert (shares >= 0).all()
