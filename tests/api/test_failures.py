"""When it is not the caller's fault: every error has an answer, and none says too much."""

import asyncio
import inspect
import json
import logging
from collections.abc import Callable
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from api.asking import PATIENCE_S, SECRET, arriving, get, post, reply_to, scope_of
from api.small_app import Small
from emblem import errors
from emblem.accounts import Limit, Period, Unit
from emblem.api.app import Bounds
from emblem.errors import (
    ChargeTooLarge,
    DeadlineExceeded,
    DeploymentFailed,
    EmblemError,
    InsufficientQuota,
    InvalidInput,
    InvalidRequest,
    InvalidResult,
    LedgerUnavailable,
    LimitReached,
    LimitsUnavailable,
    MissingExtra,
    NoLongerAllowed,
    NotAuthenticated,
    Overloaded,
    RateLimited,
    RefusedElsewhere,
    Repeated,
    SourceRefused,
    SpaceChanged,
    TooManyTokens,
    UnknownModel,
)

BODY = {"model": "tiny", "input": "x"}
KEYED = {"Authorization": f"Bearer {SECRET}"}

# What each class becomes: status, code. Who is not named here has no business with a caller.
ANSWERS: dict[type[EmblemError], tuple[int, str | None]] = {
    InvalidRequest: (400, None),
    InvalidInput: (400, None),
    TooManyTokens: (400, "max_tokens_per_request"),
    RefusedElsewhere: (400, None),
    UnknownModel: (404, "model_not_found"),
    NotAuthenticated: (401, "invalid_api_key"),
    SourceRefused: (403, "ip_not_authorized"),
    LedgerUnavailable: (503, "ledger_unavailable"),
    Overloaded: (503, "server_overloaded"),
    LimitReached: (429, "rate_limit_exceeded"),
    RateLimited: (429, "rate_limit_exceeded"),
    InsufficientQuota: (429, "insufficient_quota"),
    ChargeTooLarge: (429, "rate_limit_exceeded"),
    LimitsUnavailable: (503, "limits_unavailable"),
    DeadlineExceeded: (503, "deadline_exceeded"),
    InvalidResult: (502, "upstream_invalid_response"),
    DeploymentFailed: (503, "deployment_failed"),
}
EVERY = [
    one for one in vars(errors).values() if inspect.isclass(one) and issubclass(one, EmblemError)
]
A_LIMIT = Limit("key_1", team=False, unit=Unit.TOKENS, period=Period.MINUTE, most=1)
A_DAYS = Limit("key_1", team=False, unit=Unit.TOKENS, period=Period.DAY, most=1)
MADE: dict[type[EmblemError], tuple[Any, ...]] = {
    InvalidInput: ([(0, "is wrong")],),
    TooManyTokens: ("2", 1),
    Overloaded: ("secret", 7.2),
    LimitReached: ("secret", A_LIMIT),
    RateLimited: ("secret", A_LIMIT, 7200),
    InsufficientQuota: ("secret", A_DAYS, 7200),
    ChargeTooLarge: ("secret", A_LIMIT),
    LimitsUnavailable: (),
    InvalidResult: ("tiny", "a value is not finite"),
    SpaceChanged: ([("secret", "a", "b")],),
    MissingExtra: ("secret", "torch"),
    NoLongerAllowed: (),
    Repeated: ("secret",),
}


@pytest.mark.parametrize("kind", EVERY, ids=lambda kind: kind.__name__)
def test_every_error_of_the_tree_has_an_answer(small: Small, kind: type[EmblemError]) -> None:
    given = MADE.get(kind, ("secret",))
    error = kind(*given, same=True) if kind is Repeated else kind(*given)
    small.embedder.error = error
    reply = post(small.app, BODY)
    status, code = ANSWERS.get(kind, (500, "internal_error"))
    assert (reply.status, reply.error["code"]) == (status, code)
    if status >= 500:
        assert reply.error["type"] == "server_error"
    if kind not in ANSWERS:
        assert "secret" not in reply.body.decode()
    elif kind not in (NotAuthenticated, UnknownModel, LedgerUnavailable):
        assert reply.error["message"] == str(error)


