"""What a place for entries is, as far as the rest of this folder knows it."""

from collections.abc import Mapping, Sequence
from typing import Protocol

MAX_SAID = 200  # characters of what went wrong


class Away(Exception):
    """A shelf does not answer, or not rightly. The text is one line for the log, without secrets."""

    @classmethod
    def because(cls, error: BaseException) -> "Away":
        """Say what a library said, on one line."""
        return cls(" ".join(f"{type(error).__name__}: {error}".split())[:MAX_SAID])


class Shelf(Protocol):
    """Bytes by names of 32 bytes. What is put there may be gone later: it is bounded by itself.

    Used on one event loop. ``get`` and ``put`` raise Away, and may take any time: whoever asks ends
    them by cancelling.
    """

    @property
    def name(self) -> str:
        """What it is called in logs and metrics."""
        ...

    async def get(self, names: Sequence[bytes]) -> dict[bytes, bytes]:
        """Give the content of each name that is there, all in one question."""
        ...

    async def put(self, contents: Mapping[bytes, bytes]) -> None:
        """Keep contents, in place of those that the names had."""
        ...

    async def aclose(self) -> None:
        """Let go of whatever is held."""
        ...
