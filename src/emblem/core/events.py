"""Server-sent events as bytes: where one ends and the next begins. Pure.

Source: the event stream format of the HTML standard, section 9.2: lines end with CRLF, LF or CR, and
an empty line ends an event.
"""

import re

_END = re.compile(rb"\r\n\r\n|\n\n|\r\r|\n\r\n|\r\n\n")
_LINE = re.compile(rb"\r\n|\n|\r")


class TooLong(Exception):
    """An event that does not end."""


class Events:
    """Cuts what comes in pieces of any size into whole events, each with the empty line at its end.

    An event may have ``most_bytes``.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._left = bytearray()
        self._looked = 0  # so far no event ends in what is left

    def feed(self, piece: bytes) -> list[bytes]:
        """Take a piece, and give the events that are whole with it. Raises TooLong."""
        self._left += piece
        found = []
        # An end may have begun in the piece before: it has four bytes at most.
        start, look = 0, max(0, self._looked - 3)
        while (end := _END.search(self._left, look)) is not None:
            found.append(bytes(self._left[start : end.end()]))
            start = look = end.end()
        del self._left[:start]
        self._looked = len(self._left)
        if self._looked > self._most_bytes:
            raise TooLong
        return found

    @property
    def rest(self) -> bytes:
        """What came after the last event, which nothing ended."""
        return bytes(self._left)


def data(event: bytes) -> bytes:
    """Give the data of an event: that of its lines, joined; b"" for one without any."""
    lines = [line for line in _LINE.split(event) if line.startswith(b"data:")]
    return b"\n".join(line[5:].removeprefix(b" ") for line in lines)
