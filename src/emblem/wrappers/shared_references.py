"""SharedReferences: references of a home, whose doubts servers with other homes share, too."""

import logging
import threading
from typing import Protocol

from emblem.errors import ModelError
from emblem.space import Space
from emblem.types import Reference
from emblem.wrappers.references import FileReferences

log = logging.getLogger(__name__)


class Shared(Protocol):
    """Doubts that several homes share. Any thread may ask. Raises ModelError where there is no answer."""

    def at_least(self, space: Space, least: int) -> int:
        """Have it be no less than that, and say how often it is now."""
        ...

    def doubt(self, space: Space, known: int) -> int:
        """Have it be once more than it was and than ``known``, and say how often it is now."""
        ...


class SharedReferences:
    """The references of ``own``; a space was wrong as often as ``own`` or ``shared`` says.

    Whichever knows of fewer is told, so that what one of them loses is mended. While ``shared`` does
    not answer, ``own`` counts alone, and what it counted is told at the next question.
    """

    def __init__(self, own: FileReferences, shared: Shared) -> None:
        self._own = own
        self._shared = shared
        self._away = False
        self._lock = threading.Lock()

    def get(self, space: Space, texts: str) -> Reference | None:
        """Give the reference of a space for this set of texts, if there is one."""
        return self._own.get(space, texts)

    def put(self, space: Space, reference: Reference) -> Reference:
        """Keep a reference, unless there is one already, and give the one that is kept."""
        return self._own.put(space, reference)

    def doubts(self, space: Space) -> int:
        """Say how often vectors of a space were found to be wrong after they were given."""
        own = self._own.doubts(space)
        try:
            now = self._shared.at_least(space, own)
        except ModelError as error:
            self._is_away(error)
            return own
        self._is_there()
        if now > own:
            self._told(space, now)
        return now

    def doubt(self, space: Space, known: int) -> int:
        """Have it be once more than it was and than ``known``, and say how often it is now."""
        own = self._own.doubts(space)
        try:
            now = self._shared.doubt(space, max(known, own))
        except ModelError as error:
            self._is_away(error)
            return self._own.doubt(space, known)
        self._is_there()
        self._told(space, now)
        return now

    def _told(self, space: Space, now: int) -> None:
        """Have the home know it. Where it cannot be written, what is shared counts all the same."""
        try:
            self._own.at_least(space, now)
        except ModelError as error:
            log.error("%s", error)  # noqa: TRY400 - it is no fault of ours

    def _is_away(self, error: ModelError) -> None:
        with self._lock:
            before, self._away = self._away, True
        if not before:
            log.warning("%s: until it does, the home folder alone counts", error)

    def _is_there(self) -> None:
        with self._lock:
            before, self._away = self._away, False
        if before:
            log.warning("the Redis of cache_redis says again how often spaces were wrong")
