"""Bodies that came packed although nobody asked for it: unpacked piece by piece, and bounded."""

import zlib
from collections.abc import Iterator

from emblem.upstreams.http.failures import PACKED, Endless

PIECE_BYTES = 1 << 18

_GZIP, _DEFLATE = frozenset({"gzip", "x-gzip"}), "deflate"
_WITH_GZIP_HEAD, _WITH_ZLIB_HEAD, _BARE = zlib.MAX_WBITS | 16, zlib.MAX_WBITS, -zlib.MAX_WBITS
_ZLIB = 8  # in the lower half of its first byte


class Unpacking:
    """Unpacks one body. Raises Endless for a coding other than gzip or deflate, or damaged bytes.

    Gzip may have several members, one after the other; deflate stands in zlib's form or in none.
    """

    def __init__(self, coding: str | None) -> None:
        if coding not in _GZIP and coding != _DEFLATE:
            raise Endless(f"{PACKED}: it is in another coding than gzip or deflate")
        self._gzip = coding in _GZIP
        self._unpacker = zlib.decompressobj(_WITH_GZIP_HEAD) if self._gzip else None

    def feed(self, part: bytes) -> Iterator[bytes]:
        """Give what is in a part, in pieces of PIECE_BYTES at most."""
        if self._unpacker is None:
            if not part:
                return
            headed = part[0] & 0xF == _ZLIB
            self._unpacker = zlib.decompressobj(_WITH_ZLIB_HEAD if headed else _BARE)
        full = False
        while part or full:
            if self._unpacker.eof:
                if not self._gzip:
                    raise Endless(PACKED)
                self._unpacker = zlib.decompressobj(_WITH_GZIP_HEAD)
            try:
                piece = self._unpacker.decompress(part, PIECE_BYTES)
            except zlib.error:
                raise Endless(PACKED) from None
            if piece:
                yield piece
            ended = self._unpacker.eof
            part = self._unpacker.unused_data if ended else self._unpacker.unconsumed_tail
            full = len(piece) == PIECE_BYTES and not ended  # then there may be more without a part

    def end(self) -> None:
        """Raise Endless where the end is missing."""
        if self._unpacker is None or not self._unpacker.eof:
            raise Endless(PACKED)


def unpacked(content: bytes, coding: str | None, most_bytes: int) -> bytes:
    """Unpack a whole body of at most so many bytes. Raises Endless."""
    if coding == "" or not content:
        return content
    unpacking = Unpacking(coding)
    pieces, size = [], 0
    for piece in unpacking.feed(content):
        pieces.append(piece)
        size += len(piece)
        if size > most_bytes:
            raise too_long(most_bytes)
    unpacking.end()
    return b"".join(pieces)


def too_long(most_bytes: int) -> Endless:
    """Say that an answer is longer than it may be."""
    return Endless(f"an answer that does not end after {most_bytes:,} bytes")