def test_no_error_of_the_tree_is_forgotten_here() -> None:
    assert len(EVERY) >= 15
    assert set(ANSWERS) < set(EVERY)


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.0, "1"), (0.2, "1"), (1.1, "2"), (59.5, "60"), (1e9, "60")]
)
def test_when_to_come_back_is_said_in_whole_seconds_from_1_to_60(
    small: Small, seconds: float, said: str
) -> None:
    for error in (Overloaded("Full.", seconds), DeploymentFailed("Gone.", retry_after_s=seconds)):
        small.embedder.error = error
        assert post(small.app, BODY).headers["retry-after"] == said


@pytest.mark.parametrize("error", [DeadlineExceeded("late"), DeploymentFailed("gone")])
def test_every_503_says_when_to_come_back(small: Small, error: EmblemError) -> None:
    small.embedder.error = error
    assert 1 <= int(post(small.app, BODY).headers["retry-after"]) <= 60


def test_an_unexpected_error_says_nothing_and_the_log_everything(
    small: Small, caplog: pytest.LogCaptureFixture
) -> None:
    small.embedder.error = RuntimeError("a secret place in memory")
    with caplog.at_level(logging.ERROR):
        reply = post(small.app, BODY)
    request_id = reply.headers["x-request-id"]
    assert reply.status == 500
    assert reply.error == {
        "message": "The server had an error while processing your request. "
        f"Its log has {request_id}.",
        "type": "server_error",
        "param": None,
        "code": "internal_error",
    }
    [record] = caplog.records
    assert request_id in record.getMessage()
    assert record.exc_info is not None
    assert record.exc_info[1] is small.embedder.error


def test_an_error_that_is_no_business_of_the_caller_s_is_logged_with_the_request(
    small: Small, caplog: pytest.LogCaptureFixture
) -> None:
    small.embedder.error = errors.ModelError("/srv/models/tiny/config.json: hidden_size is wrong")
    with caplog.at_level(logging.ERROR):
        reply = post(small.app, BODY)
    assert "/srv" not in reply.body.decode()
    [record] = caplog.records
    assert reply.headers["x-request-id"] in record.getMessage()
    assert "hidden_size" in caplog.text


def test_vectors_that_cannot_be_right_are_502_and_logged(
    small: Small, caplog: pytest.LogCaptureFixture
) -> None:
    small.embedder.error = InvalidResult("tiny", "a value is not finite")
    with caplog.at_level(logging.ERROR):
        reply = post(small.app, BODY)
    assert reply.status == 502
    assert "data" not in reply.json
    assert caplog.messages == [
        (
            f"{reply.headers['x-request-id']} failed: "
            "tiny returned an invalid result: a value is not finite"
        )
    ]


