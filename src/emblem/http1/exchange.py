"""One request and its answer, as an ASGI application sees them."""

import asyncio
import logging
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Protocol

from starlette.types import ASGIApp, Message, Scope

from emblem.api.problems import Problem, internal

log = logging.getLogger(__name__)

JOINED_BYTES = 64 * 1024  # up to which a copy is cheaper than another call of the system


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


_STATUS = {
    status: f"HTTP/1.1 {status} {_phrase(status)}\r\n".encode() for status in range(200, 600)
}
_WITHOUT_BODY = (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED)
_HEEDED = frozenset((b"content-length", b"connection", b"transfer-encoding"))

Headers = Iterable[tuple[bytes, bytes]]


def head_of(status: int, date: bytes, headers: Headers) -> bytes:
    """Give the bytes of an answer's head; ``date`` is a line of its own.

    Raises ValueError where a header would begin another line, or the status would end no request.
    """
    if status not in _STATUS:
        raise ValueError(f"{status} is no status of a whole answer")
    said = [*map(b": ".join, headers), b"\r\n"]
    head = b"".join((_STATUS[status], date, b"\r\n".join(said)))
    lines = 2 + len(said)
    if head.count(b"\r") != lines or head.count(b"\n") != lines:
        raise ValueError("a header has the end of a line in it")
    return head


class Line(Protocol):
    """The connection that an exchange is on."""

    @property
    def date(self) -> bytes:
        """The line of an answer that says when it was made."""

    @property
    def room(self) -> asyncio.Event | None:
        """What is set once the client has read enough; None while there is room."""

    def write(self, data: bytes) -> None:
        """Send bytes."""

    def took(self) -> None:
        """The application has taken what there was of the request."""

    def done(self) -> None:
        """The answer that is being sent is complete."""

    def refuse(self, problem: Problem, *, silent: bool = False) -> None:
        """Answer in place of the application, with no body where that is to be silent, and close."""

    def abort(self) -> None:
        """Close at once, so that the client sees that the answer is broken."""


