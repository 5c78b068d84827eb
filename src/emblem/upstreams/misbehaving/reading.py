"""Reading requests off a connection: HTTP/1.1, as clients of embeddings send it."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

MAX_BODY_BYTES = 256 << 20


class NoRequest(Exception):
    """What came is no request of HTTP/1.1."""


@dataclass(frozen=True, slots=True)
class Incoming:
    """A request that came whole. Names of headers are in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


async def incoming(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Incoming | None:
    """Read the next request; None where the client has left. Raises NoRequest."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    except asyncio.LimitOverrunError:
        raise NoRequest("the headers are too long") from None
    first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    words = first.split(" ")
    if len(words) != 3:
        raise NoRequest(f"{first[:40]!r} is no request")
    pairs = (line.partition(":") for line in lines)
    headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
    if headers.get("expect", "").lower() == "100-continue":
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    try:
        body = await _body(reader, headers)
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    return Incoming(words[0], unquote(urlsplit(words[1]).path), headers, body)


async def _body(reader: asyncio.StreamReader, headers: Mapping[str, str]) -> bytes:
    if "chunked" in headers.get("transfer-encoding", "").lower():
        return await _chunks(reader)
    length = headers.get("content-length", "0")
    if not length.isdigit() or int(length) > MAX_BODY_BYTES:
        raise NoRequest("the content-length is no length")
    return await reader.readexactly(int(length))


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    content = bytearray()
    while True:
        size = (await reader.readuntil(b"\r\n")).split(b";")[0].strip()
        try:
            length = int(size, 16)
        except ValueError:
            raise NoRequest("a chunk has no length") from None
        if len(content) + length > MAX_BODY_BYTES:
            raise NoRequest("the body is too long")
        if not length:
            while await reader.readuntil(b"\r\n") != b"\r\n":
                pass
            return bytes(content)
        content += await reader.readexactly(length)
        await reader.readexactly(2)
