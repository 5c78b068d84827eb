"""A connection: reads requests, has them answered one after the other, and closes when it should."""

import asyncio
from collections import deque
from contextlib import suppress
from typing import Any, Protocol, cast

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

from emblem.api.problems import Problem, invalid, problem_of, too_large_head
from emblem.errors import Overloaded
from emblem.http1.exchange import Exchange, head_of
from emblem.http1.request import (
    MAX_HEAD_BYTES,
    MAX_HEADERS,
    Headers,
    scope_of,
    too_large,
    without_offer,
)

HELD_BYTES = 64 * 1024  # of a body that nobody takes, after which no more of it is read
SPARE_BYTES = 1024 * 1024  # of a body that are read after its answer, to keep the connection
MAX_AHEAD = 100  # requests that came before the first of them has its answer
LINGER_S = 2.0  # for a client to read an answer, and to stop sending what nobody reads any more

# None of what HTTP/0.9 and HTTP/2 have come to mean can be said in what is spoken here.
_VERSIONS = ("1.1", "1.0")


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
    """Reads the requests of a client. Used on one event loop."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._exchanges: deque[Exchange] = deque()  # the first is being answered
        self._read: Exchange | None = None  # the one whose body is coming
        self._head_bytes = 0  # since a request or a part of a body: of a head, chunks' or trailers
        self._spare_bytes = 0
        self._url = b""
        self._headers: Headers = []
        self._expects = False
        self._ending = False  # with what is being answered
        self._leaving = False
        self._paused = False
        self._farewell: asyncio.TimerHandle | None = None
        # Since when the client owes a head; None while it is the server's turn, or a body's, for
        # whose time the application sees.
        self._waits_since: float | None = None
        self._unread = (0, 0.0)  # what the client has not taken of answers, and since when
        self.room: asyncio.Event | None = None

    # -- the transport ----------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take a connection, unless there are too many."""
        self._transport = cast("asyncio.Transport", transport)
        self._parser = HttpRequestParser(self)
        self._scope: dict[str, Any] = {
            "scheme": "https" if transport.get_extra_info("sslcontext") else "http",
            "client": _address(transport.get_extra_info("peername")),
            "server": _address(transport.get_extra_info("sockname")),
        }
        self._waits_since = self._house.loop.time()
        self._house.came(self)
        if self._house.full:
            full = Overloaded("There are too many connections. Please try again later.", 1)
            self.refuse(problem_of(full, ""))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's own
        """Let whoever answers know that the client has gone."""
        self._leaving = True
        self._house.left(self)
        if self._farewell is not None:
            self._farewell.cancel()
        self._lose_all()
        self._read = None
        del self._parser  # which has the connection: nobody is to look for both
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
            if self._ending:
                return
            if not self._head_bytes and self._waits_since is not None:
                self._waits_since = self._house.loop.time()
        self._head_bytes += len(data)
        try:
            self._feed(data)
        except HttpParserError:
            large = too_large(self._url, self._headers)
        else:
            large = self._head_bytes > MAX_HEAD_BYTES
            if not large:
                self._regulate()
                return
        if large:
            self._refuse_next(too_large_head(MAX_HEADERS, MAX_HEAD_BYTES))
        else:
            self._refuse_next(invalid("What came is no HTTP/1.1 request, or breaks its rules."))
        self._regulate()

    def _feed(self, data: bytes) -> None:
        """Parse; a request that offers another protocol is read again without its offer.

        httptools takes what follows such a head for that protocol, a body too (MagicStack/httptools,
        Kludex/uvicorn#2722).
        """
        while data:
            parser = self._parser
            try:
                parser.feed_data(data)
            except HttpParserUpgrade as offer:
                method = parser.get_method()
                if method == b"CONNECT":
                    raise HttpParserError("there is nobody to connect to") from None
                if self._ending or self._leaving:
                    return
                version = parser.get_http_version()
                head = without_offer(method, version, self._url, self._headers)
                data = head + data[offer.args[0] :]
                self._parser = HttpRequestParser(self)
            else:
                return

    def _regulate(self) -> None:
        """Read on only where there is a use for it; a client that leaves is then noticed later."""
        if self._leaving:
            pause = False
        elif self._read is not None:
            pause = self._read.held_bytes > HELD_BYTES
        else:
            pause = self._ending or len(self._exchanges) > 1
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
        """Take a header, and none that follows a body. The parser gives on what is raised here."""
        if self._read is not None:
            return
        name, value = name.lower(), value.rstrip(b" \t")
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
        if len(self._exchanges) >= MAX_AHEAD:
            self.end()
            return
        version = parser.get_http_version()
        if version not in _VERSIONS:
            raise ValueError("another version")
        if self._head_bytes > MAX_HEAD_BYTES and too_large(self._url, self._headers):
            raise ValueError("too large a head")
        keep_alive = version == "1.1" and parser.should_keep_alive()
        method = parser.get_method().decode("ascii")
        scope = scope_of(self._scope, method, version, self._url, self._headers)
        expects = self._expects and version == "1.1"
        made = Exchange(self, scope, keep_alive=keep_alive, expects=expects)
        self._waits_since = None
        self._read = made
        self._exchanges.append(made)
        if len(self._exchanges) == 1:
            self._house.answer(made)

    def on_body(self, body: bytes) -> None:
        """Take a part of a request's body; throw it away once the request is answered."""
        if self._read is None or self._leaving:
            return
        self._head_bytes = 0
        if not self._read.complete:
            self._read.came(body)
            return
        self._spare_bytes += len(body)
        if self._spare_bytes > SPARE_BYTES:
            self._linger()

    def on_message_complete(self) -> None:
        """Take note that all of a request is here."""
        self._head_bytes = 0
        if self._read is not None:
            self._read.end()
            self._read = None

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
            more = self._ending or self._exchanges or not ended.whole  # on its way, or unread
            self._linger() if more else self._leave()
        elif self._exchanges:
            self._house.answer(self._exchanges[0])
        else:
            self._waits_since = self._house.loop.time()
        if self._paused:
            self._regulate()

    def refuse(self, problem: Problem, *, silent: bool = False) -> None:
        """Answer in place of the application, with no body where that is to be silent, and close."""
        self._lose_all()
        body = problem.body
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)),
            *(one for one in problem.headers if one[0] != b"connection"),
            (b"connection", b"close"),
        ]
        self._transport.write(
            head_of(problem.status, self.date, headers) + (b"" if silent else body)
        )
        self._linger()

    def abort(self) -> None:
        """Close at once, so that the client sees that the answer is broken."""
        self._leaving = True
        self._transport.abort()

    def _refuse_next(self, problem: Problem) -> None:
        """Refuse what cannot be read; whatever came whole before it is answered, and nothing after."""
        read = self._read
        if read is not None and read.complete:  # it has its answer, and no other
            self._linger()
            return
        if read is not None and read.begun:  # an answer to what can never be whole
            self.abort()
            return
        if read is not None:
            read.lose()
            self._exchanges.pop()
            self._read = None
        if self._exchanges:
            self.end()
        else:
            self.refuse(problem)

    def _lose_all(self) -> None:
        for one in self._exchanges:
            one.lose()
        self._exchanges.clear()

    # -- the end ----------------------------------------------------------------------------------

    def look(self, now: float, patience_s: float) -> None:
        """Close where the client takes too long: for a head, its answer, or the farewell of TLS."""
        if self._waits_since is not None and now - self._waits_since > patience_s:
            self.end()
        unread, since = self._unread
        left = self._transport.get_write_buffer_size()
        if left != unread:
            self._unread = (left, now)
        elif left:
            if now - since > patience_s:
                self.abort()
        elif self._ending and self._transport.is_closing() and now - since > LINGER_S:
            self.abort()

    def end(self) -> None:
        """Close once what has come is answered."""
        if self._leaving:
            return
        self._ending = True
        if self._exchanges:
            self._exchanges[-1].keep_alive = False
        elif self._read is not None:
            self._linger()
        else:
            self._leave()

    def _leave(self) -> None:
        self._leaving = True
        self._waits_since = None
        self._unread = (-1, 0.0)  # the time for it begins with the next look
        self._close()

    def _close(self) -> None:
        if not self._transport.is_closing():  # asyncio's TLS does not bear it twice
            self._transport.close()

    def _linger(self) -> None:
        """Close once the client does, or after a while: more may be coming from it.

        A socket that is closed with something unread in it takes back what was sent.
        """
        self._leaving = True
        self._waits_since = None
        if self._transport.is_closing():
            return
        self._regulate()
        if self._transport.can_write_eof():  # TLS cannot say that it is the end, and still listen
            with suppress(OSError):  # the client has left, and asyncio is about to notice
                self._transport.write_eof()
        self._farewell = self._house.loop.call_later(LINGER_S, self._close)


def _address(given: object) -> tuple[str, int] | None:
    """Give the host and the port of an address of the internet."""
    return (given[0], given[1]) if isinstance(given, tuple) else None
