"""Who may come in: 401 before anything else is looked at, and what is open to anybody."""

from dataclasses import replace

import pytest

from api.asking import SECRET, ask, get, post, untouched
from api.small_app import OneKey, Small
from emblem.api.problems import masked

BODY = {"model": "tiny", "input": "x"}


@pytest.mark.parametrize(
    "given", [None, "", "Bearer", "Bearer ", "Bearer    ", SECRET, f"Basic {SECRET}"]
)
def test_no_key_is_401_in_openai_s_words(small: Small, given: str | None) -> None:
    headers = {} if given is None else {"Authorization": given}
    reply = post(small.app, BODY, key=None, headers=headers)
    assert reply.status == 401
    assert reply.headers["www-authenticate"] == "Bearer"
    assert (reply.error["type"], reply.error["param"], reply.error["code"]) == (
        "invalid_request_error",
        None,
        None,
    )
    assert reply.error["message"].startswith(
        "You didn't provide an API key. You need to provide your API key in an Authorization "
        "header using Bearer auth (i.e. Authorization: Bearer YOUR_KEY)"
    )


@pytest.mark.parametrize(
    ("key", "shown"),
    [
        ("sk-wrong-key-0123456789", "sk-****6789"),
        ("short-but-secret", "****"),
        ("x" * 8000, "xxx****xxxx"),
        (SECRET + "x", "sk-****defx"),
        (SECRET.upper(), "SK-****CDEF"),
        ("ключ-который-длиннее-двадцати", "****"),
    ],
)
def test_a_wrong_key_is_401_and_shown_masked(small: Small, key: str, shown: str) -> None:
    reply = post(small.app, BODY, key=key)
    assert reply.status == 401
    assert reply.headers["www-authenticate"] == "Bearer"
    assert reply.error["code"] == "invalid_api_key"
    assert reply.error["message"].startswith(f"Incorrect API key provided: {shown}.")
    assert key not in reply.body.decode()


def test_no_more_of_a_key_is_shown_than_seven_characters() -> None:
    assert len(masked("a" * 100).replace("*", "")) == 7
    assert masked("a" * 19) == masked("") == "****"


@pytest.mark.parametrize("given", ["Bearer {}", "bearer {}", "BEARER   {}  "])
def test_the_right_key_comes_in_however_bearer_is_written(small: Small, given: str) -> None:
    headers = {"Authorization": given.format(SECRET)}
    assert post(small.app, BODY, key=None, headers=headers).status == 200


@pytest.mark.parametrize("key", [None, "sk-wrong-key-0123456789"])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/embeddings"),
        ("POST", "/tiny/v1/embeddings"),
        ("GET", "/v1/embeddings"),
        ("GET", "/v1/models"),
        ("DELETE", "/v1/models"),
        ("GET", "/v1/models/no-such-model"),
        ("GET", "/no/such/address"),
        ("OPTIONS", "/v1/embeddings"),
        ("GET", "/"),
        ("GET", "/healthy"),
        ("GET", "/health/x"),
        ("GET", "/v1/health"),
        ("GET", "/docsx"),
        ("GET", "/openapi.json/x"),
        ("GET", "/%0a/health"),
        ("GET", "/health%0a"),
    ],
)
def test_without_a_key_nothing_is_read_and_no_address_is_told_from_another(
    small: Small, method: str, path: str, key: str | None
) -> None:
    headers = {"Content-Type": "text/plain", "Content-Length": "9" * 18}
    reply = ask(small.app, method, path, key=key, headers=headers, receive=untouched)
    assert reply.status == 401
    assert reply.headers["www-authenticate"] == "Bearer"
    assert reply.error


@pytest.mark.parametrize(
    "path",
    [
        "/docs/../v1/models",
        "/docs/%2e%2e/v1/models",
        "/docs/v1/models",
        "/docs/v1/embeddings",
        "/docs/assets/v1/models",
        "/docs/assets/x%2fv1/models",
        "/health/v1/models/tiny",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_no_other_address_hides_under_an_open_one(small: Small, method: str, path: str) -> None:
    assert ask(small.app, method, path, key=None).status == 401


@pytest.mark.parametrize("path", ["/health", "/ready", "/openapi.json", "/docs", "/health/"])
@pytest.mark.parametrize("key", [None, "sk-wrong-key-0123456789", SECRET])
def test_probes_and_the_description_ask_for_no_key(
    small: Small, path: str, key: str | None
) -> None:
    assert get(small.app, path, key=key).status == 200


@pytest.mark.parametrize(
    ("sources", "status"), [((), 200), (("192.0.2.0/24",), 403), (("127.0.0.0/8", "::1/128"), 200)]
)
def test_a_key_is_good_only_where_it_may_be_used(
    small: Small, monkeypatch: pytest.MonkeyPatch, sources: tuple[str, ...], status: int
) -> None:
    monkeypatch.setattr(OneKey, "terms", replace(OneKey.terms, sources=sources))
    reply = post(small.app, BODY)
    assert reply.status == status
    if status == 403:
        assert reply.error["code"] == "ip_not_authorized"
        assert "127.0.0.1" in reply.error["message"]
        assert "192.0.2" not in reply.body.decode()


def test_without_keys_everybody_comes_in() -> None:
    small = Small(auth=False)
    for key in (None, "", "anything"):
        assert post(small.app, BODY, key=key).status == 200
    assert small.asked.fair_share == "anonymous"
