"""A real server for chat and rankings, which streams as providers do and does as a test tells it."""

import json
import select
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

WORDS = ("Hello", ",", " world", "!")
USAGE = {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13}


@dataclass
class Wanted:
    """What the server is to do with the next requests."""

    status: int = 200
    body: Any = None  # instead of the right answer: JSON, or bytes as they are
    headers: dict[str, str] = field(default_factory=dict)
    usage: dict[str, int] | None = field(default_factory=lambda: dict(USAGE))
    hold_after: int | None = None  # events, before it waits for ``release``
    break_after: int | None = None  # events, before it drops the connection
    silent: bool = False  # it reads the request, and answers nothing until ``release``


class ChatUpstream:
    """The server. ``bodies``, ``headers`` and ``paths`` came in; ``left`` is set by a leaving client."""

    def __init__(self) -> None:
        self.wanted = Wanted()
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.left = threading.Event()
        self.held = threading.Event()
        self.release = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.release.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextmanager
def chat_upstream() -> Iterator[ChatUpstream]:
    """Serve on a free port until the test is over."""
    with ChatUpstream() as server:
        yield server


def events(body: dict[str, Any], usage: dict[str, int] | None) -> Iterator[bytes]:
    """Give a stream as OpenAI's documentation shows it."""
    asked = (body.get("stream_options") or {}).get("include_usage")
    told = {"usage": None} if asked and usage else {}
    for word in WORDS:
        choice = {"index": 0, "delta": {"content": word}, "finish_reason": None}
        yield _event({**_head(body), "choices": [choice], **told})
    last = {"index": 0, "delta": {}, "finish_reason": "stop"}
    yield _event({**_head(body), "choices": [last], **told})
    if asked and usage:
        yield _event({**_head(body), "choices": [], "usage": usage})
    yield b"data: [DONE]\n\n"


def _event(value: object) -> bytes:
    return b"data: " + json.dumps(value).encode() + b"\n\n"


def _head(body: dict[str, Any]) -> dict[str, Any]:
    kind = "chat.completion.chunk" if body.get("stream") else "chat.completion"
    return {"id": "chatcmpl-1", "object": kind, "created": 1, "model": f"{body['model']}-2026"}


def whole(body: dict[str, Any], usage: dict[str, int] | None) -> dict[str, Any]:
    """Give an answer that is not streamed."""
    message = {"role": "assistant", "content": "".join(WORDS)}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return {**_head(body), "choices": [choice], **({"usage": usage} if usage else {})}


def ranking(body: dict[str, Any]) -> dict[str, Any]:
    """Rank documents by their length, the longest first."""
    texts = body["documents"]
    order = sorted(range(len(texts)), key=lambda index: -len(str(texts[index])))
    results = [{"index": index, "relevance_score": len(str(texts[index])) / 100} for index in order]
    return {
        "id": "r-1",
        "model": body["model"],
        "results": results[: body.get("top_n") or len(results)],
        "usage": {"total_tokens": 21},
    }


def _handler(server: ChatUpstream) -> type[BaseHTTPRequestHandler]:  # noqa: C901 - a class in it
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            server.bodies.append(body)
            server.headers.append({name.lower(): value for name, value in self.headers.items()})
            server.paths.append(self.path)
            wanted = server.wanted
            if wanted.silent:
                self._wait()
                self.close_connection = True
            elif wanted.status != 200 or wanted.body is not None:
                self._send(wanted.status, wanted.body)
            elif self.path.endswith("/rerank"):
                self._send(200, ranking(body))
            elif body.get("stream"):
                self._stream(body)
            else:
                self._send(200, whole(body, wanted.usage))

        def _send(self, status: int, body: Any) -> None:
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            for name, value in {
                "content-type": "application/json",
                **server.wanted.headers,
            }.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def _stream(self, body: dict[str, Any]) -> None:
            wanted = server.wanted
            self.send_response(200)
            self.send_header("content-type", "text/event-stream")
            self.send_header("transfer-encoding", "chunked")
            self.send_header("set-cookie", "theirs=1")
            self.end_headers()
            for place, event in enumerate(events(body, wanted.usage)):
                if place == wanted.hold_after and not self._wait():
                    return
                if place == wanted.break_after:
                    self.close_connection = True
                    return
                self._chunk(event)
            self._chunk(b"")

        def _chunk(self, content: bytes) -> None:
            with suppress(OSError):
                self.wfile.write(f"{len(content):x}\r\n".encode() + content + b"\r\n")
                self.wfile.flush()

        def _wait(self) -> bool:
            """Wait to be released; false once the client has left."""
            server.held.set()
            while not server.release.is_set():
                readable, _, _ = select.select([self.connection], [], [], 0.02)
                if readable and not self.connection.recv(1):
                    server.left.set()
                    self.close_connection = True
                    return False
            return True

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Handler
