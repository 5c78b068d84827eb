"""The address that a client on this machine is told."""

import pytest

from emblem.cli.address import base_url


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", "http://127.0.0.1:8080/v1"),
        ("0.0.0.0", "http://127.0.0.1:8080/v1"),
        ("::", "http://[::1]:8080/v1"),
        ("::1", "http://[::1]:8080/v1"),
        ("192.168.1.5", "http://192.168.1.5:8080/v1"),
        ("example.org", "http://example.org:8080/v1"),
    ],
)
def test_an_address_is_one_that_a_client_can_reach(host: str, address: str) -> None:
    assert base_url(host, 8080) == address
