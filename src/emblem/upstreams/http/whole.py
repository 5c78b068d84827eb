"""An answer that is collected until it is whole."""

import asyncio

from emblem.upstreams.http.bodies import too_long
from emblem.upstreams.http.heads import Head


class Whole:
    """Collects an answer whose body, as it comes, may have ``most_bytes``; ``done`` tells when."""

    __slots__ = ("_most_bytes", "_parts", "_size", "done", "head")

    def __init__(self, done: "asyncio.Future[None]", most_bytes: int) -> None:
        self.head: Head
        self.done = done
        self._most_bytes = most_bytes
        self._parts: list[bytes] = []
        self._size = 0

    @property
    def content(self) -> bytes:
        """The body."""
        parts = self._parts
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def begun(self, head: Head) -> None:
        """Take the head. Raises Endless where it says that the body is too long."""
        self.head = head
        if (head.length or 0) > self._most_bytes:
            raise too_long(self._most_bytes)

    def came(self, part: bytes) -> None:
        """Take a part of the body. Raises Endless where it is too long."""
        self._parts.append(part)
        self._size += len(part)
        if self._size > self._most_bytes:
            raise too_long(self._most_bytes)

    def ended(self) -> None:
        """Take note that all of it came."""
        done = self.done
        if not done.done():
            done.set_result(None)

    def failed(self, error: Exception) -> None:
        """Take note that no more of it comes, and why."""
        done = self.done
        del self.done  # which has the error, whose traceback has this: nobody is to look for them
        if not done.done():
            done.set_exception(error)
