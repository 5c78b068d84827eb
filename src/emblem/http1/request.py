"""The head of a request: as an application is told of it, and as it is read without an offer in it."""

from typing import Any
from urllib.parse import unquote

import httptools
from starlette.types import Scope

MAX_HEADERS = 100
MAX_HEAD_BYTES = 64 * 1024  # of the first line and the headers of a request

Headers = list[tuple[bytes, bytes]]

# Headers of an offer to go on in another protocol; ``connection`` names them.
_OFFER = (b"upgrade", b"http2-settings")
_ASGI = {"version": "3.0", "spec_version": "2.3"}


def too_large(url: bytes, headers: Headers) -> bool:
    """Tell whether a head, or as much as there is of it, is more than is read."""
    size = len(url) + sum(len(name) + len(value) + len(": \r\n") for name, value in headers)
    return len(headers) > MAX_HEADERS or size > MAX_HEAD_BYTES


def scope_of(
    connection: dict[str, Any], method: str, version: str, url: bytes, headers: Headers
) -> Scope:
    """Give a request as ASGI tells of it; ``connection`` is what all on a connection have in common.

    Raises httptools.HttpParserError for an address that is none.
    """
    if url.startswith(b"/") or url == b"*":
        raw_path, _, query = url.partition(b"?")
    else:  # with the name of a host, as a proxy is asked
        parsed = httptools.parse_url(url)
        raw_path, query = parsed.path or b"/", parsed.query or b""
    path = raw_path.decode("utf-8", "replace")
    return {
        **connection, "type": "http", "asgi": _ASGI, "http_version": version, "method": method,
        "path": unquote(path) if "%" in path else path, "raw_path": raw_path,
        "query_string": query, "root_path": "", "headers": headers,
    }  # fmt: skip


def without_offer(method: bytes, version: str, url: bytes, headers: Headers) -> bytes:
    """Give the bytes of a head that offers no other protocol. RFC 9110, 7.8: it may be ignored."""
    head = [b"%b %b HTTP/%b\r\n" % (method, url, version.encode())]
    for name, value in headers:
        if name == b"connection":
            kept = [one for one in value.split(b",") if one.strip().lower() not in _OFFER]
            head.append(b"connection: %b\r\n" % b",".join(kept))
        elif name not in _OFFER:
            head.append(b"%b: %b\r\n" % (name, value))
    return b"".join(head) + b"\r\n"
