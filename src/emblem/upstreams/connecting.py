"""Connections to servers, of which one is used again only where nothing came over it unasked.

Imported where the first request is sent: aiohttp takes a while to import.
"""

from typing import TYPE_CHECKING

import aiohttp

READ_BYTES = 1 << 18  # that are read at once
# What aiohttp would say of itself. Nothing is asked to be packed: base64 hardly gets smaller.
_UNSAID = frozenset({"User-Agent", "Accept", "Accept-Encoding"})

if TYPE_CHECKING:
    from aiohttp.client_reqrep import ConnectionKey
    from aiohttp.connector import Connection
    from aiohttp.tracing import Trace


class Connector(aiohttp.TCPConnector):
    """Lets go of a connection over which an answer came while nobody waited for one.

    aiohttp itself would take what came for the answer to the next request.
    """

    async def _get(self, key: "ConnectionKey", traces: "list[Trace]") -> "Connection | None":
        while (kept := await super()._get(key, traces)) is not None:
            protocol = kept.protocol
            if protocol is not None and not protocol.should_close:
                break
            kept.close()
        return kept


def session(
    connector: Connector, timeout: aiohttp.ClientTimeout, *, proxies: bool
) -> aiohttp.ClientSession:
    """Open a session that keeps no cookies; ``proxies`` has it use those of the environment."""
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=timeout,
        skip_auto_headers=_UNSAID,
        trust_env=proxies,
        read_bufsize=READ_BYTES,
    )
