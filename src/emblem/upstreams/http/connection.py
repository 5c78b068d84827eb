"""A connection: one request and its answer at a time, and nothing that was not asked for.

What comes while nobody waits for an answer closes it, as does everything that is not understood, and
whatever would leave in doubt which answer is meant for which request.
"""

import asyncio
import select
from collections.abc import Callable
from math import inf
from typing import Protocol, cast

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from emblem.upstreams.http.failures import (
    CLOSED,
    CLOSED_HERE,
    NO_HTTP,
    Endless,
    GivenUp,
    Lost,
    why,
)
from emblem.upstreams.http.heads import MAX_HEAD_BYTES, MAX_HEADERS, Head, head

MAX_HINTS = 32  # heads before the one of the answer, such as 103

_SWITCHING = 101
_POLL = hasattr(select, "poll")  # Windows has none


class Answering(Protocol):
    """Who waits for an answer. Nothing of it is called after ``ended`` or ``failed``."""

    def begun(self, head: Head) -> None:
        """Take the head. Raises Endless for an answer that is not wanted."""

    def came(self, part: bytes) -> None:
        """Take a part of the body. Raises Endless where it is too long."""

    def ended(self) -> None:
        """Take note that all of it came."""

    def failed(self, error: Exception) -> None:
        """Take note that no more of it comes, and why."""


class Keeping(Protocol):
    """What keeps connections."""

    def keep(self, connection: "Connection") -> None:
        """Take a connection of which an answer has come whole."""

    def left(self, connection: "Connection") -> None:
        """Let go of a connection that has ended."""


