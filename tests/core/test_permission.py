"""What terms let pass: models by their names, callers by their addresses."""

import pytest

from emblem.core.permission import allows_model, allows_source


@pytest.mark.parametrize(
    ("globs", "name", "passes"),
    [
        ((), "anything", True),
        (("bge-*",), "bge-small-en-v1.5", True),
        (("bge-*",), "acme/bge-small", False),
        (("bge-*",), "BGE-small", False),
        (("*/bge-*",), "acme/bge-small", True),
        (("all-MiniLM-L6-v?",), "all-MiniLM-L6-v2", True),
        (("all-MiniLM",), "all-MiniLM-L6-v2", False),
        (("a", "b*"), "bc", True),
        (("*",), "anything/at@all", True),
    ],
)
def test_a_model_passes_where_a_glob_matches_the_whole_name(
    globs: tuple[str, ...], name: str, passes: bool
) -> None:
    assert allows_model(globs, name) is passes


def test_a_model_passes_under_any_of_its_names() -> None:
    assert allows_model(["all-*"], "text-embedding-3-small", "all-MiniLM-L6-v2")
    assert not allows_model(["bge-*"], "text-embedding-3-small", "all-MiniLM-L6-v2")


@pytest.mark.parametrize(
    ("networks", "address", "passes"),
    [
        ((), "203.0.113.9", True),
        ((), "", True),
        (("10.0.0.0/8",), "10.255.0.1", True),
        (("10.0.0.0/8",), "11.0.0.1", False),
        (("10.0.0.0/8", "11.0.0.1/32"), "11.0.0.1", True),
        (("10.0.0.0/8",), "::ffff:10.0.0.1", True),
        (("::/0",), "10.0.0.1", False),
        (("2001:db8::/32",), "2001:db8::1", True),
        (("2001:db8::/32",), "2001:db9::1", False),
        (("0.0.0.0/0", "::/0"), "", False),
        (("0.0.0.0/0", "::/0"), "10.0.0.1, 10.0.0.2", False),
        (("0.0.0.0/0", "::/0"), "localhost", False),
    ],
)
def test_an_address_passes_where_a_network_holds_it(
    networks: tuple[str, ...], address: str, passes: bool
) -> None:
    assert allows_source(networks, address) is passes