def test_a_route_of_the_router_fails_in_the_same_shape(
    small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> list[str]:
        raise RuntimeError("secret")

    monkeypatch.setattr(small.service, "problems", fail)
    reply = get(small.app, "/ready")
    assert (reply.status, reply.error["code"]) == (500, "internal_error")
    assert "secret" not in reply.body.decode()


def test_ready_says_which_model_cannot_answer_while_health_goes_on(small: Small) -> None:
    assert get(small.app, "/ready").json == {"status": "ready"}
    small.embedder.says = "is shutting down"
    reply = get(small.app, "/ready")
    assert (reply.status, reply.error["code"]) == (503, "not_ready")
    assert "tiny is shutting down" in reply.error["message"]
    assert 1 <= int(reply.headers["retry-after"]) <= 60
    assert get(small.app, "/health").json == {"status": "ok"}


# -- too many at once ---------------------------------------------------------------------------


def test_more_requests_than_allowed_are_503_and_a_probe_still_answers() -> None:
    small = Small(Bounds(max_requests=1))
    small.embedder.stuck = True
    body = json.dumps(BODY).encode()

    async def crowd() -> None:
        async with asyncio.timeout(PATIENCE_S):
            path = "/v1/embeddings"
            first = asyncio.ensure_future(reply_to(small.app, "POST", path, arriving(body), KEYED))
            await small.embedder.entered.wait()
            second = await reply_to(small.app, "POST", path, arriving(body), KEYED)
            assert second is not None
            assert (second.status, second.error["code"]) == (503, "server_overloaded")
            assert second.headers["retry-after"] == "1"
            probe = await reply_to(small.app, "GET", "/health", arriving(), {})
            assert probe is not None
            assert probe.status == 200
            nobody = await reply_to(small.app, "POST", path, arriving(body), {})
            assert nobody is not None
            assert nobody.status == 401
            first.cancel()
            await asyncio.wait([first])

    asyncio.run(crowd())
    small.embedder.stuck = False
    assert post(small.app, BODY).status == 200  # who has left makes room


def test_a_limit_of_no_requests_is_refused_when_it_is_set() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Small(Bounds(max_requests=0))


# -- clients that leave -------------------------------------------------------------------------


def test_a_client_that_leaves_cancels_its_work_and_gets_no_answer(
    small: Small, caplog: pytest.LogCaptureFixture
) -> None:
    small.embedder.stuck = True
    messages: list[Message] = [
        {"type": "http.request", "body": json.dumps(BODY).encode(), "more_body": False}
    ]

    async def receive() -> Message:
        if messages:
            return messages.pop()
        await small.embedder.entered.wait()
        return {"type": "http.disconnect"}

    async def leave() -> None:
        with caplog.at_level(logging.INFO, "emblem.access"):
            reply = await reply_to(small.app, "POST", "/v1/embeddings", receive, KEYED)
        assert reply is None
        await asyncio.sleep(0)  # the cancelled work has its turn
        assert small.embedder.cancelled

    asyncio.run(leave())
    [message] = caplog.messages
    assert " 499 " in message


def test_a_server_that_calls_when_a_client_leaves_is_not_asked(
    small: Small, caplog: pytest.LogCaptureFixture
) -> None:
    small.embedder.stuck = True
    receive = arriving(json.dumps(BODY).encode())
    strikes: list[Callable[[], object]] = []
    unheard: list[bool] = []

    def hear(strike: Callable[[], object]) -> Callable[[], None]:
        strikes.append(strike)
        return lambda: unheard.append(True)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await small.app({**scope, "emblem.gone": hear}, receive, send)

    async def leave() -> None:
        with caplog.at_level(logging.INFO, "emblem.access"):
            asked = reply_to(app, "POST", "/v1/embeddings", receive, KEYED)
            task = asyncio.ensure_future(asked)
            await small.embedder.entered.wait()
            tasks = asyncio.all_tasks() - {asyncio.current_task(), task}
            [strike] = strikes
            strike()
            assert await task is None
            await asyncio.sleep(0)
        assert tasks == set()  # none waits for the client
        assert small.embedder.cancelled
        assert unheard == [True]

    asyncio.run(leave())
    [message] = caplog.messages
    assert " 499 " in message


def test_a_body_that_breaks_off_is_400_for_a_client_that_may_still_listen(small: Small) -> None:
    """A chunk that is none reaches the application as a client that is gone."""
    messages: list[Message] = [
        {"type": "http.disconnect"},
        {"type": "http.request", "body": b'{"model":', "more_body": True},
    ]

    async def receive() -> Message:
        return messages.pop()

    reply = asyncio.run(reply_to(small.app, "POST", "/v1/embeddings", receive, KEYED))
    assert reply is not None
    assert (reply.status, reply.error["type"]) == (400, "invalid_request_error")
    assert "broke off before its end" in reply.error["message"]
    assert reply.headers["connection"] == "close"
    assert small.embedder.requests == []


def test_a_server_that_cancels_a_request_cancels_its_work(small: Small) -> None:
    small.embedder.stuck = True
    body = json.dumps(BODY).encode()

    async def cancel() -> None:
        task = asyncio.ensure_future(
            reply_to(small.app, "POST", "/v1/embeddings", arriving(body), KEYED)
        )
        await small.embedder.entered.wait()
        task.cancel()
        await asyncio.wait([task])
        await asyncio.sleep(0)
        assert task.cancelled()
        assert small.embedder.cancelled

    asyncio.run(cancel())


def test_nothing_is_sent_after_an_answer_that_broke_off(small: Small) -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)
        if message["type"] == "http.response.body":
            raise RuntimeError("the connection is gone")

    scope = scope_of("POST", "/v1/embeddings", KEYED)
    asyncio.run(small.app(scope, arriving(json.dumps(BODY).encode()), send))
    assert [message["type"] for message in sent] == [
        "http.response.start",
        "http.response.body",
    ]
    assert sent[0]["status"] == 200
