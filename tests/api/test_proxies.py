"""What a trusted proxy says of a client is believed, and what anybody else says is not."""

import asyncio

import pytest

from emblem.api.proxies import BehindProxies

PROXY, STRANGER = "10.0.0.1", "203.0.113.9"


def seen(
    peer: str, *headers: tuple[str, str], kind: str = "http", scheme: str = "http"
) -> tuple[object, str]:
    """Give the client and the scheme that the application is told."""
    told = []

    async def app(scope, receive, send) -> None:
        told.append((scope["client"], scope["scheme"]))

    scope = {
        "type": kind,
        "client": (peer, 4711) if peer else None,
        "scheme": scheme,
        "headers": [(name.encode(), value.encode()) for name, value in headers],
    }
    asyncio.run(BehindProxies(app, ("10.0.0.0/8",))(scope, None, None))
    return told[0]


def test_the_client_of_a_trusted_proxy_is_the_one_that_it_names() -> None:
    headers = [("x-forwarded-for", STRANGER), ("x-forwarded-proto", "https")]
    assert seen(PROXY, *headers) == ((STRANGER, 0), "https")


def test_whoever_is_no_trusted_proxy_changes_nothing() -> None:
    headers = [("x-forwarded-for", PROXY), ("x-forwarded-proto", "https")]
    assert seen(STRANGER, *headers) == ((STRANGER, 4711), "http")


def test_a_client_cannot_write_itself_another_address() -> None:
    headers = [("x-forwarded-for", f"10.7.7.7, {STRANGER}")]
    assert seen(PROXY, *headers) == ((STRANGER, 0), "http")


def test_a_client_cannot_write_itself_another_address_in_a_header_of_its_own() -> None:
    headers = [("x-forwarded-for", "10.7.7.7"), ("x-forwarded-for", STRANGER)]
    assert seen(PROXY, *headers)[0] == (STRANGER, 0)


@pytest.mark.parametrize("said", ["ftp", "", "https://", "http, javascript"])
def test_a_scheme_that_is_none_is_not_believed(said: str) -> None:
    assert seen(PROXY, ("x-forwarded-proto", said))[1] == "http"
    assert seen(PROXY, ("x-forwarded-proto", said), scheme="https")[1] == "https"


def test_the_last_proxy_says_the_scheme() -> None:
    assert seen(PROXY, ("x-forwarded-proto", "https, http"))[1] == "http"


def test_a_proxy_that_names_nobody_asks_for_itself() -> None:
    assert seen(PROXY) == ((PROXY, 4711), "http")


def test_a_request_without_an_address_is_passed_on_as_it_is() -> None:
    assert seen("", ("x-forwarded-for", STRANGER)) == (None, "http")


def test_what_is_no_request_is_passed_on_as_it_is() -> None:
    told = seen(PROXY, ("x-forwarded-for", STRANGER), kind="lifespan")
    assert told == ((PROXY, 4711), "http")
