"""Connections to servers, of which one is used again only where nothing came over it unasked.

Imported where the first request is sent: aiohttp takes a while to import.
"""

from typing import TYPE_CHECKING

import aiohttp

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
