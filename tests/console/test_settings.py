"""What may be set of the console, and what makes no sense."""

from typing import Any

import msgspec
import pytest

from emblem.accounts import Role
from emblem.config import Opening, Settings, openings
from emblem.config.console import check_console, check_people
from emblem.errors import ConfigError

PROXY: dict[str, Any] = {
    "console_proxy_header": "X-Forwarded-User",
    "console_proxy_addresses": ("10.1.2.3", "fd00::/8"),
    "console_groups": ("*=admin",),
}


def checked(**given: Any) -> None:
    origins = {field.name: "emblem.toml" for field in msgspec.structs.fields(Settings)}
    check_console(Settings(**given), origins)
    check_people(Settings(**given), origins)


def test_a_proxy_with_its_addresses_and_groups_is_well() -> None:
    checked(**PROXY)
    checked()


def test_groups_say_a_role_and_a_team() -> None:
    given = ("a=admin", "cn=ops,dc=example=read", " b = inference : lab ", "*=read")
    assert openings(Settings(console_groups=given)) == (
        Opening("a", Role.ADMIN),
        Opening("cn=ops,dc=example", Role.READ),
        Opening("b", Role.INFERENCE, "lab"),
        Opening("*", Role.READ),
    )


@pytest.mark.parametrize("given", ["", "a", "a=", "=admin", "a=root", "a=Admin", "a:lab"])
def test_a_group_that_opens_nothing_is_refused(given: str) -> None:
    with pytest.raises(ConfigError, match=r"console_groups \(emblem.toml\) has .*inference, read"):
        checked(console_groups=(given,))


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"console_proxy_addresses": ()}, "anybody could write that header"),
        ({"console_groups": ()}, "nobody would be let in"),
        ({"console_proxy_header": "X User"}, "no name of a header"),
        ({"console_proxy_groups_header": "X:Groups"}, "no name of a header"),
        ({"console_proxy_addresses": ("10.1.2.3/8",)}, "without bits set beyond its length"),
        ({"console_proxy_addresses": ("proxy",)}, "a network is an address"),
    ],
)
def test_a_proxy_that_anybody_could_be_is_refused(changed: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        checked(**{**PROXY, **changed})
