"""One HTTP request and its whole answer, neither longer nor slower than was agreed.

How connections are made, kept and read is in ``http/``. Redirects are not followed, cookies not kept.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from emblem.types import value
from emblem.upstreams.http.bodies import unpacked
from emblem.upstreams.http.connecting import Opening
from emblem.upstreams.http.failures import CLOSED_HERE, Endless, GivenUp, Lost, Unreached
from emblem.upstreams.http.heads import written
from emblem.upstreams.http.pool import Pool
from emblem.upstreams.http.whole import Whole

__all__ = ["Answer", "Bounds", "Client", "Endless", "Lost", "Sent", "Unreached", "most_bytes"]

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
        self._first_lines = ""
        self._pool: Pool | None = None
        self._closed = False

    async def send(self, sent: Sent) -> Answer:
        """Send a request and read its answer.

        Raises Endless as soon as too much has come, TimeoutError where the answer is not complete
        in time however steadily it trickles, Unreached, Lost where it breaks off, and ValueError for
        a header that cannot be sent.
        """
        pool = self._pool or self._begin()
        content = sent.content
        length = len(content) if content or self._method == "POST" else None
        request = written(self._first_lines, sent.headers, length) + content
        loop = asyncio.get_running_loop()
        until = loop.time() + sent.timeout_s
        try:
            whole = await self._send(pool, request, sent.most_bytes, until)
        except GivenUp:
            # Mostly a connection that was kept, and that the server gave up just now: an embedding
            # may be asked for twice.
            whole = await self._send(pool, request, sent.most_bytes, until)
        head = whole.head
        content = unpacked(whole.content, head.coding, sent.most_bytes)
        return Answer(head.status, head.headers, content)

    async def _send(self, pool: Pool, request: bytes, most_bytes: int, until: float) -> Whole:
        connection = pool.take() or await pool.connection(until)
        whole = Whole(asyncio.get_running_loop().create_future(), most_bytes)
        connection.ask(request, whole, until, self._bounds.read_timeout_s)
        try:
            await whole.done
        finally:
            connection.leave(whole)
        return whole

    def _begin(self) -> Pool:
        """Get ready, in the loop that will be used."""
        if self._closed:
            raise Lost(CLOSED_HERE)
        bounds = self._bounds
        opening = Opening(self._address, proxies=bounds.environment_proxies)
        self._first_lines = opening.first_lines(self._method)
        self._pool = Pool(opening, bounds.connect_timeout_s, IDLE_S, bounds.max_connections)
        return self._pool

    async def aclose(self) -> None:
        """Close every connection."""
        self._closed = True
        if self._pool is not None:
            await self._pool.aclose()
