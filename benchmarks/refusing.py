"""A server that refuses everything at once: what a flood takes that is refused for nothing.

    .venv/bin/python benchmarks/refusing.py PORT

The HTTP server of ``emblem serve``, and an application that answers with a constant 503. Emblem's own
refusals cannot take less from the cores than these.
"""

import asyncio
import socket
import sys

from emblem.cli.serve import MAX_CONNECTIONS
from emblem.http1.listener import Listener

BODY = b'{"error":{"message":"Too many.","type":"server_error","param":null,"code":"overloaded"}}'
HEADERS = [
    (b"content-type", b"application/json"),
    (b"content-length", str(len(BODY)).encode()),
    (b"retry-after", b"1"),
]


async def refuse(_scope, _receive, send):
    """Answer one request."""
    await send({"type": "http.response.start", "status": 503, "headers": HEADERS})
    await send({"type": "http.response.body", "body": BODY})


async def serve(port):
    """Serve until the process is ended."""
    listener = Listener(refuse, MAX_CONNECTIONS, 75)
    server = await listener.listen(socket.create_server(("127.0.0.1", port)), None)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
