"""A server that refuses everything at once: what a flood takes that is refused for nothing.

    .venv/bin/python benchmarks/refusing.py PORT

Granian as ``emblem serve`` sets it, and an application that answers with a constant 503. Emblem's own
refusals cannot take less from the cores than these.
"""

import sys

from granian.constants import HTTPModes, Interfaces
from granian.log import LogLevels
from granian.server import Server

from emblem.cli.serve import MAX_CONNECTIONS

BODY = b'{"error":{"message":"Too many.","type":"server_error","param":null,"code":"overloaded"}}'
HEADERS = [
    (b"content-type", b"application/json"),
    (b"content-length", str(len(BODY)).encode()),
    (b"retry-after", b"1"),
]


async def refuse(scope, receive, send):
    """Answer one request."""
    if scope["type"] != "http":
        while True:
            kind = (await receive())["type"]
            await send({"type": f"{kind}.complete"})
            if kind == "lifespan.shutdown":
                return
    await send({"type": "http.response.start", "status": 503, "headers": HEADERS})
    await send({"type": "http.response.body", "body": BODY})


if __name__ == "__main__":
    Server(
        "refusing",
        address="127.0.0.1",
        port=int(sys.argv[1]),
        interface=Interfaces.ASGI,
        http=HTTPModes.http1,
        websockets=False,
        backlog=MAX_CONNECTIONS,
        backpressure=MAX_CONNECTIONS,
        log_level=LogLevels.warning,
    ).serve(target_loader=lambda *_: refuse, wrap_loader=False)
