"""A connection: reads requests, has them answered one after the other, and closes when it should."""

import asyncio
from collections import deque
from typing import Protocol, cast
from urllib.parse import unquote

import httptools
from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser
from starlette.types import Scope

from emblem.api.problems import Problem, invalid, problem_of, too_large_head
from emblem.errors import Overloaded
from emblem.http1.exchange import Exchange, head_of

MAX_HEADERS = 100
MAX_HEAD_BYTES = 64 * 1024  # of the first line and the headers of a request
HELD_BYTES = 64 * 1024  # of a body that nobody takes, after which no more of it is read
SPARE_BYTES = 1024 * 1024  # of a body that are read after its answer, to keep the connection
LINGER_S = 2.0  # for a client to read an answer, and to stop sending what nobody reads any more

# Headers of an offer to go on in another protocol; ``connection`` names them.
_OFFER = (b"upgrade", b"http2-settings")
_ASGI = {"version": "3.0", "spec_version": "2.3"}


class House(Protocol):
    """What the connections of a process share."""

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop of all of them."""

    @property
    def date(self) -> bytes:
        """The line of an answer that says when it was made."""

    @property
    def full(self) -> bool:
        """Whether there are more connections than there may be."""

    def came(self, connection: "Connection") -> None:
        """Take note of a connection."""

    def left(self, connection: "Connection") -> None:
        """Let go of a connection."""

    def answer(self, exchange: Exchange) -> None:
        """Have a request answered."""


class Connection(asyncio.Protocol):
    """Reads the requests of a client. Used on one event loop.

    ``waits_since`` is the time of the loop since when the client owes the head of a request; None
    while it is the server's turn, or a body's, for whose time the application sees.
    """

    def __init__(self, house: House) -> None:
        self._house = house
        self._exchanges: deque[Exchange] = deque()  # the first is being answered
        self._read: Exchange | None = None  # the one whose body is coming
        self._head_bytes = 0
        self._spare_bytes = 0
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._expects = False
        self._ending = False  # with what is being answered
        self._leaving = False
        self._paused = False
        self.room: asyncio.Event | None = None
        self.waits_since: float | None = None

    # -- the transport ----------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take a connection, unless there are too many."""
        self._transport = cast("asyncio.Transport", transport)
        self._parser = HttpRequestParser(self)
        self._server = _address(transport.get_extra_info("sockname"))
        self._client = _address(transport.get_extra_info("peername"))
        self._scheme = "https" if transport.get_extra_info("sslcontext") else "http"
        self.waits_since = self._house.loop.time()
        self._house.came(self)
        if self._house.full:
            full = Overloaded("There are too many connections. Please try again later.", 1)
            self.refuse(problem_of(full, ""))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's own
        """Let whoever answers know that the client has gone."""
        self._leaving = True
        self._house.left(self)
        for one in self._exchanges:
            one.lose()
        self.resume_writing()

    def pause_writing(self) -> None:
        """Have answers wait until the client has read."""
        self.room = asyncio.Event()

    def resume_writing(self) -> None:
        """Have answers go on."""
        if self.room is not None:
            self.room.set()
            self.room = None

    def data_received(self, data: bytes) -> None:
        """Read what came."""
        if self._leaving:
            return
        if self._read is None:
            if not self._head_bytes and self.waits_since is not None:
                self.waits_since = self._house.loop.time()
            self._head_bytes += len(data)
        try:
            self._feed(data)
        except HttpParserError:
            if self._head_bytes > MAX_HEAD_BYTES or len(self._headers) > MAX_HEADERS:
                self._refuse_next(too_large_head(MAX_HEADERS, MAX_HEAD_BYTES))
            else:
                self._refuse_next(invalid("What came is no HTTP/1.1 request, or breaks its rules."))
        else:
            if self._read is None and self._head_bytes > MAX_HEAD_BYTES:
                self._refuse_next(too_large_head(MAX_HEADERS, MAX_HEAD_BYTES))
        self._regulate()

    def _feed(self, data: bytes) -> None:
        """Parse; a request that offers another protocol is read again without its offer.

        httptools takes what follows such a head for that protocol, a body too (MagicStack/httptools,
        Kludex/uvicorn#2722). RFC 9110, 7.8: an offer may be ignored.
        """
        while data:
            try:
                self._parser.feed_data(data)
            except HttpParserUpgrade as offer:
                if self._parser.get_method() == b"CONNECT":
                    raise HttpParserError("there is nobody to connect to") from None
                data = self._without_offer() + data[offer.args[0] :]
                self._parser = HttpRequestParser(self)
            else:
                return

    def _without_offer(self) -> bytes:
        head = [b"%b %b HTTP/1.1\r\n" % (self._parser.get_method(), self._url)]
        for name, value in self._headers:
            if name == b"connection":
                kept = [one for one in value.split(b",") if one.strip().lower() not in _OFFER]
                head.append(b"connection: %b\r\n" % b",".join(kept))
            elif name not in _OFFER:
                head.append(b"%b: %b\r\n" % (name, value))
        return b"".join(head) + b"\r\n"

    def _regulate(self) -> None:
        """Read on only where there is a use for it; a client that leaves is then noticed later."""
        held = self._read is not None and self._read.held_bytes > HELD_BYTES
        enough = held or self._ending or len(self._exchanges) > 1
        pause = enough and not self._leaving
        if pause is not self._paused and not self._transport.is_closing():
            self._paused = pause
            if pause:
                self._transport.pause_reading()
            else:
                self._transport.resume_reading()

    # -- the parser -------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """Begin to read a request."""
        self._url, self._headers, self._expects = b"", [], False

    def on_url(self, url: bytes) -> None:
        """Take a part of what is asked for."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header. What is raised here the parser gives on as an error of its own."""
        name = name.lower()
        if name == b"expect" and value.lower() == b"100-continue":
            self._expects = True
        self._headers.append((name, value))
        if len(self._headers) > MAX_HEADERS:
            raise ValueError("too many headers")

    def on_headers_complete(self) -> None:
        """Have a request answered, once those before it are."""
        parser = self._parser
        if parser.should_upgrade() or self._ending or self._leaving:
            return
        version = parser.get_http_version()
        keep_alive = version == "1.1" and parser.should_keep_alive()
        scope = self._scope(parser.get_method().decode("ascii"), version)
        made = Exchange(self, scope, keep_alive=keep_alive, expects=self._expects)
        self.waits_since = None
        self._read = made
        self._exchanges.append(made)
        if len(self._exchanges) == 1:
            self._house.answer(made)

    def _scope(self, method: str, version: str) -> Scope:
        url = self._url
        if url.startswith(b"/"):
            raw_path, _, query = url.partition(b"?")
        else:  # with the name of a host, as a proxy is asked
            parsed = httptools.parse_url(url)
            raw_path, query = parsed.path or b"/", parsed.query or b""
        path = raw_path.decode("utf-8", "replace")
        return {
            "type": "http", "asgi": _ASGI, "http_version": version, "method": method,
            "scheme": self._scheme, "path": unquote(path) if "%" in path else path,
            "raw_path": raw_path, "query_string": query, "root_path": "",
            "headers": self._headers, "client": self._client, "server": self._server,
        }  # fmt: skip

    def on_body(self, body: bytes) -> None:
        """Take a part of a request's body; throw it away once the request is answered."""
        if self._read is None or self._leaving:
            return
        if not self._read.complete:
            self._read.came(body)
            return
        self._spare_bytes += len(body)
        if self._spare_bytes > SPARE_BYTES:
            self._linger()

    def on_message_complete(self) -> None:
        """Take note that all of a request is here."""
        if self._read is not None:
            self._read.end()
            self._read = None
            self._head_bytes = 0

    # -- the exchange -----------------------------------------------------------------------------

    @property
    def date(self) -> bytes:
        """The line of an answer that says when it was made."""
        return self._house.date

    def write(self, data: bytes) -> None:
        """Send bytes."""
        self._transport.write(data)

    def took(self) -> None:
        """Read on, where that waited for the application."""
        if self._paused:
            self._regulate()

    def done(self) -> None:
        """Go on after an answer: with the next request, or with none."""
        ended = self._exchanges.popleft()
        self._spare_bytes = 0
        if not ended.keep_alive:
            self._leave() if ended.whole else self._linger()
        elif self._exchanges:
            self._house.answer(self._exchanges[0])
        elif self._ending:
            self._leave()
        else:
            self.waits_since = self._house.loop.time()
        if self._paused:
            self._regulate()

    def refuse(self, problem: Problem) -> None:
        """Answer in place of the application, and close."""
        for one in self._exchanges:
            one.lose()
        self._exchanges.clear()
        body = problem.body
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)),
            *(one for one in problem.headers if one[0] != b"connection"),
            (b"connection", b"close"),
        ]
        self._transport.write(head_of(problem.status, self.date, headers) + body)
        self._linger()

    def abort(self) -> None:
        """Close at once, so that the client sees that the answer is broken."""
        self._leaving = True
        self._transport.abort()

    def _refuse_next(self, problem: Problem) -> None:
        """Refuse what cannot be read; whatever came whole before it is answered, and nothing after."""
        if self._read is not None and not self._read.begun:
            self._read.lose()
            self._exchanges.pop()
            self._read = None
        if self._read is not None and self._read.complete:  # it has its answer, and no other
            self._linger()
        elif self._exchanges:
            self.end()
        else:
            self.refuse(problem)

    # -- the end ----------------------------------------------------------------------------------

    def end(self) -> None:
        """Close once what has come is answered."""
        self._ending = True
        if self._exchanges:
            self._exchanges[-1].keep_alive = False
        else:
            self._leave()

    def _leave(self) -> None:
        self._leaving = True
        self.waits_since = None
        self._transport.close()

    def _linger(self) -> None:
        """Close once the client does, or after a while: more may be coming from it.

        A socket that is closed with something unread in it takes back what was sent.
        """
        if not self._transport.can_write_eof() or self._transport.is_closing():
            self._leave()
            return
        self._leaving = True
        self.waits_since = None
        self._regulate()
        self._transport.write_eof()
        self._house.loop.call_later(LINGER_S, self._transport.close)


def _address(given: object) -> tuple[str, int] | None:
    """Give the host and the port of an address of the internet."""
    return (given[0], given[1]) if isinstance(given, tuple) else None
