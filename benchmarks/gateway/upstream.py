"""The upstream that both gateways ask: OpenAI's answers, made before the clock runs.

    python -m benchmarks.gateway.upstream PORT

It knows a table of vectors. The vector of a text is that of its first word, a number, so that every
answer can be checked, and costs the upstream hardly anything: a reader of JSON and a join of bytes.
"""

import base64
import sys
from zlib import crc32

import msgspec
import numpy as np
from granian.constants import HTTPModes, Interfaces
from granian.log import LogLevels
from granian.server import Server
from starlette.types import Receive, Scope, Send

WIDTH = 1536
VECTORS = 256
MODEL = "text-embedding-3-small"


def table() -> np.ndarray:
    """Give (256, 1536) float32 of norm 1."""
    made = np.random.default_rng(7).standard_normal((VECTORS, WIDTH)).astype(np.float32)
    made /= np.linalg.norm(made, axis=1, keepdims=True)
    return made


def place(text: str) -> int:
    """Give which vector a text has: that of its first word, or of all of it where that is no number."""
    first = text.split(" ", 1)[0]
    return (int(first) if first.isdigit() else crc32(text.encode())) % VECTORS


class Asked(msgspec.Struct):
    """What matters of a request."""

    input: str | list[str]
    encoding_format: str | None = None


class Upstream:
    """Answers every POST."""

    def __init__(self) -> None:
        vectors = table()
        self._decoder = msgspec.json.Decoder(Asked)
        self._written = {
            "base64": [b'"%s"' % base64.b64encode(one.tobytes()) for one in vectors],
            "float": [msgspec.json.encode(one.tolist()) for one in vectors],
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        answer = self._answer(body)
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(answer)).encode()),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    def _answer(self, body: bytes) -> bytes:
        asked = self._decoder.decode(body)
        texts = [asked.input] if isinstance(asked.input, str) else asked.input
        written = self._written[asked.encoding_format or "float"]
        items = [
            b'{"object":"embedding","index":%d,"embedding":%s}' % (index, written[place(text)])
            for index, text in enumerate(texts)
        ]
        tokens = sum(len(text.split()) for text in texts)
        return (
            b'{"object":"list","data":[%s],"model":"%s","usage":{"prompt_tokens":%d,"total_tokens":%d}}'
            % (
                b",".join(items),
                MODEL.encode(),
                tokens,
                tokens,
            )
        )


def app(_: str = "") -> Upstream:
    """Build it, in granian's worker."""
    return Upstream()


if __name__ == "__main__":
    Server(
        "benchmarks.gateway.upstream:app",
        address="127.0.0.1",
        port=int(sys.argv[1]),
        interface=Interfaces.ASGINL,
        http=HTTPModes.http1,
        factory=True,
        log_level=LogLevels.error,
        backlog=1024,
    ).serve()
