"""What goes over the connection, step by step, with what is wrong with it. Pure: nothing is sent here."""

import json
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import formatdate
from functools import cache
from http import HTTPStatus
from types import MappingProxyType

from emblem.upstreams.misbehaving.faults import Fault

BIG_BYTES = 10 << 20
BOMB_BYTES = 16 << 20
HUGE_HEADERS = 256  # of 8 kB each
HTML = b"<!doctype html><html><head><title>Bad gateway</title></head><body>nginx</body></html>"

Headers = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Reply:
    """A right answer: a status, what is said in headers, and a body."""

    status: int
    body: bytes
    headers: Headers = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class Send:
    """Write bytes."""

    content: bytes


@dataclass(frozen=True, slots=True)
class Trickle:
    """Write bytes one by one."""

    content: bytes


@dataclass(frozen=True, slots=True)
class Wait:
    """Do nothing for a while that the server's manners have."""


@dataclass(frozen=True, slots=True)
class Hang:
    """Do nothing until the client leaves."""


@dataclass(frozen=True, slots=True)
class Reset:
    """Break the connection off, so that the client gets an error."""


@dataclass(frozen=True, slots=True)
class Close:
    """End the connection in order."""


Step = Send | Trickle | Wait | Hang | Reset | Close


@dataclass(frozen=True, slots=True)
class Request:
    """What an answer may depend on: the request's headers, and whether its connection is used again.

    ``now`` is in seconds of the epoch, ``elsewhere`` a URL of another host.
    """

    headers: Headers
    reused: bool
    now: float
    elsewhere: str


def json_reply(status: int, value: object, headers: Headers | None = None) -> Reply:
    """Give an answer in JSON."""
    said = {"content-type": "application/json", **(headers or {})}
    return Reply(status, json.dumps(value).encode(), said)


def refusal(status: int, message: str, headers: Headers | None = None) -> Reply:
    """Give an error in OpenAI's form."""
    kind = "invalid_request_error" if status < 500 and status != 429 else "server_error"
    error = {"message": message, "type": kind, "param": None, "code": None}
    return json_reply(status, {"error": error}, headers)


def refused(fault: Fault, request: Request) -> Reply | None:
    """Give the answer of a fault that refuses; None for one that answers with vectors."""
    if fault in _BUSY:
        after = _BUSY[fault](request.now)
        return refusal(429, "Rate limit reached.", {"retry-after": after} if after else {})
    html = {"content-type": "text/html"}
    key = request.headers.get("authorization", "").partition(" ")[2]
    match fault:
        case Fault.ERROR_500 | Fault.ERROR_502 | Fault.ERROR_529:
            return Reply(int(fault), HTML, html)
        case Fault.ERROR_503:
            return refusal(503, "The model is loading.", {"retry-after": "1"})
        case Fault.BIG_ERROR:
            return Reply(500, HTML + b" " * BIG_BYTES, html)
        case Fault.KEY_ECHO:
            key = key or request.headers.get("api-key", "")
            return refusal(401, f"Incorrect API key provided: {key}. Bearer {key} is unknown.")
        case Fault.HEADER_ECHO:
            said = "\n".join(f"{name}: {value}" for name, value in request.headers.items())
            return Reply(500, said.encode("latin-1", "replace"), {"content-type": "text/plain"})
        case Fault.REDIRECT:
            return Reply(307, b"", {"location": request.elsewhere})
        case Fault.NOT_FOUND:
            return refusal(404, "The model does not exist or you do not have access to it.")
        case Fault.REFUSED:
            return refusal(400, "This request is refused for no reason.")
    return None


def _date(now: float) -> str:
    return formatdate(now + 1, usegmt=True)


_BUSY: Mapping[Fault, Callable[[float], str]] = MappingProxyType(
    {
        Fault.BUSY: lambda _: "",
        Fault.BUSY_SECONDS: lambda _: "1",
        Fault.BUSY_DATE: _date,
        Fault.BUSY_HUGE: lambda _: "86400",
        Fault.BUSY_NEGATIVE: lambda _: "-5",
        Fault.BUSY_GARBAGE: lambda _: "soon",
    }
)


