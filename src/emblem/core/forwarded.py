"""From where a request came that passed through proxies. Pure."""

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


def client_of(peer: str, forwarded: Iterable[str], trusted: Sequence[Network]) -> str:
    """Give the address that a request came from, "" where that cannot be told.

    ``peer`` is who connected, ``forwarded`` the values of X-Forwarded-For in their order: each
    proxy adds whom it heard at the end. So the last one that is no trusted proxy is the client; what
    stands before it may be anything, for whoever sends a request writes that.
    """
    hops = [peer, *reversed([hop for value in forwarded for hop in value.split(",")])]
    furthest = peer
    for hop in hops:
        address = read_address(hop)
        if address is None:
            return "" if hop is not peer else peer
        furthest = str(address)
        if not is_trusted(address, trusted):
            break
    return furthest


def is_trusted(address: Address | None, trusted: Sequence[Network]) -> bool:
    """Tell whether an address is within one of the networks."""
    return address is not None and any(address in network for network in trusted)


def read_address(text: str) -> Address | None:
    """Read an address, as some proxies write it with a port or in brackets; None if it is none.

    An IPv4 address that came in through an IPv6 socket counts as what it is.
    """
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
