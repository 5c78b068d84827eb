"""The load generator: one thread, non-blocking sockets, bodies that were made before the clock ran.

It reads no more of an answer than tells where it ends, and keeps the bytes, or as many answers' as it is
told to, which are decoded and checked after the clock has stopped. What it costs is part of every figure; the echo of the workload
``static-base64`` says how many requests a second it can do at most.
"""

import selectors
import socket
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

CHUNK = 1 << 18
NOTHING = memoryview(b"")
OK = 200
LATE_S = 180.0  # how long after the end of the time an answer may come before it counts as an error


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back for the request of this index, and when, in seconds since the start.

    ``due`` is when the request should have been sent; ``status`` is 0 where the connection broke.
    ``kept`` tells whether the body was; where it was not, ``body`` is empty.
    """

    request: int
    due: float
    ended: float
    status: int
    body: bytes | bytearray
    kept: bool = True

    @property
    def seconds(self) -> float:
        """How long whoever asked has waited."""
        return self.ended - self.due


@dataclass(slots=True)
class Stream:
    """Requests that are sent over some connections, each as soon as one is free, in this order.

    With ``every`` they are due at fixed times, that many seconds apart, however long the answers
    take. ``seconds`` is when the last one is sent; with ``beside`` it is when the streams without
    it have had their answers. ``kept`` is how many bodies of answers with 200 are kept at least, spread
    evenly over all; where it is None, or there are no more answers, all are. Whatever the status is
    else, its body is kept.
    """

    requests: Sequence[bytes]
    connections: int
    seconds: float = 1e9
    every: float | None = None
    beside: bool = False
    kept: int | None = None
    answers: list[Answer] = field(default_factory=list)


def run(address: tuple[str, int], streams: Sequence[Stream]) -> float:
    """Send everything, fill the ``answers`` of each stream, and give the seconds it took.

    The time ends with the last answer of the streams that are not ``beside``.
    """
    return _Run(address, streams).run()


@dataclass(slots=True, eq=False)
class _Connection:
    stream: "_Sending"
    link: socket.socket | None = None
    request: int = -1
    due: float = 0.0
    unsent: memoryview = NOTHING
    blocked: bool = False  # whether it is watched for room to send
    received: bytearray = field(default_factory=bytearray)  # an answer, or what precedes its body
    chunked: bool = False
    body: bytearray | None = None  # one of a known length that is not all there
    room: memoryview = NOTHING  # what is missing of it
    status: int = 0  # 0 until the header is there


@dataclass(slots=True, eq=False)
class _Sending:
    of: Stream
    next: int = 0
    open: int = 0
    idle: deque[_Connection] = field(default_factory=deque)
    every: int = 1  # of so many bodies one is kept

    def keep(self, answer: Answer) -> None:
        """Add an answer. Where twice as many bodies are kept as must be, let go of every second."""
        answers, kept = self.of.answers, self.of.kept
        answers.append(answer)
        if kept is not None and len(answers) > 2 * kept * self.every:
            for at in range(self.every, len(answers), 2 * self.every):
                if answers[at].status == OK:
                    answers[at] = replace(answers[at], body=b"", kept=False)
            self.every *= 2


class _Run:
    def __init__(self, address: tuple[str, int], streams: Sequence[Stream]) -> None:
        self._address = address
        self._selector = selectors.DefaultSelector()
        self._sending = [_Sending(stream) for stream in streams]
        self._started = 0.0
        self._over = False  # the streams that are not beside have had their answers

    def run(self) -> float:
        for sending in self._sending:
            sending.idle.extend(_Connection(sending) for _ in range(sending.of.connections))
            for connection in sending.idle:
                self._connect(connection)
        self._started = time.perf_counter()
        while True:
            now = self._now()
            for sending in self._sending:
                self._send_due(sending, now)
            main = [one for one in self._sending if not one.of.beside]
            self._over = all(not one.open and self._done(one, now) for one in main)
            if self._over and not any(one.open for one in self._sending):
                break
            self._wait(now)
        for sending in self._sending:
            for connection in sending.idle:
                self._close(connection)
        self._selector.close()
        ended = [one.ended for sending in main for one in sending.of.answers]
        return max(ended, default=0.0)

    def _now(self) -> float:
        return time.perf_counter() - self._started

    def _done(self, sending: _Sending, now: float) -> bool:
        """Tell whether nothing more of a stream will be sent."""
        of = sending.of
        if sending.next >= len(of.requests) or now >= of.seconds:
            return True
        return of.beside and self._over

    def _due(self, sending: _Sending) -> float:
        return 0.0 if sending.of.every is None else sending.next * sending.of.every

    def _send_due(self, sending: _Sending, now: float) -> None:
        while sending.idle and not self._done(sending, now) and self._due(sending) <= now:
            connection = sending.idle.popleft()
            paced = sending.of.every is not None
            connection.due = self._due(sending) if paced else self._now()
            connection.request = sending.next
            connection.unsent = memoryview(sending.of.requests[sending.next])
            sending.next += 1
            sending.open += 1
            self._send(connection)

    def _wait(self, now: float) -> None:
        timeout = 1.0
        for sending in self._sending:
            if sending.of.every is not None and sending.idle and not self._done(sending, now):
                timeout = min(timeout, max(0.0, self._due(sending) - now))
        for key, events in self._selector.select(timeout):
            connection: _Connection = key.data
            if events & selectors.EVENT_WRITE:
                self._send(connection)
            if events & selectors.EVENT_READ:
                self._receive(connection)
        self._give_up(now)

    def _give_up(self, now: float) -> None:
        """Count what has not been answered long after it was due as broken."""
        for key in list(self._selector.get_map().values()) if now > LATE_S else ():
            connection: _Connection = key.data
            if connection.request >= 0 and now - connection.due > LATE_S:
                self._broken(connection)

    def _connect(self, connection: _Connection) -> None:
        connection.link = socket.create_connection(self._address)
        connection.link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.link.setblocking(False)
        self._selector.register(connection.link, selectors.EVENT_READ, connection)
        connection.blocked = False

    def _close(self, connection: _Connection) -> None:
        if connection.link is not None:
            self._selector.unregister(connection.link)
            connection.link.close()
            connection.link = None

    def _send(self, connection: _Connection) -> None:
        try:
            if connection.link is None:
                self._connect(connection)
            sent = connection.link.send(connection.unsent)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._broken(connection)
            return
        connection.unsent = connection.unsent[sent:]
        if connection.blocked != bool(connection.unsent):
            connection.blocked = not connection.blocked
            events = selectors.EVENT_READ | (selectors.EVENT_WRITE if connection.blocked else 0)
            self._selector.modify(connection.link, events, connection)

    def _receive(self, connection: _Connection) -> None:
        room, chunk = connection.room, b""
        try:
            if room:
                connection.room = room[connection.link.recv_into(room) :]
            else:
                chunk = connection.link.recv(CHUNK)
        except BlockingIOError:
            return
        except OSError:
            chunk = b""
        if not chunk and len(connection.room) == len(room):
            self._broken(connection)
            return
        connection.received += chunk
        body = self._whole(connection)
        if body is not None:
            self._answered(connection, body)
            self._send_due(connection.stream, self._now())

    def _whole(self, connection: _Connection) -> bytes | bytearray | None:
        """Give the body of an answer, or None where something is missing."""
        if connection.body is not None:
            return None if connection.room else connection.body
        received = connection.received
        if connection.chunked:
            return _joined(received) if received.endswith(b"\r\n0\r\n\r\n") else None
        end = received.find(b"\r\n\r\n")
        if end < 0:
            return None
        head = received[:end].lower()
        connection.status = int(head[9:12])
        at = head.find(b"\r\ncontent-length:")
        if at < 0:
            connection.chunked = True
            del received[: end + 2]  # the end of a line stays before the first chunk
            return self._whole(connection)
        length = int(head[at + 17 :].split(b"\r\n", 1)[0])
        there = memoryview(received)[end + 4 :]
        if len(there) >= length:
            return bytes(there)
        connection.body = bytearray(length)
        connection.body[: len(there)] = there
        connection.room = memoryview(connection.body)[len(there) :]
        return None

    def _answered(self, connection: _Connection, body: bytes | bytearray) -> None:
        sending, status = connection.stream, connection.status
        kept = status != OK or len(sending.of.answers) % sending.every == 0
        given = body if kept else b""
        sending.keep(Answer(connection.request, connection.due, self._now(), status, given, kept))
        connection.received, connection.body, connection.room = bytearray(), None, NOTHING
        connection.request, connection.chunked, connection.status = -1, False, 0
        sending.open -= 1
        sending.idle.append(connection)

    def _broken(self, connection: _Connection) -> None:
        """Keep a request as failed. The next one is sent by whoever sends what is due."""
        self._close(connection)
        if connection.request >= 0:
            connection.status = 0
            self._answered(connection, b"")


def _joined(chunked: bytearray) -> bytes:
    """Join the chunks of a body, before the first of which stands the end of a line."""
    parts, at = [], 2
    while True:
        line = chunked.index(b"\r\n", at)
        size = int(chunked[at:line].split(b";")[0], 16)
        if not size:
            return b"".join(parts)
        parts.append(chunked[line + 2 : line + 2 + size])
        at = line + 4 + size


def post(host: str, path: str, headers: dict[str, str], body: bytes) -> bytes:
    """Give the bytes of one HTTP request."""
    lines = [f"POST {path} HTTP/1.1", f"Host: {host}", "Content-Type: application/json"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    lines += [f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body
