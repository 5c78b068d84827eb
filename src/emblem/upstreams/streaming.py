"""One HTTP request and its answer as it comes, part by part.

How connections are made, kept and read is in ``http/``. Redirects are not followed, cookies not kept.
"""

import asyncio
from collections.abc import Mapping

from emblem.upstreams.http.coming import Coming
from emblem.upstreams.http.connecting import Opening
from emblem.upstreams.http.failures import CLOSED_HERE, Lost, TooSlow
from emblem.upstreams.http.heads import written
from emblem.upstreams.http.pool import Pool

__all__ = ["Coming", "Connections"]

# For so long a connection is kept that nobody uses. Many servers give up an idle one after 5 s, and
# what is sent at that very moment is lost: a long answer is not asked for twice on that account.
IDLE_S = 4.0


class Connections:
    """Connections for requests to one address. Whoever creates it closes it.

    Used on one event loop, the one that runs at the first request.
    """

    def __init__(self, url: str, connect_timeout_s: float, *, proxies: bool = False) -> None:
        self._address = url
        self._connect_timeout_s = connect_timeout_s
        self._proxies = proxies
        self._first_lines = ""
        self._pool: Pool | None = None
        self._closed = False

    async def send(self, content: bytes, headers: Mapping[str, str]) -> Coming:
        """Send a request, and wait for the head of its answer.

        Raises Unreached, TimeoutError where there is no connection in time, Lost, and ValueError for
        a header that cannot be sent.
        """
        pool = self._pool or self._begin()
        request = written(self._first_lines, headers, len(content)) + content
        try:
            connection = pool.take() or await pool.connection()
        except TooSlow:
            raise TimeoutError from None
        coming = Coming(connection, asyncio.get_running_loop())
        connection.ask(request, coming)
        try:
            await coming.head_came
        except BaseException:
            coming.close()
            raise
        return coming

    def _begin(self) -> Pool:
        """Get ready, in the loop that will be used."""
        if self._closed:
            raise Lost(CLOSED_HERE)
        opening = Opening(self._address, proxies=self._proxies)
        self._first_lines = opening.first_lines("POST")
        self._pool = Pool(opening, self._connect_timeout_s, IDLE_S)
        return self._pool

    async def aclose(self) -> None:
        """Close every connection."""
        self._closed = True
        if self._pool is not None:
            await self._pool.aclose()
