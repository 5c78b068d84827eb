"""What a key's terms let through at the edge, what a request says of itself, and what is observed."""

from dataclasses import replace

import pytest
from starlette.types import Message

from api.asking import SECRET, arriving, ask, get, post
from api.small_app import OneKey, Small
from emblem.accounts import Period, Quota, Role, Team, Terms, Unit
from emblem.api.auth import Authenticator
from emblem.api.tags import MAX_CHARACTERS, MAX_TAGS

BODY = {"model": "tiny", "input": ["one two", "three"]}


def terms(monkeypatch: pytest.MonkeyPatch, **changed) -> None:
    monkeypatch.setattr(OneKey, "terms", replace(OneKey.terms, **changed))


# -- keys and where they are used from ---------------------------------------------------------


@pytest.mark.parametrize("path", ["/v1/embeddings", "/mine/v1/embeddings"])
def test_a_key_that_is_revoked_while_its_body_comes_gets_no_answer(small: Small, path: str) -> None:
    first, last = b'{"model": "tiny", ', b'"input": "x"}'
    arrived = arriving(first, last)

    async def receive() -> Message:
        message = await arrived()
        small.keys.revoked = not message["more_body"]
        return message

    reply = post(small.app, b"", path, receive=receive)
    assert (reply.status, reply.error["code"]) == (401, "invalid_api_key")
    assert not small.embedder.requests
    assert SECRET not in reply.body.decode()


def test_who_makes_a_request_is_shown_without_what_opens_the_server(small: Small) -> None:
    headers = [(b"authorization", f"Bearer {SECRET}".encode())]
    visit = Authenticator(small.keys).known(headers, "127.0.0.1", "")
    assert visit is not None
    assert visit.secret == SECRET
    assert SECRET not in repr(visit)


def test_a_key_counts_as_used_only_where_it_may_be_used(
    small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    terms(monkeypatch, sources=("10.0.0.0/8",))
    assert post(small.app, BODY).status == 403
    assert not small.keys.uses
    terms(monkeypatch, sources=("127.0.0.1/32",))
    assert post(small.app, BODY).status == 200
    assert {one.id for one in small.keys.uses} == {"key-1"}


# -- roles ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "opened_by"),
    [
        ("/v1/models", {"inference", "read", "admin"}),
        ("/tiny/v1/models", {"inference", "read", "admin"}),
        ("/nothing/here", {"inference", "read", "admin"}),
        ("/admin-not", {"inference", "read", "admin"}),
        ("/ps", {"read", "admin"}),
        ("/ps/", {"read", "admin"}),
        ("//ps", {"read", "admin"}),
        ("/%70s", {"read", "admin"}),
        ("/metrics", {"read", "admin"}),
        ("/admin", {"admin"}),
        ("/admin/keys", {"admin"}),
        ("//admin//keys", {"admin"}),
        ("/admin/v1/models", {"admin"}),
    ],
)
@pytest.mark.parametrize("role", Role)
def test_an_address_opens_to_the_roles_that_it_is_for(
    small: Small, monkeypatch: pytest.MonkeyPatch, role: Role, path: str, opened_by: set[str]
) -> None:
    terms(monkeypatch, role=role)
    reply = get(small.app, path)
    if role in opened_by:
        assert reply.status in (200, 404)
        return
    assert reply.status == 403
    assert reply.error["code"] == "permission_denied"
    needed = "read" if "read" in opened_by else "admin"
    assert reply.error["message"] == f"This address needs an API key of the role {needed}."


@pytest.mark.parametrize("role", Role)
def test_every_role_may_embed(small: Small, monkeypatch: pytest.MonkeyPatch, role: Role) -> None:
    terms(monkeypatch, role=role)
    assert post(small.app, BODY).status == 200


# -- models -----------------------------------------------------------------------------------


