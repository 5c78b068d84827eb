"""Rankings: passed on to a real server, and its answer checked."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from api.passing_front import THEIR_KEY, Front
from chat_upstream import ChatUpstream, Wanted, chat_upstream
from emblem.accounts import Quota

DOCUMENTS = ["short", "the longest of them all", "in between them"]
BODY = {"model": "ranker", "query": "which?", "documents": DOCUMENTS}
ORDER = [1, 2, 0]
GUESSED = -(-len(json.dumps(BODY)) // 4)  # tokens, by the request's size


@pytest.fixture
def upstream() -> Iterator[ChatUpstream]:
    with chat_upstream() as server:
        yield server


@pytest.fixture
def front(upstream: ChatUpstream) -> Front:
    return Front(upstream.base_url)


def rank(front: Front, body: Any, path: str = "/v1/rerank") -> Any:
    reply = front.post(body, path)
    assert reply.status == 200, reply.body
    assert reply.headers["x-served-by"] == "theirs"
    return reply.json


@pytest.mark.parametrize("path", ["/v1/rerank", "/rerank"])
def test_documents_come_back_in_their_order_with_scores(
    front: Front, upstream: ChatUpstream, path: str
) -> None:
    told = rank(front, BODY, path)
    assert [one["index"] for one in told["results"]] == ORDER
    assert [set(one) for one in told["results"]] == [{"index", "relevance_score"}] * 3
    assert (told["model"], told["usage"]) == ("ranker", {"total_tokens": 21})
    assert upstream.paths == ["/v1/rerank"]
    assert upstream.bodies == [{**BODY, "model": "their-ranker"}]
    assert upstream.headers[0]["authorization"] == f"Bearer {THEIR_KEY}"


def test_fields_that_are_not_ours_go_on(front: Front, upstream: ChatUpstream) -> None:
    rank(front, {**BODY, "max_tokens_per_doc": 99})
    assert upstream.bodies[0]["max_tokens_per_doc"] == 99


def test_documents_are_given_back_from_the_request_itself(
    front: Front, upstream: ChatUpstream
) -> None:
    documents = ["a", {"text": "bbbb"}, {"text": "cc", "title": "C"}]
    told = rank(front, {**BODY, "documents": documents, "return_documents": True, "top_n": 2})
    sent = upstream.bodies[0]
    assert "return_documents" not in sent
    assert sent["documents"] == ["a", "bbbb", {"text": "cc", "title": "C"}]
    assert [one["document"] for one in told["results"]] == [
        {"text": "cc", "title": "C"},
        {"text": "bbbb"},
    ]


def scored(*pairs: tuple[int, Any]) -> dict[str, Any]:
    return {"results": [{"index": index, "relevance_score": score} for index, score in pairs]}


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (scored((0, 0.9), (1, 0.8)), "2 results for 3 documents where 3 were due"),
        (scored((0, 0.9), (1, 0.8), (2, 0.7), (2, 0.7)), "4 results for 3 documents"),
        (scored((0, 0.9), (0, 0.8), (1, 0.7)), "document 0 has two places"),
        (scored((0, 0.9), (1, 0.8), (3, 0.7)), "of document 3, and there are 3"),
        (scored((0, 0.9), (1, 0.8), (-1, 0.7)), "of document -1"),
        (scored((0, None), (1, 0.8), (2, 0.7)), "no ranking"),
        (scored((0, "0.9"), (1, 0.8), (2, 0.7)), "no ranking"),
        (b'{"results":[{"index":0,"relevance_score":1e999}]}', ""),
        ({"data": []}, "no ranking"),
        ([], "no ranking"),
        (b"<html>", "not JSON"),
    ],
)
def test_a_ranking_that_cannot_be_right_is_502(
    front: Front, upstream: ChatUpstream, answer: Any, said: str
) -> None:
    upstream.wanted = Wanted(body=answer)
    reply = front.post(BODY, "/v1/rerank")
    assert (reply.status, reply.error["code"]) == (502, "upstream_invalid_response")
    assert said in reply.error["message"]
    assert front.seen[0].tokens == 0


@pytest.mark.parametrize("top_n", [None, 3, 9])
def test_a_ranking_in_another_order_is_put_in_order_by_its_scores(
    front: Front, upstream: ChatUpstream, top_n: int | None
) -> None:
    upstream.wanted = Wanted(body=scored((0, 0.1), (2, 0.8), (1, 0.8)))
    told = rank(front, {**BODY, "top_n": top_n, "return_documents": True})
    assert [(one["index"], one["relevance_score"]) for one in told["results"]] == [
        (2, 0.8),  # those with the same score stay as they came
        (1, 0.8),
        (0, 0.1),
    ]
    texts = [one["document"]["text"] for one in told["results"]]
    assert texts == [DOCUMENTS[2], DOCUMENTS[1], DOCUMENTS[0]]


def test_more_results_than_were_asked_for_are_502(front: Front, upstream: ChatUpstream) -> None:
    upstream.wanted = Wanted(body=scored((0, 0.9), (1, 0.8)))
    reply = front.post({**BODY, "top_n": 1}, "/v1/rerank")
    assert "2 results for 3 documents where 1 were due" in reply.error["message"]


@pytest.mark.parametrize(
    ("body", "param", "said"),
    [
        ({**BODY, "model": None}, "model", "you must provide a model parameter"),
        ({**BODY, "query": ""}, "query", "not empty"),
        ({**BODY, "query": ["a"]}, "query", "a string"),
        ({**BODY, "documents": []}, "documents", "at least one document"),
        ({**BODY, "documents": "a"}, "documents", "an array"),
        ({**BODY, "documents": ["a", 7]}, "documents", "$.documents[1] must be a string"),
        ({**BODY, "documents": ["a"] * 10_001}, "documents", "at most 10000"),
        ({**BODY, "top_n": 0}, "top_n", "at least 1"),
        ({"model": "ranker", "query": "q", "texts": ["a"]}, "texts", "'documents'"),
    ],
)
def test_a_wrong_request_is_400_and_goes_nowhere(
    front: Front, upstream: ChatUpstream, body: Any, param: str, said: str
) -> None:
    reply = front.post(body, "/v1/rerank")
    assert (reply.status, reply.error["param"]) == (400, param)
    assert said in reply.error["message"]
    assert not upstream.bodies


@pytest.mark.parametrize(
    ("model", "said"),
    [("talker", "POST /v1/chat/completions"), ("tiny", "GET /v1/models")],
)
def test_a_model_that_does_not_rank_is_404(front: Front, model: str, said: str) -> None:
    reply = front.post({**BODY, "model": model}, "/rerank")
    assert (reply.status, reply.error["code"]) == (404, "model_not_found")
    assert said in reply.error["message"]


def test_tei_is_asked_in_its_own_words_at_its_root(upstream: ChatUpstream) -> None:
    front = Front(upstream.base_url, dialect="tei")
    answer = [{"index": index, "score": score} for index, score in ((0, -3), (1, 0.9), (2, -0.5))]
    upstream.wanted = Wanted(body=answer)
    told = rank(front, {**BODY, "top_n": 2, "truncate": True})
    assert upstream.paths == ["/rerank"]
    assert upstream.bodies == [{"query": "which?", "texts": DOCUMENTS, "truncate": True}]
    assert [(one["index"], one["relevance_score"]) for one in told["results"]] == [
        (1, 0.9),
        (2, -0.5),
    ]


def test_what_tei_cannot_be_asked_is_400(upstream: ChatUpstream) -> None:
    front = Front(upstream.base_url, dialect="tei")
    reply = front.post({**BODY, "documents": [{"text": "a", "title": "b"}]}, "/rerank")
    assert (reply.status, reply.error["param"]) == (400, "documents")


@pytest.mark.parametrize(
    ("told", "tokens"),
    [
        ({"usage": {"total_tokens": 21}}, 21),
        ({"meta": {"billed_units": {"input_tokens": 33.0}}}, 33),
        ({"meta": {"tokens": {"input_tokens": 44}}}, 44),
        ({"meta": {"billed_units": {"search_units": 1}}}, GUESSED),
        ({"usage": None}, GUESSED),
        ({"usage": {"total_tokens": 1e300}}, GUESSED),
    ],
)
def test_a_ranking_is_counted_as_its_answer_says(
    upstream: ChatUpstream, told: dict[str, Any], tokens: int
) -> None:
    front = Front(upstream.base_url, quota=Quota(tokens_per_minute=1000))
    upstream.wanted = Wanted(body={**scored((1, 3), (2, 2), (0, 1)), **told})
    reply = front.post(BODY, "/v1/rerank")
    assert reply.status == 200
    assert "x-ratelimit-remaining-tokens" in reply.headers
    [one] = front.seen
    assert (one.route, one.model, one.tokens, one.inputs) == ("/v1/rerank", "ranker", tokens, 3)


@pytest.mark.parametrize(
    "wanted",
    [
        Wanted(500, b"<html>"),
        Wanted(429, {"error": {"message": "later"}}),
        Wanted(body=scored((0, 0.9), (0, 0.8), (1, 0.7))),
        Wanted(body=b"<html>"),
    ],
)
def test_a_ranking_that_fails_or_cannot_be_right_is_asked_of_another_deployment(
    upstream: ChatUpstream, wanted: Wanted
) -> None:
    with chat_upstream() as other:
        front = Front(upstream.base_url, others=(other.base_url,))
        upstream.wanted = wanted
        for _ in range(4):
            reply = front.post(BODY, "/v1/rerank")
            assert reply.headers["x-served-by"] == "other-1"
            assert [one["index"] for one in reply.json["results"]] == ORDER
        assert len(other.bodies) == 4
    assert {one.tokens for one in front.seen} == {21}


def test_what_every_deployment_ranks_wrongly_is_502_and_names_one(upstream: ChatUpstream) -> None:
    with chat_upstream() as other:
        front = Front(upstream.base_url, others=(other.base_url,), quota=Quota(tokens_per_day=999))
        upstream.wanted = other.wanted = Wanted(body=scored((0, 0.9)))
        reply = front.post(BODY, "/v1/rerank")
    assert (reply.status, reply.error["code"]) == (502, "upstream_invalid_response")
    assert (
        "a deployment of `ranker`, returned an invalid result: 1 results" in reply.error["message"]
    )
    assert [len(one.bodies) for one in (upstream, other)] == [1, 1]
    assert front.seen[0].tokens == 0


def test_a_request_that_a_deployment_refuses_is_400_and_asked_of_no_other(
    upstream: ChatUpstream,
) -> None:
    refusal = Wanted(400, {"error": {"message": "too many documents"}})
    with chat_upstream() as other:
        front = Front(upstream.base_url, others=(other.base_url,))
        upstream.wanted = other.wanted = refusal
        reply = front.post(BODY, "/v1/rerank")
    assert reply.status == 400
    assert len(upstream.bodies) + len(other.bodies) == 1
