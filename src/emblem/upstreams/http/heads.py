"""What stands before a body: written so that nothing can be slipped in, and read strictly. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from re import compile as pattern
from typing import NamedTuple

MAX_HEAD_BYTES = 64 * 1024  # of an answer, and of what stands between the parts of its body
MAX_HEADERS = 100

_VERSIONS = ("1.1", "1.0")
_FRAMING = frozenset({b"content-length", b"transfer-encoding", b"content-encoding"})
_NO_BODY = frozenset({204, 304})
_PLAIN = frozenset({b"", b"identity"})

_NAME = pattern(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
# They would say of the message what is not so.
_OURS = frozenset(
    {"content-length", "transfer-encoding", "connection", "host", "expect", "upgrade"}
)
_TYPE = "content-type"

Lines = Sequence[tuple[bytes, bytes]]  # names in lower case, values without spaces around them


class Headers(Mapping[str, str]):
    """An answer's headers. A name is found in any case; where several have it, the first."""

    __slots__ = ("_lines",)

    def __init__(self, lines: Lines) -> None:
        self._lines = lines  # as they came: of some thirty, one or two are looked for

    def __getitem__(self, name: str) -> str:
        wanted = name.lower().encode()
        for found, value in self._lines:
            if found == wanted:
                return value.decode("utf-8", "replace")
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(name.decode("ascii") for name, _ in self._lines))

    def __len__(self) -> int:
        return sum(1 for _ in self)


class Head(NamedTuple):
    """The beginning of an answer. Its body ends with the connection where ``to_the_end`` is true.

    ``length`` is None where it is not said. ``coding`` is what the body is packed with: "" for
    nothing, None for several codings.
    """

    status: int
    headers: Headers
    length: int | None
    to_the_end: bool
    coding: str | None


def head(status: int, version: str, lines: Lines) -> Head:
    """Read the head of an answer that is none of those before it. Raises ValueError.

    ``lines`` have passed llhttp, which refuses a length twice, one beside chunks, and one that is no
    number.
    """
    if version not in _VERSIONS:
        raise ValueError("another version")
    length: int | None = None
    chunked = False
    codings: list[bytes] = []
    for name, value in lines:
        if name not in _FRAMING:
            continue
        if name == b"content-length":
            length = int(value)
        elif name == b"content-encoding":
            codings += [one.strip().lower() for one in value.split(b",")]
        elif chunked or value.lower() != b"chunked":
            raise ValueError("a transfer coding that nobody asked for")
        else:
            chunked = True
    to_the_end = length is None and not chunked and status not in _NO_BODY
    packed = [one for one in codings if one not in _PLAIN]
    coding = None if len(packed) > 1 else packed[0].decode("latin-1") if packed else ""
    return Head(status, Headers(lines), length, to_the_end, coding)


def written(opening: str, headers: Mapping[str, str], length: int | None) -> bytes:
    """Write the head of a request. ``opening`` is its first lines, ``length`` that of its body.

    Raises ValueError for a header that cannot be sent, and does not show its value.
    """
    lines = [opening]
    typed = length is None
    for name, value in headers.items():
        typed = _is_type(name) or typed
        if not (value.isascii() and value.isprintable()):
            raise ValueError(f"the header {name!r} has characters that cannot be sent")
        lines.append(f"{name}: {value}")
    if not typed:
        lines.append("Content-Type: application/octet-stream")
    lines.append("\r\n" if length is None else f"Content-Length: {length}\r\n\r\n")
    return "\r\n".join(lines).encode("ascii")


@lru_cache(maxsize=256)
def _is_type(name: str) -> bool:
    """Tell whether a header says what the body is. Raises ValueError for one that is not the caller's."""
    lowered = name.lower()
    if not _NAME.fullmatch(name) or lowered in _OURS:
        raise ValueError(f"{name!r} is no header that can be set")
    return lowered == _TYPE