class Exchange:
    """What came of a request, and what goes of its answer. Used on one event loop.

    ``keep_alive`` tells whether the connection may stay, ``whole`` whether all of the request is
    here, ``begun`` and ``complete`` how far the answer is.
    """

    __slots__ = (
        "_body", "_chunked", "_chunks", "_expects", "_given", "_gone", "_head", "_heard_by",
        "_left", "_line", "_news", "_only_head", "_scope", "_silent", "begun", "complete",
        "keep_alive", "whole",
    )  # fmt: skip

    def __init__(self, line: Line, scope: Scope, *, keep_alive: bool, expects: bool) -> None:
        self._line = line
        self._scope: Scope | None = scope  # until the application has it
        self._only_head = scope["method"] == "HEAD"
        self._chunks = scope["http_version"] == "1.1"  # are known to the client
        self._expects = expects  # to be told to go on before it sends the body
        self._body = b""
        self._given = False  # all of the request to the application
        self._gone = False
        self._news: asyncio.Event | None = None
        self._heard_by: Callable[[], object] | None = None
        self._head: bytes | None = None
        self._silent = self._chunked = False
        self._left: int | None = None  # bytes of the body that were announced, and are not sent yet
        self.keep_alive = keep_alive
        self.whole = self.begun = self.complete = False

    @property
    def held_bytes(self) -> int:
        """What the application has not taken yet of the request."""
        return len(self._body)

    def came(self, body: bytes) -> None:
        """Take a part of the request's body."""
        self._body = self._body + body if self._body else body
        self._tell()

    def end(self) -> None:
        """Take note that all of the request is here."""
        self.whole = True
        self._tell()

    def lose(self) -> None:
        """Take note that the client has gone, or is not to be answered by the application."""
        self._gone = True
        self._tell()
        strike, self._heard_by = self._heard_by, None
        if strike is not None:
            strike()

    def hear(self, strike: Callable[[], object]) -> Callable[[], None]:
        """Call once when the client goes, at once if it has, and not after the end of the answer.

        Gives what takes that back. An application finds this as ``scope["emblem.gone"]``, and need
        not await ``receive`` in a task of its own to hear of it. Raises RuntimeError for a second
        who wants to be called meanwhile.
        """
        if self._gone:
            strike()
        elif not self.complete:
            if self._heard_by is not None:
                raise RuntimeError("one at a time hears that a client has gone")
            self._heard_by = strike
        return self._unhear

    def _unhear(self) -> None:
        self._heard_by = None

    def _tell(self) -> None:
        if self._news is not None:
            self._news.set()

    async def run(self, app: ASGIApp) -> None:
        """Have an application answer. Whatever it leaves undone, the client does not wait for it."""
        scope, self._scope = self._scope, None  # which has this in it
        if scope is None or self._gone:  # before its turn came
            return
        scope["emblem.gone"] = self.hear
        try:
            await app(scope, self.receive, self.send)
        except Exception:
            log.exception("a request failed outside of all that answers")
        finally:
            if not self.complete and not self._gone:
                if self.begun:
                    self._line.abort()
                else:
                    self._line.refuse(internal("unknown"), silent=self._only_head)

    async def receive(self) -> Message:
        """Give the next part of the request; or once all is given, that the client has gone."""
        if self._expects:
            self._expects = False
            if not (self.begun or self.whole or self._body or self._gone):
                self._line.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        while not (self._gone or self.complete):
            if self._body or (self.whole and not self._given):
                body, self._body = self._body, b""
                self._given = self.whole
                self._line.took()
                return {"type": "http.request", "body": body, "more_body": not self.whole}
            if self._news is None:
                self._news = asyncio.Event()
            self._news.clear()
            await self._news.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """Send a part of the answer; the head goes with the first part of the body.

        Waits while the client does not read. Raises ValueError for a header that cannot be sent, and
        RuntimeError for what is out of order, or of another length than was announced.
        """
        while (room := self._line.room) is not None and not self._gone:
            await room.wait()
        if self._gone:
            return
        if message["type"] == "http.response.start":
            if self._head is not None or self.begun or self.complete:
                raise RuntimeError("an answer cannot begin twice")
            self._head = self._begin(message["status"], message.get("headers", ()))
        else:
            self._send(message.get("body", b""), message.get("more_body", False))

    def _begin(self, status: int, headers: Headers) -> bytes:
        """Give the head of an answer, and keep in mind how its body is to end."""
        self._silent = status in _WITHOUT_BODY or self._only_head
        said = list(headers)
        length = None
        for name, value in said:
            if name not in _HEEDED:
                continue
            if name == b"content-length":
                if length is not None or not value.isdigit():
                    raise ValueError("the length of an answer is one number, said once")
                length = int(value)
            elif name == b"connection" and value.lower() == b"close":
                self.keep_alive = False
            elif name == b"transfer-encoding":
                raise ValueError("how an answer is sent is not for the application to say")
        self._left, self._chunked = length, False
        if self._expects and not self.whole:  # whether the body will follow is up to the client now
            self.keep_alive = False
        if length is None and not self._silent:
            self._chunked = self._chunks
            self.keep_alive = self.keep_alive and self._chunked
            if self._chunked:
                said.append((b"transfer-encoding", b"chunked"))
        if not self.keep_alive and (b"connection", b"close") not in said:
            said.append((b"connection", b"close"))
        return head_of(status, self._line.date, said)

    def _send(self, body: bytes, more: bool) -> None:
        if self.complete or not (self.begun or self._head):
            raise RuntimeError("a body comes after its head, and ends once")
        if self._silent:
            body = b""
        elif self._chunked:
            framed = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
            body = framed if more else framed + b"0\r\n\r\n"
        elif self._left is not None:  # else it ends with the connection
            self._left -= len(body)
            if self._left < 0 or (self._left and not more):
                raise RuntimeError("the body of an answer is not as long as its head says")
        if self._head is not None:
            head, self._head = self._head, None
            self.begun = True
            if len(body) <= JOINED_BYTES:
                body = head + body
            else:
                self._line.write(head)
        if body:
            self._line.write(body)
        if not more:
            self.complete, self._body, self._heard_by = True, b"", None
            self._tell()
            self._line.done()
