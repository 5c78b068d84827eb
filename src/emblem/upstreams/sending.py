"""One HTTP request and its whole answer, neither longer nor slower than was agreed.

The only place that knows the HTTP client. Redirects are not followed, cookies not kept.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

import httpx2

# An answer may take so many bytes: for a number as JSON writes it, with spaces and a line break of
# its own; for what stands around a vector; and for what stands around them all.
NUMBER_BYTES = 40
VECTOR_BYTES = 256
ANSWER_BYTES = 1 << 20
# As much may come for one text before the width is known.
UNKNOWN_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class Sent:
    """A request. Its answer may have ``most_bytes``, and be complete after ``timeout_s``."""

    url: str
    content: bytes
    headers: Mapping[str, str]
    most_bytes: int
    timeout_s: float


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that came whole. The names of its headers are in lower case."""

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
    """Connections to one host, which are kept and used again. Whoever creates it closes it."""

    def __init__(self, url: str, bounds: Bounds) -> None:
        self._bounds = bounds
        self._client = httpx2.AsyncClient(
            # Without TLS nothing is verified, and reading the certificates takes a while.
            verify=not url.startswith("http:"),
            trust_env=bounds.environment_proxies,
            limits=httpx2.Limits(max_connections=bounds.max_connections),
        )

    async def send(self, sent: Sent) -> Answer:
        """Send a request and read its answer.

        Raises Endless as soon as too much has come, TimeoutError where the answer is not complete
        in time however steadily it trickles, Unreached, and Lost where it breaks off.
        """
        try:
            async with asyncio.timeout(sent.timeout_s):
                return await self._send(sent)
        except httpx2.TimeoutException as error:
            raise TimeoutError(type(error).__name__) from None
        except (httpx2.ReadError, httpx2.WriteError, httpx2.RemoteProtocolError) as error:
            raise Lost(str(error) or type(error).__name__) from None
        except httpx2.RequestError as error:
            raise Unreached(str(error) or type(error).__name__) from None

    async def _send(self, sent: Sent) -> Answer:
        timeout = httpx2.Timeout(
            self._bounds.read_timeout_s, connect=self._bounds.connect_timeout_s, pool=None
        )
        content = bytearray()
        async with self._client.stream(
            "POST", sent.url, content=sent.content, headers=dict(sent.headers), timeout=timeout
        ) as answer:
            try:
                async for part in answer.aiter_bytes():
                    content += part
                    if len(content) > sent.most_bytes:
                        raise Endless(
                            f"an answer that does not end after {sent.most_bytes:,} bytes"
                        )
            except httpx2.DecodingError as error:
                raise Endless(f"an answer that cannot be unpacked ({error})") from None
            return Answer(answer.status_code, answer.headers, bytes(content))

    async def aclose(self) -> None:
        """Close every connection."""
        await self._client.aclose()
