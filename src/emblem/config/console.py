"""Settings of the console: who is let in besides with a key. Pure."""

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass

from emblem.accounts import Role
from emblem.config.oidc import check_addresses, check_oidc
from emblem.config.settings import Settings
from emblem.errors import ConfigError

_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")  # a token of RFC 9110


@dataclass(frozen=True, slots=True)
class Opening:
    """What a group opens: a role, and on behalf of which team, by its name; "" for none."""

    group: str
    role: Role
    team: str = ""


def openings(settings: Settings, origin: str = "console_groups") -> tuple[Opening, ...]:
    """Read ``console_groups``. Raises ConfigError for one that says nothing."""
    return tuple(_opening(one, origin) for one in settings.console_groups)


def check_console(settings: Settings, origins: Mapping[str, str]) -> None:
    """Raise ConfigError for the first thing that cannot be meant, naming where it came from."""
    openings(settings, f"console_groups ({origins['console_groups']})")
    check_addresses(settings, origins)
    for name in ("console_proxy_header", "console_proxy_groups_header"):
        given = getattr(settings, name)
        if given and not _HEADER.fullmatch(given):
            raise ConfigError(
                f"{name} ({origins[name]}) is {given!r}, which is no name of a header"
            )
    for one in settings.console_proxy_addresses:
        _check_network(one, origins["console_proxy_addresses"])


def check_people(settings: Settings, origins: Mapping[str, str]) -> None:
    """Raise ConfigError where people are to be signed in by others, and nobody could be, or all."""
    check_oidc(settings, origins)
    if not settings.console_proxy_header:
        return
    origin = f"console_proxy_header ({origins['console_proxy_header']})"
    if not settings.console_proxy_addresses:
        raise ConfigError(
            f"{origin} is set and console_proxy_addresses is not: anybody could write that header; "
            "name the addresses of your proxies"
        )
    if not settings.console_groups:
        raise ConfigError(
            f"{origin} is set and console_groups is not: nobody would be let in; map groups to "
            "roles, such as platform=admin, or *=admin for everybody whom the proxy lets through"
        )


def _check_network(given: str, origin: str) -> None:
    try:
        ipaddress.ip_network(given)
    except ValueError:
        raise ConfigError(
            f"console_proxy_addresses ({origin}) has {given!r}; a network is an address such as "
            "10.1.2.3, or a range such as 10.1.0.0/16, without bits set beyond its length"
        ) from None


def _opening(given: str, origin: str) -> Opening:
    group, there, opens = given.rpartition("=")
    role, _, team = opens.partition(":")
    if not there or not group.strip() or role.strip() not in {*Role}:
        raise ConfigError(
            f"{origin} has {given!r}; each is GROUP=ROLE or GROUP=ROLE:TEAM, where a role is one of "
            f"{', '.join(Role)}"
        )
    return Opening(group.strip(), Role(role.strip()), team.strip())