def steps(fault: Fault, reply: Reply, unasked: Reply, request: Request) -> Iterator[Step]:
    """Say what is done to send an answer with a fault; after the last step the connection stays.

    ``unasked`` is what is sent where nobody asked for it.
    """
    if fault in _BEFORE:
        yield from _BEFORE[fault]
    elif fault is Fault.CLOSE_REUSED and request.reused:
        yield Close()
    elif fault in (Fault.GZIP_BOMB, Fault.BAD_GZIP):
        content = _bomb() if fault is Fault.GZIP_BOMB else reply.body
        said = {**reply.headers, "content-encoding": "gzip"}
        yield Send(plain(Reply(reply.status, content, said)))
    elif fault is Fault.HUGE_HEADERS:
        many = {f"x-padding-{number}": "p" * 8192 for number in range(HUGE_HEADERS)}
        yield Send(plain(Reply(reply.status, reply.body, {**reply.headers, **many})))
    elif fault is Fault.UNASKED:
        yield Send(plain(reply) + plain(unasked))
    elif fault is Fault.TRICKLE:
        yield Send(_head(reply, len(reply.body)))
        yield Trickle(reply.body)
    else:
        if fault is Fault.SLOW:
            yield Wait()
        yield from _broken(fault, reply)


@cache
def _bomb() -> bytes:
    """Compress 16 MB of spaces: one part of them, again and again, which takes no time."""
    part = b" " * (1 << 20)
    packing = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    packed = packing.compress(part) + packing.flush(zlib.Z_FULL_FLUSH)
    parts = BOMB_BYTES // len(part)
    checksum = 0
    for _ in range(parts):
        checksum = zlib.crc32(part, checksum)
    end = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS).flush()
    head = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
    return head + packed * parts + end + struct.pack("<II", checksum, BOMB_BYTES)


_BEFORE: Mapping[Fault, Sequence[Step]] = MappingProxyType(
    {
        Fault.NOT_HTTP: (Send(b"220 mail.example.com ESMTP ready\r\n"), Close()),
        Fault.HANG: (Hang(),),
        Fault.RESET: (Reset(),),
        Fault.CLOSE: (Close(),),
    }
)


def _broken(fault: Fault, reply: Reply) -> Iterator[Step]:
    """Send an answer whose body ends where it must not."""
    body = reply.body
    half, whole = body[: len(body) // 2], len(body)
    match fault:
        case Fault.TRUNCATED:
            yield from (Send(_head(reply, whole) + half), Close())
        case Fault.LENGTH_LONG:
            yield from (Send(_head(reply, whole + 10) + body), Close())
        case Fault.LENGTH_SHORT:
            yield from (Send(_head(reply, max(1, whole - 10)) + body), Close())
        case Fault.BAD_CHUNK:
            yield from (Send(_head(reply, None) + b"many\r\n" + body + b"\r\n0\r\n\r\n"), Close())
        case Fault.CHUNK_CUT:
            chunk = f"{whole:x}\r\n".encode() + body + b"\r\n"
            yield from (Send(_head(reply, None) + chunk), Close())
        case Fault.HANG_BODY:
            yield from (Send(_head(reply, whole) + half), Hang())
        case Fault.RESET_BODY:
            yield from (Send(_head(reply, whole) + half), Reset())
        case Fault.CLOSE_IDLE:
            yield from (Send(plain(reply)), Close())
        case _:
            yield Send(plain(reply))


def plain(reply: Reply) -> bytes:
    """Write an answer as it should be."""
    return _head(reply, len(reply.body)) + reply.body


def _head(reply: Reply, length: int | None) -> bytes:
    """Write the status and the headers; without a length the body comes in chunks."""
    known = reply.status in set(HTTPStatus)
    phrase = HTTPStatus(reply.status).phrase if known else "Overloaded"
    sized = {"transfer-encoding": "chunked"} if length is None else {"content-length": str(length)}
    lines = [f"{name}: {value}" for name, value in {**reply.headers, **sized}.items()]
    return "\r\n".join([f"HTTP/1.1 {reply.status} {phrase}", *lines, "", ""]).encode("latin-1")
