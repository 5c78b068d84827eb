"""Behind proxies: from where a request really came, and whether over https."""

from collections.abc import Iterable, Sequence
from ipaddress import ip_network

from starlette.types import ASGIApp, Receive, Scope, Send

from emblem.core.forwarded import client_of, is_trusted, read_address

_FOR, _PROTO = b"x-forwarded-for", b"x-forwarded-proto"
_SCHEMES = ("http", "https")


class BehindProxies:
    """Believes X-Forwarded-For and X-Forwarded-Proto of trusted networks, and of nobody else.

    Raises ValueError for what is no network.
    """

    def __init__(self, app: ASGIApp, trusted: Iterable[str]) -> None:
        self._app = app
        self._trusted = tuple(ip_network(one) for one in trusted)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on with the client's address and scheme in place of the proxy's."""
        if scope["type"] == "http":
            peer, port = scope.get("client") or ("", 0)
            if is_trusted(read_address(peer), self._trusted):
                address = client_of(peer, _values(scope, _FOR), self._trusted)
                # The port is that of the proxy's connection, and stands for nothing then.
                client = (address, port if address == peer else 0)
                scheme = _scheme(_values(scope, _PROTO), scope["scheme"])
                # Who connected is told beside it: a console's proxy is known by that.
                own = {"client": client, "scheme": scheme, "emblem.peer": peer}
                scope = {**scope, **own}
        await self._app(scope, receive, send)


def _values(scope: Scope, name: bytes) -> Sequence[str]:
    return [value.decode("latin-1") for given, value in scope["headers"] if given == name]


def _scheme(values: Sequence[str], otherwise: str) -> str:
    """Give what the last proxy said, which no client can have written."""
    last = values[-1].rpartition(",")[2].strip().lower() if values else ""
    return last if last in _SCHEMES else otherwise