def test_a_model_that_may_not_be_asked_for_is_no_model(
    small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    terms(monkeypatch, models=("asking*",))
    for ask_for in (
        lambda name: post(small.app, {"model": name, "input": "x"}),
        lambda name: post(small.app, {"input": "x"}, f"/{name}/v1/embeddings"),
        lambda name: get(small.app, f"/v1/models/{name}"),
        lambda name: get(small.app, f"/{name}/v1/models"),
        lambda name: get(small.app, f"/asking/v1/models/{name}"),
        lambda name: post(small.app, {"model": name, "input": "x"}, "/asking/v1/embeddings"),
    ):
        refused, missing = ask_for("tiny"), ask_for("nobody")
        assert (refused.status, refused.error["code"]) == (404, "model_not_found")
        assert refused.body.replace(b"tiny", b"NAME") == missing.body.replace(b"nobody", b"NAME")


def test_only_models_that_may_be_asked_for_are_listed(
    small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    terms(monkeypatch, models=("asking", "mine"))
    listed = [one["id"] for one in get(small.app, "/v1/models").json["data"]]
    assert listed == ["mine", "asking", "asking-query"]
    assert get(small.app, "/v1/models/mine").json["id"] == "mine"
    assert post(small.app, {"model": "asking-query", "input": "x"}).status == 200


# -- limits -----------------------------------------------------------------------------------


def test_limits_stand_in_the_headers_of_answers_and_of_refusals(
    small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    terms(monkeypatch, quota=Quota(requests_per_minute=3))
    team = Team("team_1", "t", 0.0, quota=Quota(requests_per_minute=1))
    first = post(small.app, BODY)
    assert first.headers["x-ratelimit-limit-requests"] == "3"
    assert first.headers["x-ratelimit-remaining-requests"] == "2"
    assert first.headers["x-ratelimit-reset-requests"] == "20s"
    assert "x-ratelimit-limit-tokens" not in first.headers
    monkeypatch.setattr(OneKey, "of", team)
    tighter = post(small.app, BODY)
    assert tighter.headers["x-ratelimit-limit-requests"] == "1"
    refused = post(small.app, BODY)
    assert (refused.status, refused.error["code"]) == (429, "rate_limit_exceeded")
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    assert refused.headers["x-ratelimit-remaining-requests"] == "0"


def test_an_answer_that_cannot_be_written_is_not_charged(
    small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    terms(monkeypatch, quota=Quota(requests_per_minute=2))

    def fail(*_: object) -> object:
        raise MemoryError

    with monkeypatch.context() as broken:
        broken.setattr("emblem.api.embeddings.encode_part", fail)
        assert post(small.app, BODY).status == 500
    assert small.seen[-1].tokens == 0
    assert post(small.app, BODY).headers["x-ratelimit-remaining-requests"] == "1"


def test_a_key_without_limits_hears_of_none(small: Small) -> None:
    reply = post(small.app, BODY)
    assert not [name for name in reply.headers if name.startswith("x-ratelimit")]


# -- tags -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "tags"),
    [
        ("nightly", ("nightly",)),
        ("a, b ,c", ("a", "b", "c")),
        (" , ", ()),
        ("x" * MAX_CHARACTERS, ("x" * MAX_CHARACTERS,)),
        (",".join("abcde"), tuple("abcde")),
    ],
)
def test_tags_are_taken_from_their_header(small: Small, given: str, tags: tuple[str, ...]) -> None:
    assert post(small.app, BODY, headers={"x-emblem-tag": given}).status == 200
    assert small.seen[-1].tags == tags


@pytest.mark.parametrize(
    "given", ["x" * (MAX_CHARACTERS + 1), "a\tb", "na\x7fme", "größe", ",".join("abcdef")]
)
def test_what_is_no_tag_is_refused_before_any_work(small: Small, given: str) -> None:
    reply = post(small.app, BODY, headers={"x-emblem-tag": given})
    assert reply.status == 400
    assert reply.error["message"].startswith("The header x-emblem-tag has ")
    assert given not in reply.body.decode()
    assert not small.embedder.requests
    assert small.seen[-1].tags == ()
    assert MAX_TAGS == 5


# -- what is observed -------------------------------------------------------------------------


def test_a_request_is_observed_once_it_was_answered(small: Small) -> None:
    reply = post(small.app, {**BODY, "user": "u" * 300}, "/mine/v1/embeddings")
    [seen] = small.seen
    assert seen.id == reply.headers["x-request-id"]
    assert (seen.method, seen.route) == ("POST", "/{model}/v1/embeddings")
    assert (seen.key, seen.team, seen.model, seen.served_by) == ("key-1", None, "tiny", "tiny")
    assert seen.space == reply.headers["x-embedding-space"]
    assert (seen.inputs, seen.tokens, seen.hits, seen.cost) == (2, 7, 0, 0)
    assert (seen.status, seen.code, seen.refused_by) == (200, "", None)
    assert seen.user == "u" * 256
    assert seen.seconds > 0
    assert seen.at > 1_700_000_000


@pytest.mark.parametrize(
    ("method", "path", "route", "status", "code"),
    [
        ("GET", "/health", "/health", 200, ""),
        ("GET", "/v1/models/tiny", "/v1/models/{id:path}", 200, ""),
        ("GET", "/v1/models/nobody", "/v1/models/{id:path}", 404, "model_not_found"),
        ("DELETE", "/v1/models", "/v1/models", 405, "method_not_supported"),
        ("GET", "/v1/embeddings", "/v1/embeddings", 405, "method_not_supported"),
        ("GET", "/no/such/thing", "", 404, "unknown_url"),
        ("POST", "/v1/embeddings", "/v1/embeddings", 400, "invalid_request_error"),
    ],
)
def test_whatever_is_asked_is_observed_with_its_template(
    small: Small, method: str, path: str, route: str, status: int, code: str
) -> None:
    ask(small.app, method, path, b"{}")
    [seen] = small.seen
    assert (seen.route, seen.status) == (route, status)
    if method != "POST":
        assert seen.code == code


def test_who_has_no_key_is_observed_as_nobody(small: Small) -> None:
    post(small.app, BODY, key="sk-wrong-key-0123456789")
    [seen] = small.seen
    assert (seen.key, seen.status, seen.code) == ("", 401, "invalid_api_key")


def test_a_refused_request_is_observed_with_the_limit_and_no_tokens(
    small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    terms(monkeypatch, quota=Quota(requests_per_minute=1))
    post(small.app, BODY)
    post(small.app, BODY)
    seen = small.seen[-1]
    assert seen.refused_by is not None
    assert (seen.refused_by.unit, seen.refused_by.period) == (Unit.REQUESTS, Period.MINUTE)
    assert (seen.status, seen.code, seen.model) == (429, "rate_limit_exceeded", "tiny")
    assert (seen.inputs, seen.tokens) == (2, 0)


def test_a_failure_is_observed_with_no_tokens(small: Small) -> None:
    small.embedder.error = RuntimeError("a bug")
    assert post(small.app, BODY).status == 500
    [seen] = small.seen
    assert (seen.status, seen.code, seen.tokens) == (500, "internal_error", 0)


def test_nothing_that_is_observed_holds_a_text_or_a_key(small: Small) -> None:
    post(small.app, {"model": "tiny", "input": "a secret text"})
    post(small.app, {"model": "a secret text", "input": "x"})
    post(small.app, BODY, key="sk-secret-0123456789abcdefgh")
    said = repr(small.seen)
    assert len(small.seen) == 3
    assert "secret" not in said
    assert SECRET not in said
    assert isinstance(OneKey.terms, Terms)
