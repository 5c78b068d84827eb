"""Where a client on this machine finds the server."""

import ipaddress


def base_url(host: str, port: int, *, tls: object = False) -> str:
    """Give the address for ``OPENAI_BASE_URL``. A server on every address is on loopback too.

    With ``tls``, such as the file of a certificate, it is one of https.
    """
    return f"{'https' if tls else 'http'}://{_reachable(host)}:{port}/v1"


def _reachable(host: str) -> str:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if address.is_unspecified:
        address = ipaddress.ip_address("127.0.0.1" if address.version == 4 else "::1")
    return f"[{address}]" if address.version == 6 else str(address)
