"""The client's address is the last one that no trusted proxy has."""

from ipaddress import ip_network

import pytest

from emblem.core.forwarded import client_of, read_address

PROXIES = tuple(map(ip_network, ("10.0.0.0/8", "fd00::/8")))
PROXY = "10.0.0.1"


def test_without_a_header_the_proxy_itself_asks() -> None:
    assert client_of(PROXY, [], PROXIES) == PROXY


def test_who_is_no_trusted_proxy_is_not_believed() -> None:
    assert client_of("203.0.113.9", ["198.51.100.7"], PROXIES) == "203.0.113.9"


def test_what_a_client_wrote_itself_stands_before_what_the_proxy_added() -> None:
    assert client_of(PROXY, ["192.168.1.1, 203.0.113.9"], PROXIES) == "203.0.113.9"


def test_proxies_behind_one_another_are_passed() -> None:
    header = ["198.51.100.7, 203.0.113.9, 10.2.2.2", "fd00::5"]
    assert client_of(PROXY, header, PROXIES) == "203.0.113.9"


def test_where_all_are_trusted_the_first_of_them_asks() -> None:
    assert client_of(PROXY, ["10.9.9.9, 10.2.2.2"], PROXIES) == "10.9.9.9"


@pytest.mark.parametrize("said", ["unknown", "", "_hidden", "1.2.3", "203.0.113.9, unknown"])
def test_what_is_no_address_is_nobodys(said: str) -> None:
    assert client_of(PROXY, [said], PROXIES) == ""


def test_a_peer_without_an_address_stays_what_it_is() -> None:
    assert client_of("", ["203.0.113.9"], PROXIES) == ""


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("203.0.113.9:4711", "203.0.113.9"),
        (" 203.0.113.9 ", "203.0.113.9"),
        ("[2001:db8::1]:443", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("2001:db8::1", "2001:db8::1"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
    ],
)
def test_addresses_are_read_as_proxies_write_them(written: str, meant: str) -> None:
    assert str(read_address(written)) == meant
    assert client_of("::ffff:10.0.0.1", [written], PROXIES) == meant
