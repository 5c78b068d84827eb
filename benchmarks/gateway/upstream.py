"""The upstream that both gateways ask: OpenAI's answers, made before the clock runs.

    python -m benchmarks.gateway.upstream PORT

It knows a table of vectors. The vector of a text is that of its first word, a number, so that every
answer can be checked, and costs the upstream hardly anything: a reader of JSON and a join of bytes.
It shares the processor with whoever is measured, so it speaks no more HTTP than their clients need:
one thread, non-blocking sockets, requests with a length, one at a time over a connection.
"""

import base64
import gc
import re
import selectors
import socket
import sys
from dataclasses import dataclass, field
from itertools import chain
from zlib import crc32

import msgspec
import numpy as np

WIDTH = 1536
VECTORS = 256
MOST_TEXTS = 2048
MODEL = "text-embedding-3-small"
CHUNK = 1 << 18
LENGTH = re.compile(rb"\r\nContent-Length: *([0-9]+)\r\n", re.IGNORECASE)
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
REFUSAL = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"


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
    """Writes answers, of pieces that were written before."""

    def __init__(self) -> None:
        vectors = table()
        self._decoder = msgspec.json.Decoder(Asked)
        self._vectors = {
            "base64": [b'"%s"}' % base64.b64encode(one.tobytes()) for one in vectors],
            "float": [msgspec.json.encode(one.tolist()) + b"}" for one in vectors],
        }
        item = b'{"object":"embedding","index":%d,"embedding":'
        first, others = b'{"object":"list","data":[' + item % 0, b"," + item
        self._items = [first, *(others % index for index in range(1, MOST_TEXTS))]

    def answer(self, body: bytes) -> bytes:
        """Give all of an answer, with its head. What is no request for vectors is answered with 400."""
        try:
            asked = self._decoder.decode(body)
            vectors = self._vectors[asked.encoding_format or "float"]
        except (msgspec.DecodeError, KeyError):
            return REFUSAL
        texts = [asked.input] if isinstance(asked.input, str) else asked.input
        if not 0 < len(texts) <= MOST_TEXTS:
            return REFUSAL
        words = sum([text.count(" ") + 1 for text in texts])
        last = b'],"model":"%s","usage":{"prompt_tokens":%d,"total_tokens":%d}}'
        pairs = zip(self._items, [vectors[place(text)] for text in texts], strict=False)
        parts = [b"", *chain.from_iterable(pairs), last % (MODEL.encode(), words, words)]
        parts[0] = HEAD % sum(map(len, parts))
        return b"".join(parts)


@dataclass(slots=True, eq=False)
class Connection:
    """One connection: what has come over it, and what is still to go."""

    link: socket.socket
    received: bytearray = field(default_factory=bytearray)
    unsent: memoryview = field(default_factory=lambda: memoryview(b""))

    def receive(self) -> bool:
        """Read what has come. False tells that no more will."""
        try:
            chunk = self.link.recv(CHUNK)
        except OSError:
            return False
        self.received += chunk
        return bool(chunk)

    def next(self) -> bytes | None:
        """Take the body of the next request, or give None where not all of it is there."""
        end = self.received.find(b"\r\n\r\n") + 4
        if end < 4:
            return None
        length = LENGTH.search(self.received, 0, end)
        whole = end + (int(length[1]) if length else 0)
        if len(self.received) < whole:
            return None
        body = bytes(memoryview(self.received)[end:whole])
        self.received = self.received[whole:]
        return body

    def send(self) -> bool:
        """Send what can be sent now. False tells that nobody reads it."""
        try:
            self.unsent = self.unsent[self.link.send(self.unsent) :]
        except BlockingIOError:
            pass
        except OSError:
            return False
        return True


def serve(port: int) -> None:
    """Answer on a port of loopback until the process is ended."""
    upstream, selector = Upstream(), selectors.DefaultSelector()
    listener = socket.create_server(("127.0.0.1", port), backlog=1024)
    selector.register(listener, selectors.EVENT_READ)
    while True:
        for key, _ in selector.select():
            connection: Connection | None = key.data
            if connection is None:
                link, _ = listener.accept()
                link.setblocking(False)
                link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                selector.register(link, selectors.EVENT_READ, Connection(link))
            elif not proceed(upstream, connection):
                selector.unregister(connection.link)
                connection.link.close()
            else:
                events = selectors.EVENT_WRITE if connection.unsent else selectors.EVENT_READ
                if events != key.events:
                    selector.modify(connection.link, events, connection)


def proceed(upstream: Upstream, connection: Connection) -> bool:
    """Read, answer and send what there is. False tells that the connection is of no more use."""
    if not connection.unsent:
        if not connection.receive():
            return False
        if (body := connection.next()) is None:
            return True
        connection.unsent = memoryview(upstream.answer(body))
    return connection.send()


if __name__ == "__main__":
    gc.disable()  # there is nothing that garbage could come of
    serve(int(sys.argv[1]))