class Connection(asyncio.BufferedProtocol):
    """Sends requests, one after the other, and reads their answers. Used on one event loop.

    It closes when nobody uses it for ``idle_s``. What comes is read into ``room``, which connections
    of one event loop may share: memory of its own for every read may take 15 µs to get and give back.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, keeping: Keeping, idle_s: float, room: memoryview
    ) -> None:
        self._loop = loop
        self._keeping = keeping
        self._idle_s = idle_s
        self._room = room
        self._transport: asyncio.Transport | None = None
        self._socket: asyncio.Transport | None = None  # the same, but for TLS
        self._readable: Callable[[int], object] | None = None
        self.over = False  # nothing can be asked any more
        self.lost = False  # and it is closed
        # Of the answer that is waited for.
        self._answering: Answering | None = None
        self._parser: HttpResponseParser | None = None
        self._lines: list[tuple[bytes, bytes]] = []
        self._loose_bytes = 0  # since the request, or a part of a body
        self._head_bytes = 0
        self._hints = 0
        self._head: Head | None = None
        self._keeps = False
        # Time.
        self._timer: asyncio.TimerHandle | None = None
        self._until = inf
        self._pause_s = inf
        self._heard = loop.time()  # when the last bytes came, or went
        self._unsent = False
        self._paused = False

    # -- the transport ----------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take a connection without TLS."""
        self.begin(cast("asyncio.Transport", transport), cast("asyncio.Transport", transport))

    def begin(self, socket: asyncio.Transport, transport: asyncio.Transport) -> None:
        """Take what carries bytes: the transport of the socket, and that of TLS where there is one."""
        self._socket, self._transport = socket, transport
        if self.over:
            socket.abort()
            return
        transport.set_write_buffer_limits(high=0)  # to know when all of a request is sent
        if _POLL:
            poll = select.poll()
            poll.register(socket.get_extra_info("socket"), select.POLLIN)
            self._readable = poll.poll

    def pause_writing(self) -> None:
        """Take note that the server takes its time to read."""
        self._unsent = True

    def resume_writing(self) -> None:
        """Take note that all of the request is sent."""
        self._unsent = False
        self._heard = self._loop.time()

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's own
        """Give where to put what comes."""
        return self._room

    def buffer_updated(self, nbytes: int) -> None:
        """Read what came."""
        parser = self._parser
        if parser is None:
            self.abort()
            return
        self._heard = self._loop.time()
        self._loose_bytes += nbytes
        try:
            parser.feed_data(self._room[:nbytes])
        except (HttpParserError, HttpParserUpgrade):
            self.fail(Lost(NO_HTTP))
        else:
            if self._loose_bytes > MAX_HEAD_BYTES:
                self.fail(Lost(NO_HTTP))

    def eof_received(self) -> None:
        """End an answer whose end nothing else says; whatever else is waited for does not come."""
        self.over = True
        if self._head is not None and self._head.to_the_end:
            self._end()
        else:  # at once: a transport by itself would first send what is not sent yet
            self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Let whoever waits know that no more comes."""
        self.over = self.lost = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        begun = self._head is not None
        answering = self._forget()
        self._keeping.left(self)
        self._readable = None
        if answering is not None:
            text = CLOSED if exc is None or begun else why(exc)
            answering.failed(Lost(text) if begun else GivenUp(text))

    # -- the parser -------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """Begin to read an answer, or a head before it. What is raised ends the parser's work."""
        if self._answering is None:
            raise ValueError("nobody asked for it")
        self._lines = []

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header, and none that follows a body."""
        if self._head is not None:
            return
        self._head_bytes += len(name) + len(value)
        if self._head_bytes > MAX_HEAD_BYTES or len(self._lines) >= MAX_HEADERS:
            raise ValueError("too large a head")
        self._lines.append((name.lower(), value.strip(b" \t")))

    def on_headers_complete(self) -> None:
        """Take the head of the answer; those before it say nothing that is of use."""
        parser, answering = self._parser, self._answering
        if parser is None or answering is None:
            raise ValueError("nobody asked for it")
        status = parser.get_status_code()
        if status < 200:
            self._hints += 1
            if status < 100 or status == _SWITCHING or self._hints > MAX_HINTS:
                raise ValueError("no answer")
            return
        self._head = read = head(status, parser.get_http_version(), self._lines)
        self._keeps = parser.should_keep_alive()
        try:
            answering.begun(read)
        except Endless as error:
            self.fail(error)
            raise

    def on_body(self, part: bytes) -> None:
        """Take a part of the body."""
        answering = self._answering
        if self._head is None or answering is None:
            raise ValueError("a body where there is none")
        self._loose_bytes = 0
        try:
            answering.came(part)
        except Endless as error:
            self.fail(error)
            raise

    def on_message_complete(self) -> None:
        """Take note that all of an answer is here."""
        if self._head is not None:
            self._end()

    # -- whoever asks -----------------------------------------------------------------------------

    def is_quiet(self) -> bool:
        """Tell whether it can be used: it is open, and nothing came over it unasked."""
        return not self.over and not (self._readable is not None and self._readable(0))

    def ask(
        self, request: bytes, answering: Answering, until: float = inf, pause_s: float = inf
    ) -> None:
        """Send a request. Its answer must be whole ``until`` then, by the loop's clock.

        ``pause_s`` bounds any wait for some of it, once all of the request is sent. Raises GivenUp
        where the connection has ended.
        """
        if self.over or self._transport is None:
            raise GivenUp(CLOSED)
        self._answering = answering
        self._parser = HttpResponseParser(self)
        self._head, self._hints, self._loose_bytes, self._head_bytes = None, 0, 0, 0
        self._until, self._pause_s = until, pause_s
        self._heard = self._loop.time()
        self._watch()
        self._transport.write(request)

    def leave(self, answering: Answering) -> None:
        """Let go of an answer. If it is still waited for, the connection is not used again."""
        if self._answering is answering:
            self._forget()
            self.abort()

    def pause(self) -> None:
        """Read no more until ``resume``."""
        if not self._paused and not self.over and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        """Read on."""
        if self._paused and self._transport is not None:
            self._paused = False
            if not self.over:
                self._transport.resume_reading()

    def fail(self, error: Exception) -> None:
        """Close, and let whoever waits know why."""
        answering = self._forget()
        self.abort()
        if answering is not None:
            answering.failed(error)

    def close(self) -> None:
        """Close although an answer may be waited for."""
        self.fail(Lost(CLOSED_HERE))

    def abort(self) -> None:
        """Close at once. Where that comes before the connection is made, that is done then."""
        self.over = True
        if self._socket is not None:
            self._socket.abort()

    def _end(self) -> None:
        """Hand over an answer, and keep the connection where its end is beyond doubt."""
        answering, keeps = self._answering, self._keeps
        self._forget()
        if keeps and not self.over and not self._is_unsent():
            self.resume()
            self._watch()
            self._keeping.keep(self)
        else:  # an answer to half a request, too: what follows of it might be read as the next one
            self.abort()
        if answering is not None:
            answering.ended()

    def _forget(self) -> Answering | None:
        answering, self._answering = self._answering, None
        self._head = None
        self._parser = None  # which has the connection: nobody is to look for both
        self._lines = []
        return answering

    def _is_unsent(self) -> bool:
        socket, transport = self._socket, self._transport
        if socket is None or transport is None:
            return True
        return bool(socket.get_write_buffer_size() or transport.get_write_buffer_size())

    # -- time -------------------------------------------------------------------------------------

    def _due(self) -> float:
        """Give when to close, unless something happens before."""
        if self._answering is None:
            return self._heard + self._idle_s
        if self._unsent:
            return self._until
        return min(self._until, self._heard + self._pause_s)

    def _watch(self) -> None:
        """Look again when it is due, or before: a timer that is there already is left alone."""
        due = self._due()
        if self._timer is not None:
            if self._timer.when() <= due:
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(due, self._look) if due < inf else None

    def _look(self) -> None:
        self._timer = None
        if self._loop.time() < self._due():
            self._watch()
        elif self._answering is None:
            self.abort()
        else:
            self.fail(TimeoutError())
