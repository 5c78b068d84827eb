"""What the terms of keys and teams let pass: models by their names, callers by their addresses."""

from collections.abc import Iterable
from fnmatch import fnmatchcase
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network


def allows_model(globs: Iterable[str], *names: str) -> bool:
    """Tell whether a model may be asked for, which has these names; no globs allow any.

    Upper and lower case differ.
    """
    wanted = tuple(globs)
    return not wanted or any(fnmatchcase(name, glob) for name in names for glob in wanted)


def allows_source(networks: tuple[str, ...], address: str) -> bool:
    """Tell whether an address is within one of the networks; no networks allow any.

    What is no address is within none. An IPv4 address that came in through an IPv6 socket counts
    as what it is.
    """
    if not networks:
        return True
    try:
        given = ip_address(address)
    except ValueError:
        return False
    if isinstance(given, IPv6Address) and given.ipv4_mapped is not None:
        given = given.ipv4_mapped
    return any(given in network for network in _read(networks))


@lru_cache(4096)
def _read(networks: tuple[str, ...]) -> tuple[IPv4Network | IPv6Network, ...]:
    return tuple(map(ip_network, networks))
