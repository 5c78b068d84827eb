"""Where a browser's request comes from: this server's own pages, or another site's. Pure."""

from collections.abc import Iterable
from urllib.parse import urlsplit

RawHeaders = Iterable[tuple[bytes, bytes]]


def header(headers: RawHeaders, name: bytes) -> str | None:
    """Give the first header of a name, which is in lower case; None where there is none."""
    return next((value.decode("latin-1") for given, value in headers if given == name), None)


def cookie(headers: RawHeaders, name: str) -> str | None:
    """Give a cookie; None where there is none, or where there are two that differ.

    A browser sends both where another server of the same domain has set one of the same name.
    """
    found = {
        value.strip()
        for given, line in headers
        if given == b"cookie"
        for pair in line.decode("latin-1").split(";")
        for key, there, value in (pair.partition("="),)
        if there and key.strip() == name
    }
    return found.pop() if len(found) == 1 else None


def from_elsewhere(headers: RawHeaders, hosts: Iterable[str | None]) -> bool:
    """Tell whether a browser says that a page of another origin has sent this.

    ``hosts`` are what this server is called, from the header Host and what a trusted proxy says.
    Browsers send Sec-Fetch-Site over TLS and to loopback, and Origin with all but GET and HEAD; a
    program that is no browser sends neither, and carries nobody's cookies.
    """
    given = list(headers)
    site = header(given, b"sec-fetch-site")
    if site is not None:
        return site != "same-origin"
    origin = header(given, b"origin")
    if origin is None:
        return False
    return urlsplit(origin).netloc.lower() not in {one.lower() for one in hosts if one}
