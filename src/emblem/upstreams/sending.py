"""One HTTP request and its whole answer, neither longer nor slower than was agreed.

The only place that knows the HTTP client, which is aiohttp: a small request takes it a fifth of the
time that httpx2 takes, or less. Redirects are not followed, cookies not kept.
"""

import asyncio
import os
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from emblem.types import value

if TYPE_CHECKING:  # it takes a while to import, and a server without upstreams does without
    import aiohttp

# An answer may take so many bytes: for a number as JSON writes it, with spaces and a line break of
# its own; for what stands around a vector; and for what stands around them all.
NUMBER_BYTES = 40
VECTOR_BYTES = 256
ANSWER_BYTES = 1 << 20
# As much may come for one text before the width is known.
UNKNOWN_BYTES = 4 << 20

IDLE_S = 30.0  # for which a connection is kept that nobody uses


@value()
class Sent:
    """A request. Its answer may have ``most_bytes``, and be complete after ``timeout_s``."""

    content: bytes = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    most_bytes: int
    timeout_s: float


@value()
class Answer:
    """An answer that came whole. Its headers are found by a name in any case."""

    status: int
    headers: Mapping[str, str]
    content: bytes


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a client keeps to, in seconds and connections."""

    connect_timeout_s: float
    read_timeout_s: float
    max_connections: int
    environment_proxies: bool = False


class Endless(Exception):
    """An answer that is longer than any right one, or cannot be unpacked; the text says which."""


class Unreached(Exception):
    """There was no connection, so nothing was sent; the text says why."""


class Lost(Exception):
    """The connection ended before the answer did; the text says how."""


def most_bytes(texts: int, width: int | None) -> int:
    """Bound the bytes of an answer with that many vectors, generously; None is of unknown width."""
    if width is None:
        return UNKNOWN_BYTES
    return ANSWER_BYTES + texts * (VECTOR_BYTES + NUMBER_BYTES * width)


class Client:
    """Connections for requests to one address, which are kept and used again.

    Whoever creates it closes it. Used on one event loop, the one that runs at the first request.
    """

    def __init__(self, url: str, bounds: Bounds, method: str = "POST") -> None:
        self._address = url
        self._bounds = bounds
        self._method = method
        self._session: aiohttp.ClientSession | None = None

    async def send(self, sent: Sent) -> Answer:
        """Send a request and read its answer.

        Raises Endless as soon as too much has come, TimeoutError where the answer is not complete
        in time however steadily it trickles, Unreached, and Lost where it breaks off.
        """
        import aiohttp

        session = self._session or self._begin()
        try:
            async with asyncio.timeout(sent.timeout_s):
                try:
                    return await self._send(session, sent)
                except aiohttp.ClientConnectorError:
                    raise
                except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
                    # Mostly a connection that was kept, and that the server gave up just now: an
                    # embedding may be asked for twice.
                    return await self._send(session, sent)
        except aiohttp.ConnectionTimeoutError:
            raise Unreached("it did not answer in time") from None
        except aiohttp.ClientConnectorError as error:
            raise Unreached(why(error)) from None
        except (aiohttp.ClientPayloadError, aiohttp.ServerDisconnectedError) as error:
            if isinstance(error.__cause__, aiohttp.http_exceptions.ContentEncodingError):
                raise Endless("an answer that cannot be unpacked") from None
            raise Lost("it was closed before the answer ended") from None
        except aiohttp.ClientResponseError:
            raise Lost("what came is no HTTP") from None
        except TimeoutError:
            raise
        except (aiohttp.ClientError, OSError) as error:
            raise Lost(why(error)) from None
        except RuntimeError:
            if not session.closed:
                raise
            raise Lost("it was closed here") from None

    async def _send(self, session: "aiohttp.ClientSession", sent: Sent) -> Answer:
        parts: list[bytes] = []
        size = 0
        async with session.request(
            self._method,
            self._url,
            data=sent.content or None,
            headers=sent.headers,
            allow_redirects=False,
        ) as answer:
            while part := await answer.content.readany():
                parts.append(part)
                size += len(part)
                if size > sent.most_bytes:
                    raise Endless(f"an answer that does not end after {sent.most_bytes:,} bytes")
            return Answer(answer.status, answer.headers, b"".join(parts))

    def _begin(self) -> "aiohttp.ClientSession":
        """Make the session, in the loop that will use it."""
        import aiohttp
        from yarl import URL

        from emblem.upstreams.connecting import Connector, session

        bounds = self._bounds
        self._url = URL(self._address, encoded=True)
        self._session = session(
            Connector(limit=bounds.max_connections, keepalive_timeout=IDLE_S),
            aiohttp.ClientTimeout(
                total=None,
                sock_connect=bounds.connect_timeout_s,
                sock_read=bounds.read_timeout_s,
            ),
            proxies=bounds.environment_proxies,
        )
        return self._session

    async def aclose(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()


def why(error: Exception) -> str:
    """Say what is wrong without the address."""
    given = getattr(error, "certificate_error", None) or getattr(error, "os_error", None) or error
    if isinstance(given, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {given.verify_message}"
    if isinstance(given, socket.gaierror):
        return str(given.strerror)
    if isinstance(given, OSError) and given.errno:
        return os.strerror(given.errno)  # what asyncio says has the address in it
    return type(given).__name__
