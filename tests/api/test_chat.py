"""Chat completions: passed on to a real server and back, as they came."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.types import Message

from api.asking import SECRET, Reply, arriving, reply_to, scope_of
from api.passing_front import SECOND_KEY, THEIR_KEY, Front
from chat_upstream import USAGE, WORDS, ChatUpstream, Wanted, chat_upstream
from emblem.accounts import Quota
from emblem.upstreams.passing import Bounds

MESSAGES = [{"role": "user", "content": "Say hello to the world, please."}]
BODY = {"model": "talker", "messages": MESSAGES}
STREAMED = {**BODY, "stream": True}


@pytest.fixture
def upstream() -> Iterator[ChatUpstream]:
    with chat_upstream() as server:
        yield server


@pytest.fixture
def front(upstream: ChatUpstream) -> Front:
    return Front(upstream.base_url)


def streamed(reply: Reply) -> list[Any]:
    """Give the data of each event of a stream that has the right head."""
    assert reply.status == 200, reply.body
    assert reply.headers["content-type"] == "text/event-stream; charset=utf-8"
    parts = reply.body.decode().split("\n\n")
    assert parts.pop() == ""
    data = [part.removeprefix("data: ") for part in parts]
    return [one if one == "[DONE]" else json.loads(one) for one in data]


def test_a_request_goes_out_as_it_came_but_for_the_model(
    front: Front, upstream: ChatUpstream
) -> None:
    sent = {**BODY, "temperature": 0.5, "tools": [{"x": [1, None, "ä😀"]}], "made_up": {"a": 1e-7}}
    reply = front.post(sent)
    assert reply.status == 200
    assert upstream.paths == ["/v1/chat/completions"]
    assert upstream.bodies == [{**sent, "model": "their-model"}]
    assert reply.json["choices"][0]["message"]["content"] == "".join(WORDS)
    assert reply.json["model"] == "their-model-2026"
    assert reply.headers["x-served-by"] == "theirs"


def test_our_key_never_goes_out_and_nothing_of_who_asks(
    front: Front, upstream: ChatUpstream
) -> None:
    front.post(BODY, **{"x-emblem-tag": "blue", "cookie": "mine=1", "user-agent": "mine/1"})
    [headers] = upstream.headers
    assert headers["authorization"] == f"Bearer {THEIR_KEY}"
    said = json.dumps([headers, upstream.bodies])
    for ours in (SECRET, "blue", "mine"):
        assert ours not in said


def test_a_key_goes_out_as_its_provider_takes_it(upstream: ChatUpstream) -> None:
    assert Front(upstream.base_url, row="azure").post(BODY).status == 200
    [headers] = upstream.headers
    assert headers["api-key"] == THEIR_KEY
    assert "authorization" not in headers


def test_a_stream_comes_back_event_by_event(front: Front) -> None:
    reply = front.post(STREAMED)
    *chunks, last = streamed(reply)
    assert last == "[DONE]"
    words = [one["choices"][0]["delta"].get("content", "") for one in chunks]
    assert "".join(words) == "".join(WORDS)
    assert reply.headers["cache-control"] == "no-cache"
    assert "set-cookie" not in reply.headers


def test_what_a_stream_cost_is_asked_for_and_kept_from_who_did_not_ask(
    front: Front, upstream: ChatUpstream
) -> None:
    *chunks, _ = streamed(front.post(STREAMED))
    assert upstream.bodies[0]["stream_options"] == {"include_usage": True}
    assert all(one["choices"] for one in chunks)
    assert front.seen[0].tokens == USAGE["total_tokens"]


def test_whoever_asks_what_a_stream_cost_is_told(front: Front, upstream: ChatUpstream) -> None:
    options = {"include_usage": True, "include_obfuscation": False}
    *chunks, _ = streamed(front.post({**STREAMED, "stream_options": options}))
    assert upstream.bodies[0]["stream_options"] == options
    assert chunks[-1]["usage"] == USAGE
    assert chunks[-1]["choices"] == []


def test_an_upstream_that_is_not_to_be_asked_is_not(upstream: ChatUpstream) -> None:
    front = Front(upstream.base_url, ask_for_usage=False)
    *chunks, _ = streamed(front.post(STREAMED))
    assert "stream_options" not in upstream.bodies[0]
    # Nobody tells: the request is guessed by its size, and each part of the answer is a token.
    assert len(chunks) < front.seen[0].tokens < 100


def test_an_event_goes_on_before_the_next_one_has_come(
    front: Front, upstream: ChatUpstream
) -> None:
    upstream.wanted = Wanted(hold_after=2)
    early: list[int] = []

    async def asked(app: Any) -> Reply | None:
        sent: list[Message] = []

        async def send(message: Message) -> None:
            sent.append(message)
            if sum(b"choices" in one.get("body", b"") for one in sent) == 2:
                early.append(len(sent))
                upstream.release.set()  # only now the upstream goes on

        headers = {"Authorization": f"Bearer {SECRET}"}
        receive = arriving(json.dumps(STREAMED).encode())
        scope = scope_of("POST", "/v1/chat/completions", headers)
        async with asyncio.timeout(20):
            await app(scope, receive, send)
        assert b"[DONE]" in b"".join(one.get("body", b"") for one in sent)
        return None

    front.within(asked)
    assert early


def leaving(upstream: ChatUpstream, body: Any) -> Any:
    """Let a body come, and its client leave once the upstream waits."""
    messages = [{"type": "http.request", "body": json.dumps(body).encode(), "more_body": False}]

    async def receive() -> Message:
        if messages:
            return messages.pop()
        await asyncio.to_thread(upstream.held.wait, 20)
        return {"type": "http.disconnect"}

    return receive


@pytest.mark.parametrize("wanted", [Wanted(hold_after=2), Wanted(silent=True)])
def test_a_client_that_leaves_takes_the_request_to_the_upstream_with_it(
    front: Front, upstream: ChatUpstream, wanted: Wanted
) -> None:
    upstream.wanted = wanted
    front.posted(STREAMED, leaving(upstream, STREAMED))
    assert upstream.left.wait(20)
    [one] = front.seen
    assert one.status == 499
    assert one.tokens > 0


def test_whoever_leaves_makes_room_for_the_next(upstream: ChatUpstream) -> None:
    front = Front(upstream.base_url, max_requests=1)
    content = json.dumps(STREAMED).encode()
    headers = {"Authorization": f"Bearer {SECRET}"}

    async def asked(app: Any) -> Reply | None:
        upstream.wanted = Wanted(hold_after=1)
        await reply_to(app, "POST", "/v1/chat/completions", leaving(upstream, STREAMED), headers)
        upstream.wanted = Wanted()
        return await reply_to(app, "POST", "/v1/chat/completions", arriving(content), headers)

    reply = front.within(asked)
    assert reply is not None
    assert streamed(reply)[-1] == "[DONE]"
    assert upstream.left.wait(20)


def test_a_stream_that_breaks_off_ends_with_an_error_that_clients_raise(
    front: Front, upstream: ChatUpstream
) -> None:
    upstream.wanted = Wanted(break_after=2)
    *chunks, last = streamed(front.post(STREAMED))
    assert len(chunks) == 2
    assert set(last["error"]) == {"message", "type", "param", "code"}
    assert "theirs broke off in the middle of an answer" in last["error"]["message"]
    assert front.seen[0].code == "deployment_failed"


def test_a_stream_ends_once_its_key_is_revoked(front: Front, upstream: ChatUpstream) -> None:
    upstream.wanted = Wanted(hold_after=2)
    sent: list[bytes] = []

    async def send(message: Message) -> None:
        sent.append(message.get("body", b""))
        if b"".join(sent).count(b"choices") == 2:
            front.key.revoked = True
            upstream.release.set()  # only now the upstream goes on

    async def asked(app: Any) -> Reply | None:
        headers = {"Authorization": f"Bearer {SECRET}"}
        receive = arriving(json.dumps(STREAMED).encode())
        async with asyncio.timeout(20):
            await app(scope_of("POST", "/v1/chat/completions", headers), receive, send)
        return None

    front.within(asked)
    *_, last, end = b"".join(sent).split(b"\n\n")
    assert end == b""
    assert json.loads(last.removeprefix(b"data: "))["error"]["code"] == "invalid_api_key"
    assert b"".join(sent).count(b"choices") == 2
    assert SECRET.encode() not in b"".join(sent)


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_of_the_other_kind_is_502_for_a_client_would_see_no_word_of_it(
    front: Front, upstream: ChatUpstream, stream: bool
) -> None:
    whole = {"choices": [{"message": {"content": "Hello"}, "finish_reason": "stop"}]}
    event = b"data: " + json.dumps(whole).encode() + b"\n\ndata: [DONE]\n\n"
    if stream:
        upstream.wanted = Wanted(200, whole)
    else:
        upstream.wanted = Wanted(200, event, {"content-type": "text/event-stream"})
    reply = front.post({**BODY, "stream": stream})
    assert (reply.status, reply.error["code"]) == (502, "upstream_invalid_response")


def test_a_stream_that_ends_without_saying_so_is_no_whole_answer(
    front: Front, upstream: ChatUpstream
) -> None:
    event = b'data: {"choices": [{"delta": {"content": "Half"}, "finish_reason": null}]}\n\n'
    upstream.wanted = Wanted(200, event, {"content-type": "text/event-stream"})
    first, last = streamed(front.post(STREAMED))
    assert first["choices"][0]["delta"]["content"] == "Half"
    assert last["error"]["code"] == "upstream_invalid_response"


def test_no_more_requests_are_in_progress_than_may_be(upstream: ChatUpstream) -> None:
    front = Front(upstream.base_url, max_requests=1)
    upstream.wanted = Wanted(hold_after=1)
    content = json.dumps(STREAMED).encode()
    headers = {"Authorization": f"Bearer {SECRET}"}

    async def asked(app: Any) -> Reply | None:
        def ask() -> Any:
            return reply_to(app, "POST", "/v1/chat/completions", arriving(content), headers)

        first = asyncio.create_task(ask())
        await asyncio.to_thread(upstream.held.wait, 20)
        second = await ask()
        assert second is not None
        assert (second.status, second.error["code"]) == (503, "server_overloaded")
        upstream.release.set()
        return await first

    reply = front.within(asked)
    assert reply is not None
    assert streamed(reply)[-1] == "[DONE]"


def test_a_stream_that_stands_still_ends_in_time(upstream: ChatUpstream) -> None:
    upstream.wanted = Wanted(hold_after=1)
    front = Front(upstream.base_url, bounds=Bounds(20.0, 0.1))
    *_, last = streamed(front.post(STREAMED))
    assert last["error"]["code"] == "deadline_exceeded"


@pytest.mark.parametrize(("first_byte_s", "timeout_s"), [(0.1, 20.0), (20.0, 0.1)])
def test_an_upstream_that_says_nothing_is_503_in_time(
    upstream: ChatUpstream, first_byte_s: float, timeout_s: float
) -> None:
    upstream.wanted = Wanted(silent=True)
    front = Front(upstream.base_url, bounds=Bounds(first_byte_s, 20.0), timeout_s=timeout_s)
    reply = front.post(BODY)
    assert (reply.status, reply.error["code"]) == (503, "deadline_exceeded")
    assert 1 <= int(reply.headers["retry-after"]) <= 60
    assert front.seen[0].tokens == 0


def test_nobody_there_is_503_and_does_not_say_where(upstream: ChatUpstream) -> None:
    front = Front("http://127.0.0.1:9/v1")
    reply = front.post(BODY)
    assert (reply.status, reply.error["code"]) == (503, "deployment_failed")
    assert "127.0.0.1" not in reply.body.decode()


ERROR = {"message": f"bad key {THEIR_KEY} of org-abcdefgh", "type": "t", "param": "p", "code": "c"}


@pytest.mark.parametrize(
    ("status", "code", "ours"),
    [
        (400, "c", 400),
        (422, "c", 400),
        (401, "deployment_failed", 503),
        (403, "deployment_failed", 503),
        (404, "deployment_failed", 503),
        (302, "deployment_failed", 503),
        (429, "server_overloaded", 503),
        (500, "deployment_failed", 503),
        (503, "server_overloaded", 503),
    ],
)
def test_an_upstream_s_refusal_is_ours_in_openai_s_shape_without_its_secrets(
    front: Front, upstream: ChatUpstream, status: int, code: str, ours: int
) -> None:
    where = {"location": "http://elsewhere.example/", "retry-after": "7"}
    upstream.wanted = Wanted(status, {"error": ERROR}, where)
    reply = front.post(BODY)
    assert (reply.status, reply.error["code"]) == (ours, code)
    assert THEIR_KEY not in reply.body.decode()
    assert "org-abcdefgh" not in reply.body.decode()
    assert len(upstream.bodies) == 1
    if code == "server_overloaded":
        assert reply.headers["retry-after"] == "7"
    if ours == 400:
        assert (reply.error["type"], reply.error["param"]) == ("t", "p")
        assert reply.error["message"] == "theirs refused the request: bad key **** of …"


def test_an_account_that_is_used_up_is_not_worth_waiting_for(
    front: Front, upstream: ChatUpstream
) -> None:
    error = {"message": "pay", "type": "insufficient_quota", "code": "insufficient_quota"}
    upstream.wanted = Wanted(429, {"error": error})
    reply = front.post(BODY)
    assert (reply.status, reply.error["code"]) == (503, "deployment_failed")
    assert "used up" in reply.error["message"]


def test_another_key_is_taken_where_one_is_refused(upstream: ChatUpstream) -> None:
    front = Front(upstream.base_url, keys=(THEIR_KEY, SECOND_KEY))
    upstream.wanted = Wanted(429, {"error": ERROR}, {"retry-after": "5"})
    assert front.post(BODY).status == 503
    used = [one["authorization"].removeprefix("Bearer ") for one in upstream.headers]
    assert used == [THEIR_KEY, SECOND_KEY]


@pytest.mark.parametrize("stream", [True, False])
def test_a_key_of_the_upstream_s_in_its_answer_is_made_unreadable(
    front: Front, upstream: ChatUpstream, stream: bool
) -> None:
    body = {"choices": [{"delta": {"content": THEIR_KEY}}]}
    if stream:
        event = b"data: " + json.dumps(body).encode() + b"\r\n\r\ndata: [DONE]"
        upstream.wanted = Wanted(200, event, {"content-type": "text/event-stream"})
    else:
        upstream.wanted = Wanted(200, body)
    said = front.post({**BODY, "stream": stream}).body.decode()
    assert "****" in said
    assert THEIR_KEY not in said


@pytest.mark.parametrize(
    "body", [b"<html>", b"", b'{"choices": [', b'"text"', b"[]", b'{"error": {"message": "no"}}']
)
def test_an_answer_that_is_no_completion_is_502(
    front: Front, upstream: ChatUpstream, body: bytes
) -> None:
    upstream.wanted = Wanted(200, body)
    reply = front.post(BODY)
    assert (reply.status, reply.error["code"]) == (502, "upstream_invalid_response")


@pytest.mark.parametrize(
    ("body", "param", "said"),
    [
        ({"messages": MESSAGES}, "model", "you must provide a model parameter"),
        ({"model": "talker"}, "messages", "at least one message"),
        ({"model": "talker", "messages": []}, "messages", "at least one message"),
        ({**BODY, "model": 7}, "model", "a string"),
        ({**BODY, "stream": "yes"}, "stream", "true or false"),
        ({**BODY, "stream_options": 1}, "stream_options", "an object"),
        ({**BODY, "max_tokens": "many"}, "max_tokens", "a whole number"),
        (b"[]", None, "must be an object"),
        (b'{"model": "talker", "messages": ["\xff"]}', None, "not UTF-8"),
    ],
)
def test_a_wrong_request_is_400_and_goes_nowhere(
    front: Front, upstream: ChatUpstream, body: Any, param: str | None, said: str
) -> None:
    reply = front.post(body)
    assert (reply.status, reply.error["param"]) == (400, param)
    assert said in reply.error["message"]
    assert not upstream.bodies


@pytest.mark.parametrize(
    ("model", "said"),
    [("nobody", "GET /v1/models"), ("ranker", "POST /v1/rerank"), ("tiny", "GET /v1/models")],
)
def test_a_model_that_is_not_for_chat_is_404(front: Front, model: str, said: str) -> None:
    reply = front.post({**BODY, "model": model})
    assert (reply.status, reply.error["code"]) == (404, "model_not_found")
    assert said in reply.error["message"]


def test_a_key_reaches_only_the_models_that_it_may(upstream: ChatUpstream) -> None:
    allowed = Front(upstream.base_url, models=("talk*",))
    assert allowed.post(BODY).status == 200
    assert [one["id"] for one in allowed.get("/v1/models").json["data"]] == ["talker"]
    refused = Front(upstream.base_url, models=("tiny",))
    assert refused.post(BODY).status == 404
    assert "talker" not in refused.get("/v1/models").body.decode()


def test_the_model_may_be_in_the_address(front: Front) -> None:
    assert front.post({"messages": MESSAGES}, "/talker/v1/chat/completions").status == 200
    assert front.post(BODY, "/talker/v1/chat/completions").status == 200
    assert front.post({**BODY, "model": "x"}, "/talker/v1/chat/completions").status == 400


def test_models_for_chat_are_listed_after_those_that_give_vectors(front: Front) -> None:
    tasks = [one["task"] for one in front.get("/v1/models").json["data"]]
    assert tasks == ["embedding"] * (len(tasks) - 2) + ["chat", "rerank"]
    assert front.get("/v1/models/talker").json == {
        "id": "talker",
        "object": "model",
        "created": 7,
        "owned_by": "emblem",
        "task": "chat",
    }


def test_a_request_is_observed_with_what_it_cost(front: Front) -> None:
    front.post({**BODY, "user": "ann"}, **{"x-emblem-tag": "blue"})
    [one] = front.seen
    assert (one.route, one.model, one.served_by) == ("/v1/chat/completions", "talker", "theirs")
    assert (one.tokens, one.cost, one.status) == (13, 26, 200)
    assert (one.operation, one.written) == ("chat", USAGE["completion_tokens"])
    assert one.first_s == 0
    front.post(STREAMED)
    assert 0 < front.seen[1].first_s < front.seen[1].seconds
    assert (one.user, one.tags, one.inputs) == ("ann", ("blue",), 1)


def test_an_advance_that_is_too_large_is_given_back(upstream: ChatUpstream) -> None:
    front = Front(upstream.base_url, quota=Quota(tokens_per_day=10_000))
    reply = front.post({**BODY, "max_tokens": 5000})
    left = int(reply.headers["x-ratelimit-remaining-tokens"])
    assert left == 10_000 - USAGE["total_tokens"]
    used = asyncio.run(front.limiter.peek(front.charging_account))[0].used
    assert used == USAGE["total_tokens"]


def test_what_costs_more_than_its_advance_is_charged_afterwards(upstream: ChatUpstream) -> None:
    front = Front(upstream.base_url, quota=Quota(tokens_per_day=10_000))
    upstream.wanted = Wanted(
        usage={"prompt_tokens": 1000, "completion_tokens": 2000, "total_tokens": 3000}
    )
    assert front.post(BODY).status == 200
    assert asyncio.run(front.limiter.peek(front.charging_account))[0].used == 3000


@pytest.mark.parametrize("stream", [False, True])
def test_what_no_answer_can_have_cost_is_not_believed(upstream: ChatUpstream, stream: bool) -> None:
    """A record of it would not fit into the ledger, and be lost."""
    front = Front(upstream.base_url)
    for wrong in (10**30, -5):
        upstream.wanted = Wanted(usage={"prompt_tokens": 1, "total_tokens": wrong})
        assert front.post({**BODY, "stream": stream}).status == 200
    assert all(0 < one.tokens < 500 for one in front.seen)


def test_a_maximum_beyond_all_models_is_charged_as_what_may_be_written(
    upstream: ChatUpstream,
) -> None:
    front = Front(upstream.base_url, quota=Quota(tokens_per_day=10_000))
    reply = front.post({**BODY, "max_tokens": 10**30, "n": 10**30})
    assert (reply.status, upstream.bodies) == (429, [])


def test_whoever_leaves_before_an_answer_is_charged_for_the_question(
    upstream: ChatUpstream,
) -> None:
    front = Front(upstream.base_url, quota=Quota(tokens_per_day=10_000))
    upstream.wanted = Wanted(silent=True)
    body = {**BODY, "max_tokens": 5000}
    front.posted(body, leaving(upstream, body))
    [one] = front.seen
    assert one.status == 499
    assert 0 < one.tokens < 100
    assert asyncio.run(front.limiter.peek(front.charging_account))[0].used == one.tokens


def test_a_request_beyond_the_limits_is_429_and_goes_nowhere(upstream: ChatUpstream) -> None:
    front = Front(upstream.base_url, quota=Quota(tokens_per_minute=100))
    reply = front.post({**BODY, "max_tokens": 5000})
    assert (reply.status, reply.error["code"]) == (429, "rate_limit_exceeded")
    assert not upstream.bodies


def test_what_comes_to_no_answer_is_given_back(upstream: ChatUpstream) -> None:
    front = Front(upstream.base_url, quota=Quota(tokens_per_day=10_000))
    upstream.wanted = Wanted(500, {"error": ERROR})
    assert front.post(BODY).status == 503
    assert asyncio.run(front.limiter.peek(front.charging_account))[0].used == 0


def test_requests_are_counted_by_the_minute(upstream: ChatUpstream) -> None:
    front = Front(upstream.base_url, quota=Quota(requests_per_minute=2))
    assert [front.post(BODY).status for _ in range(3)] == [200, 200, 429]


def test_a_picture_is_not_charged_by_its_bytes(upstream: ChatUpstream) -> None:
    front = Front(upstream.base_url, quota=Quota(tokens_per_minute=500))
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 100_000}}
    assert front.post({**BODY, "messages": [{"role": "user", "content": [picture]}]}).status == 200


@pytest.fixture
def other() -> Iterator[ChatUpstream]:
    with chat_upstream() as server:
        yield server


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "wanted",
    [
        Wanted(500, b"<html>"),
        Wanted(408, b""),
        Wanted(429, {"error": {"message": "later"}}, {"retry-after": "5"}),
        Wanted(401, {"error": {"message": "no"}}),
        Wanted(404, {"error": {"message": "no"}}),
        Wanted(200, b"<html>"),
        Wanted(200, b"", {"content-type": "text/event-stream"}),
    ],
)
def test_what_has_not_begun_is_asked_of_another_deployment_and_paid_once(
    upstream: ChatUpstream, other: ChatUpstream, wanted: Wanted, stream: bool
) -> None:
    front = Front(upstream.base_url, others=(other.base_url,), quota=Quota(tokens_per_day=10_000))
    upstream.wanted = wanted
    for _ in range(3):
        reply = front.post({**BODY, "stream": stream})
        assert (reply.status, reply.headers["x-served-by"]) == (200, "other-1")
    assert len(other.bodies) == 3
    assert {one["model"] for one in (*upstream.bodies, *other.bodies)} == {"their-model"}
    used = asyncio.run(front.limiter.peek(front.charging_account))[0].used
    assert used == sum(one.tokens for one in front.seen) == 3 * USAGE["total_tokens"]
    assert {one.served_by for one in front.seen} == {"other-1"}


def test_a_stream_that_breaks_off_before_its_first_event_has_not_begun(
    upstream: ChatUpstream, other: ChatUpstream
) -> None:
    front = Front(upstream.base_url, others=(other.base_url,))
    upstream.wanted = Wanted(break_after=0)
    for _ in range(4):
        *chunks, last = streamed(front.post(STREAMED))
        assert last == "[DONE]"
        words = [one["choices"][0]["delta"].get("content", "") for one in chunks]
        assert "".join(words) == "".join(WORDS)


def error_event(code: Any, words: str = "no") -> Wanted:
    error = {"message": words, "type": "t", "param": None, "code": code}
    event = b"data: " + json.dumps({"error": error}).encode() + b"\n\ndata: [DONE]\n\n"
    return Wanted(200, event, {"content-type": "text/event-stream"})


def test_a_stream_that_begins_with_an_error_is_asked_of_another_deployment(
    upstream: ChatUpstream, other: ChatUpstream
) -> None:
    front = Front(upstream.base_url, others=(other.base_url,))
    upstream.wanted = error_event(503)
    for _ in range(4):
        assert streamed(front.post(STREAMED))[-1] == "[DONE]"


@pytest.mark.parametrize(
    ("code", "status", "ours"),
    [(400, 400, "400"), (429, 503, "server_overloaded"), (None, 503, "deployment_failed")],
)
def test_a_stream_that_begins_with_an_error_is_a_refusal_and_costs_nothing(
    upstream: ChatUpstream, code: Any, status: int, ours: str
) -> None:
    front = Front(upstream.base_url, quota=Quota(tokens_per_day=10_000))
    upstream.wanted = error_event(code, f"bad key {THEIR_KEY}")
    reply = front.post(STREAMED)
    assert (reply.status, reply.error["code"]) == (status, ours)
    assert THEIR_KEY not in reply.body.decode()
    assert asyncio.run(front.limiter.peek(front.charging_account))[0].used == 0


def test_a_stream_that_begins_with_an_error_shows_no_key_however_short_it_is(
    upstream: ChatUpstream,
) -> None:
    front = Front(upstream.base_url, keys=("sk-1234",))
    upstream.wanted = error_event(400, "the key sk-1234 may not use this model")
    reply = front.post(STREAMED)
    assert reply.status == 400
    assert "sk-1234" not in reply.body.decode()
    assert "may not use this model" in reply.error["message"]


def test_a_stream_that_breaks_off_later_is_asked_of_no_other(
    upstream: ChatUpstream, other: ChatUpstream
) -> None:
    front = Front(upstream.base_url, others=(other.base_url,))
    upstream.wanted = other.wanted = Wanted(break_after=1)
    first, last = streamed(front.post(STREAMED))
    assert first["choices"][0]["delta"]["content"] == WORDS[0]
    assert last["error"]["code"] == "deployment_failed"
    assert len(upstream.bodies) + len(other.bodies) == 1


def test_where_all_deployments_fail_each_is_named_with_what_it_said_and_no_secret(
    upstream: ChatUpstream, other: ChatUpstream
) -> None:
    front = Front(upstream.base_url, others=(other.base_url,))
    upstream.wanted = Wanted(401, {"error": ERROR})
    other.wanted = Wanted(404, {"error": ERROR})
    reply = front.post(BODY)
    assert (reply.status, reply.error["code"]) == (503, "deployment_failed")
    said = reply.error["message"]
    assert said.startswith("`talker` cannot be answered now: theirs: refuses this server's API key")
    assert "; other-1: does not have the model or the address (404)" in said
    assert THEIR_KEY not in said
    assert "127.0.0.1" not in said
    assert [len(one.bodies) for one in (upstream, other)] == [1, 1]  # asking again is of no use


def test_whoever_leaves_while_another_is_asked_takes_the_request_along(
    upstream: ChatUpstream, other: ChatUpstream
) -> None:
    front = Front(upstream.base_url, others=(other.base_url,))
    upstream.wanted = Wanted(500, b"<html>")
    other.wanted = Wanted(silent=True)
    front.posted(STREAMED, leaving(other, STREAMED))
    assert other.left.wait(20)
    [one] = front.seen
    assert (one.status, one.served_by) == (499, "")
    assert [state.requests for state in front.pools["talker"].deployments()] == [0, 0]
