"""A small server of embeddings that does what a test tells it to, however wrong."""

import base64
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np

WIDTH = 4


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server sends. ``body`` is JSON, or bytes as they are; None drops the connection.

    An iterator of bytes is sent piece by piece, until it ends or the client leaves.
    """

    status: int = 200
    body: object = None
    headers: dict[str, str] = field(default_factory=dict)


Script = Callable[[dict[str, Any]], Answer]


def vector(text: str, width: int = WIDTH) -> np.ndarray:
    """Give a unit vector that tells texts apart by their length."""
    found = np.ones(width)
    found[0] = 1 + len(text)
    return (found / np.linalg.norm(found)).astype(np.float32)


def written(row: np.ndarray, encoding: str) -> object:
    """Write a vector as a server does."""
    if encoding == "base64":
        return base64.b64encode(row.astype("<f4").tobytes()).decode()
    return [float(one) for one in row]


def items(body: dict[str, Any], width: int = WIDTH) -> list[dict[str, Any]]:
    """Give what belongs into ``data``."""
    return [
        {
            "object": "embedding",
            "index": index,
            "embedding": written(vector(text, width), body["encoding_format"]),
        }
        for index, text in enumerate(body["input"])
    ]


def reply(data: list[dict[str, Any]], tokens: int | None = 7, **headers: str) -> Answer:
    """Give a success with this ``data``."""
    usage = {} if tokens is None else {"usage": {"prompt_tokens": tokens, "total_tokens": tokens}}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(200, {"object": "list", "data": data, "model": "m", **usage}, named)


def right(body: dict[str, Any]) -> Answer:
    """Answer as one should."""
    return reply(items(body))


def refused(
    status: int, message: str, headers: dict[str, str] | None = None, **detail: Any
) -> Answer:
    """Give an error in OpenAI's shape."""
    error = {"message": message, "type": "t", "param": None, "code": None, **detail}
    return Answer(status, {"error": error}, headers or {})


class Scripted:
    """The server. ``script`` may be replaced at any time.

    ``paths``, ``bodies`` and ``headers`` came in; ``left`` counts the clients that went away while
    an answer was sent piece by piece.
    """

    def __init__(self) -> None:
        self.script: Script = right
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.left = threading.Semaphore(0)
        scripted = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # else a body waits 40 ms for its headers to be read

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                scripted.paths.append(self.path)
                scripted.bodies.append(body)
                scripted.headers.append({k.lower(): v for k, v in self.headers.items()})
                answer = scripted.script(body)
                if answer.body is None:
                    self.send_response(200)
                    self.send_header("content-length", "1000")
                    self.end_headers()
                    self.wfile.write(b'{"data":')
                    self.close_connection = True
                    return
                if isinstance(answer.body, Iterator):
                    self.send_response(answer.status)
                    self.end_headers()
                    self.close_connection = True
                    try:
                        for piece in answer.body:
                            self.wfile.write(piece)
                    except OSError:
                        scripted.left.release()
                    return
                content = (
                    answer.body
                    if isinstance(answer.body, bytes)
                    else json.dumps(answer.body).encode()
                )
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/v1"

    @contextmanager
    def serving(self) -> Iterator["Scripted"]:
        thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join()
