"""A client that speaks ASGI: what reaches the application, and when, is up to the test."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from starlette.types import ASGIApp, Message

PATIENCE_S = 30.0  # nothing waits so long unless it waits for ever
SECRET = "sk-right-key-0123456789abcdef"

Receive = Callable[[], Awaitable[Message]]


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer as it went out. ``headers`` are by their name in lower case; cookies are a line each."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        assert self.headers["content-type"] == "application/json"
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        """Give OpenAI's error object, once it has the shape that the clients read."""
        assert self.status >= 400, self.body
        assert set(self.json) == {"error"}
        error: dict[str, Any] = self.json["error"]
        assert set(error) == {"message", "type", "param", "code"}
        assert isinstance(error["message"], str)
        assert error["message"]
        assert isinstance(error["type"], str)
        assert all(error[field] is None or isinstance(error[field], str) for field in error)
        return error


def arriving(*chunks: bytes) -> Receive:
    """Let a body arrive in these parts; the client then waits for its answer."""
    left = list(chunks or (b"",))

    async def receive() -> Message:
        if left:
            chunk = left.pop(0)
            return {"type": "http.request", "body": chunk, "more_body": bool(left)}
        await asyncio.get_running_loop().create_future()  # for ever
        raise AssertionError

    return receive


async def untouched() -> Message:
    """Fail whoever reads the body."""
    raise AssertionError("the body was read")


def scope_of(method: str, path: str, headers: Mapping[str, str]) -> dict[str, Any]:
    path, _, query = path.partition("?")
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": unquote(path),
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": query.encode(),
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
        "client": ("127.0.0.1", 50000),
        "server": ("127.0.0.1", 8080),
    }


async def reply_to(
    app: ASGIApp,
    method: str,
    path: str,
    receive: Receive,
    headers: Mapping[str, str],
) -> Reply | None:
    """Send one request and give its answer, or None where there was none."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async with asyncio.timeout(PATIENCE_S):
        await app(scope_of(method, path, headers), receive, send)
    if not sent:
        return None
    start, *parts = sent
    assert start["type"] == "http.response.start"
    given = [(name.decode(), value.decode()) for name, value in start["headers"]]
    cookies = [value for name, value in given if name == "set-cookie"]
    once = [(name, value) for name, value in given if name != "set-cookie"]
    assert len(dict(once)) == len(once), "a header was sent twice"
    if cookies:
        once.append(("set-cookie", "\n".join(cookies)))
    body = b"".join(part.get("body", b"") for part in parts)
    return Reply(start["status"], dict(once), body)


def ask(
    app: ASGIApp,
    method: str,
    path: str,
    body: bytes = b"",
    *,
    key: str | None = SECRET,
    headers: Mapping[str, str] | None = None,
    receive: Receive | None = None,
) -> Reply:
    """Send one request and give its answer."""
    own = {} if key is None else {"Authorization": f"Bearer {key}"}
    every = {**own, **(headers or {})}
    reply = asyncio.run(reply_to(app, method, path, receive or arriving(body), every))
    assert reply is not None
    return reply


def post(app: ASGIApp, body: Any, path: str = "/v1/embeddings", **more: Any) -> Reply:
    """Post JSON, or bytes as they are, to the embeddings route."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return ask(app, "POST", path, content, **more)


def get(app: ASGIApp, path: str, **more: Any) -> Reply:
    return ask(app, "GET", path, **more)
