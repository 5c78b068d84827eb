"""The ceiling of a static model: the same HTTP server, reading the same body behind the same key,
that answers with a constant of the size of the real answer. ``python -m benchmarks.compare.echo PORT``

Granian with the settings of ``emblem serve``, the same look at the key, the same reading of the body.
Whatever Emblem's embeddings route takes beyond this is its own. ``EMBLEM_API_KEY`` opens it.
"""

import os
import sys
from functools import partial
from tempfile import TemporaryDirectory

import numpy as np
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server import Server
from starlette.types import Message, Receive, Scope, Send

from emblem.api.auth import Authenticator
from emblem.api.body import BodyReader
from emblem.api.embeddings import respond
from emblem.api.wire import EncodingFormat, encode
from emblem.cli.serve import MAX_CONNECTIONS
from emblem.config import Settings
from emblem.errors import NotAuthenticated
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
        if scope["type"] != "http":
            await _lifespan(receive, send)
            return
        try:
            await self._authenticator.visit(scope["headers"], "")
        except NotAuthenticated:
            await respond(send, 401, b"{}")
            return
        async with self._bodies.read(scope["headers"], receive) as body:
            answer = self._base64 if b'"base64"' in body else self._float
        await respond(send, 200, answer)


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message: Message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


def _create(home: str, *_: object) -> Echo:
    """Build the application, with keys as a server has them."""
    settings = Settings()
    ledger = open_ledger(Settings(home=home))
    keys = KeyRing(ledger, [digest(os.environ["EMBLEM_API_KEY"])])
    keys.open()
    most = settings.max_body_bytes
    return Echo(Authenticator(keys), BodyReader(most, settings.body_timeout_s, 8 * most))


def main() -> None:
    """Serve until told to stop, set as Emblem sets it."""
    settings = Settings()
    with TemporaryDirectory() as home:
        Server(
            "benchmarks.compare.echo",
            address="127.0.0.1",
            port=int(sys.argv[1]),
            interface=Interfaces.ASGI,
            http=HTTPModes.http1,
            http1_settings=HTTP1Settings(header_read_timeout=int(1000 * settings.header_timeout_s)),
            websockets=False,
            backlog=MAX_CONNECTIONS,
            backpressure=MAX_CONNECTIONS,
            log_level=LogLevels.warning,
        ).serve(target_loader=partial(_create, home), wrap_loader=False)


if __name__ == "__main__":
    main()
