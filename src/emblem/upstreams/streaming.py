"""One HTTP request and its answer as it comes, part by part.

The HTTP client is aiohttp, as for whole answers (``sending.py``): a connection over which more came
than was asked for is not used again, or the next request would be given what is left of this one.
Redirects are not followed, cookies not kept.
"""

from collections.abc import AsyncGenerator, Mapping
from typing import TYPE_CHECKING

from emblem.upstreams.sending import Lost, Unreached, why

if TYPE_CHECKING:  # it takes a while to import, and a server that passes nothing on does without
    import aiohttp

# For so long a connection is kept that nobody uses. Many servers give up an idle one after 5 s, and
# what is sent at that very moment is lost: a long answer is not asked for twice on that account.
IDLE_S = 4.0


class Coming:
    """An answer of which the head has come. Whoever has it closes it."""

    def __init__(self, answer: "aiohttp.ClientResponse") -> None:
        self._answer = answer
        self.status = answer.status
        self.headers: Mapping[str, str] = answer.headers

    async def parts(self) -> AsyncGenerator[bytes, None]:
        """Give what comes, as it comes. Raises Lost where that ends too early, or is damaged."""
        import aiohttp

        try:
            while part := await self._answer.content.readany():
                yield part
        except aiohttp.ClientPayloadError:
            raise Lost(
                "it was closed before the answer ended, or that cannot be unpacked"
            ) from None
        except (aiohttp.ClientError, OSError) as error:
            raise Lost(why(error)) from None

    def close(self) -> None:
        """Let go of it: a connection over which not all of it came is not used again."""
        if self._answer.content.at_eof():
            self._answer.release()
        else:
            self._answer.close()


class Connections:
    """Connections for requests to one address. Whoever creates it closes it.

    Used on one event loop, the one that runs at the first request.
    """

    def __init__(self, url: str, connect_timeout_s: float, *, proxies: bool = False) -> None:
        self._address = url
        self._connect_timeout_s = connect_timeout_s
        self._proxies = proxies
        self._session: aiohttp.ClientSession | None = None

    async def send(self, content: bytes, headers: Mapping[str, str]) -> Coming:
        """Send a request, and wait for the head of its answer.

        Raises Unreached, TimeoutError where there is no connection in time, and Lost.
        """
        import aiohttp

        session = self._session or self._begin()
        try:
            answer = await session.post(
                self._url, data=content, headers=headers, allow_redirects=False
            )
        except aiohttp.ConnectionTimeoutError:
            raise TimeoutError from None
        except aiohttp.ClientConnectorError as error:
            raise Unreached(why(error)) from None
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
        return Coming(answer)

    def _begin(self) -> "aiohttp.ClientSession":
        """Make the session, in the loop that will use it."""
        import aiohttp
        from yarl import URL

        from emblem.upstreams.connecting import Connector, session

        self._url = URL(self._address, encoded=True)
        self._session = session(
            Connector(limit=0, keepalive_timeout=IDLE_S),
            aiohttp.ClientTimeout(total=None, sock_connect=self._connect_timeout_s),
            proxies=self._proxies,
        )
        return self._session

    async def aclose(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()
