"""The ceiling of a static model: the same HTTP server, reading the same body behind the same key,
that answers with a constant of the size of the real answer. ``python -m benchmarks.compare.echo PORT``

The HTTP server of ``emblem serve`` as that sets it, the same look at the key, the same reading of the body.
Whatever Emblem's embeddings route takes beyond this is its own. ``EMBLEM_API_KEY`` opens it.
"""

import asyncio
import os
import socket
import sys
from tempfile import TemporaryDirectory

import numpy as np
from starlette.types import Receive, Scope, Send

from emblem.api.auth import Authenticator
from emblem.api.body import BodyReader
from emblem.api.embeddings import respond
from emblem.api.wire import EncodingFormat, encode
from emblem.cli.serve import MAX_CONNECTIONS
from emblem.config import Settings
from emblem.errors import NotAuthenticated
from emblem.http1.listener import Listener
from emblem.ledger.keyring import KeyRing
from emblem.ledger.opening import open_ledger
from emblem.ledger.secret import digest
from emblem.service import Answer
from emblem.types import Overflow

WIDTH = 256


def constant(form: EncodingFormat) -> bytes:
    """Give an answer as Emblem writes it for one text, with numbers by chance."""
    vector = np.random.default_rng(1).standard_normal((1, WIDTH)).astype(np.float32)
    vector /= np.linalg.norm(vector)
    answer = Answer("wordllama-256", vector, 12, "a space", Overflow.MEAN, ())
    body = encode(answer, form)
    return body if isinstance(body, bytes) else b"".join(body)


class Echo:
    """Reads the key and the body, and answers with a constant."""

    def __init__(self, authenticator: Authenticator, bodies: BodyReader) -> None:
        self._authenticator = authenticator
        self._bodies = bodies
        self._base64 = constant(EncodingFormat.BASE64)
        self._float = constant(EncodingFormat.FLOAT)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        try:
            await self._authenticator.visit(scope["headers"], "")
        except NotAuthenticated:
            await respond(send, 401, b"{}")
            return
        async with self._bodies.read(scope["headers"], receive) as body:
            answer = self._base64 if b'"base64"' in body else self._float
        await respond(send, 200, answer)


def _create(home: str) -> Echo:
    """Build the application, with keys as a server has them."""
    settings = Settings()
    ledger = open_ledger(Settings(home=home))
    keys = KeyRing(ledger, [digest(os.environ["EMBLEM_API_KEY"])])
    keys.open()
    most = settings.max_body_bytes
    return Echo(Authenticator(keys), BodyReader(most, settings.body_timeout_s, 8 * most))


async def serve(port: int) -> None:
    """Serve until the process is ended, set as Emblem sets it."""
    with TemporaryDirectory() as home:
        listener = Listener(_create(home), MAX_CONNECTIONS, Settings().header_timeout_s)
        server = await listener.listen(socket.create_server(("127.0.0.1", port)), None)
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
