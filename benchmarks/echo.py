"""An echo to compare a server with: the same HTTP server, and next to nothing behind it.

Granian with the settings of ``emblem serve``, the same look at the key, the same reading of the
body; the answer is a constant of as many bytes as the last part of the path says, such as
``POST /v1/embeddings/2048``. Whatever Emblem's embeddings route takes beyond this is its own. Run it with

    .venv/bin/python benchmarks/echo.py --port 8001 --home .cache/test-home

and ``EMBLEM_API_KEY`` for the key that opens it.
"""

import argparse
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.server import Server
from starlette.types import Message, Receive, Scope, Send

from emblem.api.auth import Authenticator
from emblem.api.body import BodyReader
from emblem.api.embeddings import respond
from emblem.cli.serve import MAX_CONNECTIONS
from emblem.config import Settings
from emblem.errors import NotAuthenticated
from emblem.ledger.keyring import KeyRing
from emblem.ledger.secret import digest
from emblem.ledger.sqlite import SqliteLedger


@cache
def constant(size: int) -> bytes:
    """A JSON text of that many bytes."""
    return b'"' + b"a" * (size - 2) + b'"'


class Echo:
    """Reads the key and the body, and answers with a constant."""

    def __init__(self, authenticator: Authenticator, bodies: BodyReader) -> None:
        self._authenticator = authenticator
        self._bodies = bodies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await _lifespan(receive, send)
            return
        try:
            self._authenticator.principal(scope["headers"])
        except NotAuthenticated:
            await respond(send, 401, b"{}")
            return
        async with self._bodies.read(scope["headers"], receive):
            pass
        await respond(send, 200, constant(int(scope["path"].rpartition("/")[2])))


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message: Message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


def create(home: str) -> Callable[..., Any]:
    """Build the application, with keys as a server has them."""
    settings = Settings()
    ledger = SqliteLedger(Path(home) / "emblem.db")
    keys = KeyRing(ledger, [digest(os.environ["EMBLEM_API_KEY"])])
    most = settings.max_body_bytes
    return Echo(Authenticator(keys), BodyReader(most, settings.body_timeout_s, 8 * most))


def main() -> None:
    """Serve until stopped."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    settings = Settings()
    with TemporaryDirectory() as home:
        server = Server(
            "echo:create",
            address="127.0.0.1",
            port=parser.parse_args().port,
            interface=Interfaces.ASGI,
            http=HTTPModes.http1,
            http1_settings=HTTP1Settings(header_read_timeout=int(1000 * settings.header_timeout_s)),
            websockets=False,
            backlog=MAX_CONNECTIONS,
            backpressure=MAX_CONNECTIONS,
        )
        server.serve(target_loader=lambda *_: create(home), wrap_loader=False)


if __name__ == "__main__":
    main()
