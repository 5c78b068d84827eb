"""The ceiling of a static model: the same HTTP server, reading the same body behind the same key,
that answers with a constant of the size of the real answer. ``python -m benchmarks.compare.echo PORT``
"""

import json
import os
import random
import sys

import pybase64
from starlette.types import Receive, Scope, Send

WIDTH = 256


def _constant(base64: bool) -> bytes:
    chance = random.Random(1)
    numbers = [round(chance.gauss(0, 0.06), 8) for _ in range(WIDTH)]
    shown: object = numbers
    if base64:
        shown = pybase64.b64encode(random.Random(1).randbytes(4 * WIDTH)).decode()
    item = {"object": "embedding", "index": 0, "embedding": shown}
    usage = {"prompt_tokens": 12, "total_tokens": 12}
    answer = {"object": "list", "data": [item], "model": "wordllama-256", "usage": usage}
    return json.dumps(answer, separators=(",", ":")).encode()


FLOAT, BASE64 = _constant(False), _constant(True)
KEY = f"Bearer {os.environ.get('EMBLEM_API_KEY', '')}".encode()


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer everything but lifespan messages."""
    if scope["type"] != "http":
        while (message := await receive())["type"] != "lifespan.shutdown":
            await send({"type": f"{message['type']}.complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    chunks, more = [], True
    while more:
        message = await receive()
        chunks.append(message.get("body", b""))
        more = message.get("more_body", False)
    given = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
    body = b"".join(chunks)
    answer = BASE64 if b'"base64"' in body else FLOAT
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(answer)).encode()),
    ]
    status = 200 if given == KEY else 401
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": answer})


def main() -> None:
    """Serve until told to stop, set as Emblem sets it."""
    from granian.constants import HTTPModes, Interfaces
    from granian.log import LogLevels
    from granian.server import Server

    Server(
        "benchmarks.compare.echo:app",
        address="127.0.0.1",
        port=int(sys.argv[1]),
        interface=Interfaces.ASGI,
        http=HTTPModes.http1,
        websockets=False,
        backlog=8192,
        backpressure=8192,
        log_level=LogLevels.warning,
    ).serve()


if __name__ == "__main__":
    main()
