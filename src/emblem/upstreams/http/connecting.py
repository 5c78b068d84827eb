"""How a server is reached: its address, names and TLS, and the proxies that the environment names."""

import asyncio
import errno
import os
import ssl
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from ipaddress import ip_address
from typing import TypeVar, cast
from urllib.parse import SplitResult, quote, unquote, urlsplit

from emblem.upstreams.http.connection import Connection
from emblem.upstreams.http.failures import Unreached
from emblem.upstreams.http.heads import MAX_HEAD_BYTES

STAGGER_S = 0.25  # after which the next address of a name is tried beside the first (RFC 8305)

_PORTS = {"http": 80, "https": 443}
# What stands in a path or query as it is (RFC 3986); all else is written as %…, and % stays.
_PLAIN = "%/?:@!$&'()*+,;=-._~[]|"

P = TypeVar("P", bound=asyncio.BaseProtocol)


@dataclass(frozen=True, slots=True)
class Origin:
    """A server: ``authority`` is its host, and its port where that is not the scheme's own."""

    tls: bool
    host: str
    port: int
    authority: str


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy that is spoken to without TLS. ``credentials`` are the value of a header, or ""."""

    host: str
    port: int
    credentials: str = field(default="", repr=False)

    @property
    def line(self) -> str:
        """The line of a head that has the credentials, with its end; "" where there are none."""
        return f"\r\nProxy-Authorization: {self.credentials}" if self.credentials else ""


class Opening:
    """Opens connections to one address, and writes the first lines of requests to it."""

    def __init__(self, url: str, *, proxies: bool) -> None:
        """Raises Unreached for an address, or a proxy's, that is none."""
        try:
            parts = urlsplit(url)
            self._origin = _origin(parts)
        except ValueError:
            raise Unreached("its address is none") from None
        self._proxy = _proxy(parts.scheme, self._origin) if proxies else None
        query = f"?{parts.query}" if parts.query else ""
        self._target = quote(f"{parts.path or '/'}{query}", safe=_PLAIN)

    def first_lines(self, method: str) -> str:
        """Give the first lines of a request, without the end of the last one."""
        origin, proxy = self._origin, self._proxy
        if proxy is None or origin.tls:
            return f"{method} {self._target} HTTP/1.1\r\nHost: {origin.authority}"
        asked = f"http://{origin.authority}{self._target}"
        return f"{method} {asked} HTTP/1.1\r\nHost: {origin.authority}{proxy.line}"

    async def open(self, loop: asyncio.AbstractEventLoop, connection: Connection) -> None:
        """Connect. Raises OSError, UnicodeError for a name that cannot be one, and Unreached."""
        server = self._proxy or self._origin
        if not self._origin.tls:
            await _connected(loop, server.host, server.port, lambda: connection)
            return
        # TLS comes over the socket's own transport, which alone tells what is not sent yet.
        before = await _connected(loop, server.host, server.port, lambda: _Before(loop))
        try:
            if self._proxy is not None:
                await before.reach(self._origin, self._proxy)
            await self._secure(loop, before, connection)
        except BaseException:
            before.transport.abort()
            raise

    async def _secure(
        self, loop: asyncio.AbstractEventLoop, before: "_Before", connection: Connection
    ) -> None:
        """Begin TLS."""
        secure: asyncio.Transport | None = None
        if before.is_quiet:
            name = self._origin.host.rstrip(".")
            secure = await loop.start_tls(
                before.transport, connection, trust(), server_hostname=name
            )
        if secure is None:  # the server has left, or has spoken before it may
            raise ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))
        connection.begin(before.transport, secure)


class _Before(asyncio.Protocol):
    """A connection until it can be used: what a proxy says of it, and nothing else, may come."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.transport: asyncio.Transport
        self._said = bytearray()
        self._answered: asyncio.Future[None] | None = None
        self._loop = loop
        self.is_quiet = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection."""
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Read what the proxy says."""
        self._said += data
        answered = self._answered
        if answered is None or answered.done():
            self.is_quiet = False
        elif b"\r\n\r\n" in self._said or len(self._said) > MAX_HEAD_BYTES:
            answered.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's own
        """Take note that nothing comes of it."""
        self.is_quiet = False
        if self._answered is not None and not self._answered.done():
            self._answered.set_result(None)

    async def reach(self, origin: Origin, proxy: Proxy) -> None:
        """Have a proxy connect to a server. Raises Unreached where it does not."""
        named = f"{_bracketed(origin.host)}:{origin.port}"
        self._answered = self._loop.create_future()
        request = f"CONNECT {named} HTTP/1.1\r\nHost: {named}{proxy.line}\r\n\r\n"
        self.transport.write(request.encode("ascii"))
        await self._answered
        head, end, more = bytes(self._said).partition(b"\r\n\r\n")
        version, _, rest = head.partition(b" ")
        status = rest[:3]
        if not (end and version in (b"HTTP/1.1", b"HTTP/1.0") and status.isdigit()):
            raise Unreached("what the proxy says is no HTTP")
        if not status.startswith(b"2"):
            raise Unreached(f"the proxy answers {status.decode()}")
        if more:
            raise Unreached("the proxy says more than it was asked")


@cache
def trust() -> ssl.SSLContext:
    """Give what says whose certificates are trusted: one for all, since it takes a while to read."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


async def _connected(
    loop: asyncio.AbstractEventLoop, host: str, port: int, make: Callable[[], P]
) -> P:
    # A number is one address, and uvloop, which a program of the user's may run, does not stagger.
    if _is_number(host) or not isinstance(loop, asyncio.BaseEventLoop):
        _, protocol = await loop.create_connection(make, host, port)
    else:
        _, protocol = await loop.create_connection(make, host, port, happy_eyeballs_delay=STAGGER_S)
    return protocol


def _origin(parts: SplitResult) -> Origin:
    """Read an address. Raises ValueError."""
    host, scheme = _ascii(parts.hostname or ""), parts.scheme
    if scheme not in _PORTS or not host:
        raise ValueError(scheme)
    port = parts.port or _PORTS[scheme]
    shown = _bracketed(host)
    authority = shown if port == _PORTS[scheme] else f"{shown}:{port}"
    return Origin(scheme == "https", host, port, authority)


def _ascii(host: str) -> str:
    """Give a host's name as it is looked up. Raises ValueError, of which UnicodeError is one."""
    if not host.isascii():
        import idna  # as of 2008: the standard library's is of 2003, and makes fass.de of faß.de

        return idna.encode(host, uts46=True).decode()
    if not host.isprintable() or " " in host:
        raise ValueError(host)
    return host


def _proxy(scheme: str, origin: Origin) -> Proxy | None:
    """Give the proxy that the environment, or the system, names for a server.

    Raises Unreached for one that is none, or is spoken to in another way than plain HTTP.
    """
    from urllib.request import getproxies, proxy_bypass

    found: Origin | None
    named = getproxies().get(scheme, "")
    shown = _bracketed(origin.host)
    if not named or any(map(proxy_bypass, (origin.host, shown, f"{shown}:{origin.port}"))):
        return None
    try:
        parts = urlsplit(named if "://" in named else f"http://{named}")
        found = _origin(parts)
    except ValueError:
        found = None
    if found is None or found.tls:
        raise Unreached("the proxy of the environment is not like http://host:port")
    credentials = ""
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        credentials = "Basic " + b64encode(pair.encode()).decode()
    return Proxy(found.host, found.port, credentials)


def _is_number(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
