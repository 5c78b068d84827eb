"""Browsers: no page may call unless the configuration names its origin."""

from pathlib import Path

import pytest

from api.asking import ask, post
from api.small_app import Small
from emblem.api.app import Bounds
from emblem.config import load
from emblem.errors import ConfigError

PAGE = "https://app.example"
PREFLIGHT = {
    "Origin": PAGE,
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization,content-type,x-stainless-lang",
}
BODY = {"model": "tiny", "input": "x"}


def test_by_default_no_origin_is_allowed_anything(small: Small) -> None:
    preflight = ask(small.app, "OPTIONS", "/v1/embeddings", key=None, headers=PREFLIGHT)
    assert preflight.status == 401
    answered = post(small.app, BODY, headers={"Origin": PAGE})
    assert answered.status == 200
    for reply in (preflight, answered):
        assert not [name for name in reply.headers if name.startswith("access-control-")]


@pytest.mark.parametrize("path", ["/v1/embeddings", "/tiny/v1/embeddings", "/v1/models"])
@pytest.mark.parametrize("origins", [(PAGE,), ("https://other.example", PAGE), ("*",)])
def test_a_preflight_needs_no_key(path: str, origins: tuple[str, ...]) -> None:
    small = Small(Bounds(cors_origins=origins))
    reply = ask(small.app, "OPTIONS", path, key=None, headers=PREFLIGHT)
    assert reply.status == 200
    assert reply.headers["access-control-allow-origin"] == ("*" if "*" in origins else PAGE)
    assert "POST" in reply.headers["access-control-allow-methods"]
    assert (
        reply.headers["access-control-allow-headers"] == PREFLIGHT["Access-Control-Request-Headers"]
    )


@pytest.mark.parametrize(
    "wrong", [{"Origin": "https://evil.example"}, {"Access-Control-Request-Method": "DELETE"}]
)
def test_a_preflight_that_is_refused_is_so_in_the_shape_of_every_error(
    wrong: dict[str, str],
) -> None:
    small = Small(Bounds(cors_origins=(PAGE,)))
    reply = ask(small.app, "OPTIONS", "/v1/embeddings", key=None, headers=PREFLIGHT | wrong)
    assert reply.status == 400
    assert reply.error["message"].startswith("Disallowed CORS ")
    assert "access-control-allow-origin" not in reply.headers


def test_a_page_reads_answers_and_errors_and_their_headers() -> None:
    small = Small(Bounds(cors_origins=(PAGE,)))
    answered = post(small.app, BODY, headers={"Origin": PAGE})
    refused = post(small.app, BODY, key=None, headers={"Origin": PAGE})
    assert (answered.status, refused.status) == (200, 401)
    for reply in (answered, refused):
        assert reply.headers["access-control-allow-origin"] == PAGE
        exposed = reply.headers["access-control-expose-headers"].split(", ")
        assert {"x-request-id", "x-embedding-space", "retry-after"} <= set(exposed)


def test_another_origin_s_page_reads_nothing() -> None:
    small = Small(Bounds(cors_origins=(PAGE,)))
    reply = post(small.app, BODY, headers={"Origin": "https://evil.example"})
    assert "access-control-allow-origin" not in reply.headers


def test_options_that_is_no_preflight_asks_for_a_key_as_everything_does() -> None:
    small = Small(Bounds(cors_origins=(PAGE,)))
    assert ask(small.app, "OPTIONS", "/v1/embeddings", key=None).status == 401
    assert ask(small.app, "OPTIONS", "/v1/embeddings").status == 405


def configured(origin: str) -> tuple[str, ...]:
    environ = {"HOME": "/nowhere", "EMBLEM_CORS_ORIGINS": origin}
    return load(flags={}, environ=environ, directory=Path("/nowhere")).settings.cors_origins


@pytest.mark.parametrize(
    "origin",
    [
        "foo",
        "https://",
        "https://app.example/",
        "https://App.example",
        "https://*.example",
        "https://app.example:port",
        "//app.example",
        "null",
    ],
)
def test_a_setting_that_no_browser_s_origin_could_equal_is_refused(origin: str) -> None:
    with pytest.raises(ConfigError) as caught:
        configured(origin)
    assert str(caught.value) == (
        f"cors_origins (EMBLEM_CORS_ORIGINS) has {origin!r}; an origin is * or "
        "scheme://host[:port] in lower case, without a path"
    )


@pytest.mark.parametrize(
    "origin", ["*", PAGE, "http://localhost:3000", "http://[::1]:8080", "tauri://localhost"]
)
def test_an_origin_as_browsers_write_it_is_taken(origin: str) -> None:
    assert configured(origin) == (origin,)
