"""The API keys of one provider: which is used next, and which rest because it refused them.

A key is used until the provider refuses it, so that its limits are not spread over keys that nobody
meant to be used; then the next one is. Keys in a file are read again when the file changes.
"""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from emblem.errors import ConfigError
from emblem.upstreams.provider import refuse_unsendable

log = logging.getLogger(__name__)

LONGEST_REST_S = 60.0  # whatever a provider says, a key is tried again after that
REFUSED_S = 10.0  # for a key that the provider does not accept
LOOKED_S = 1.0  # how often a file is looked at, at most

Stamp = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Rest:
    """Until when a key is not used, in seconds of the monotonic clock, and whether it is a bad one."""

    until: float
    refused: bool


class Keys:
    """Keys in the order in which they are used, from the settings and from a file.

    Raises ConfigError where the file cannot be read, or has a key that cannot be sent.
    """

    def __init__(
        self,
        name: str,
        keys: Sequence[str] = (),
        file: Path | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name = name
        self._given = tuple(keys)
        self._file = file
        self._clock = clock
        self._stamp: Stamp | None = None
        self._looked = clock()
        self._rests: dict[str, Rest] = {}
        self._now = self._given
        if file is not None:
            self._now = self._given + self._read(file)

    @property
    def all(self) -> tuple[str, ...]:
        """Every key, those that rest too, in the order of their use."""
        return self._now

    def next(self) -> str | None:
        """Give the key to use, None where every key rests, or there is none at all."""
        if self._file is not None:
            self._look(self._file)
        if not self._rests:
            return self._now[0] if self._now else None
        now = self._clock()
        self._rests = {key: rest for key, rest in self._rests.items() if rest.until > now}
        return next((key for key in self._now if key not in self._rests), None)

    def rest(self, key: str, seconds: float, *, refused: bool = False) -> None:
        """Leave a key out for so long."""
        seconds = min(LONGEST_REST_S, max(0.0, seconds))
        if seconds:
            self._rests[key] = Rest(self._clock() + seconds, refused)

    def resting_s(self) -> float | None:
        """Say how long no key can be used, or None where none ever will: each was refused."""
        waits = [rest.until for rest in self._rests.values() if not rest.refused]
        return max(0.0, min(waits) - self._clock()) if waits else None

    def _look(self, file: Path) -> None:
        """Read a file that has changed; one that cannot be read leaves the keys as they were."""
        now = self._clock()
        if now - self._looked < LOOKED_S:
            return
        self._looked = now
        try:
            if _stamp(file) != self._stamp:
                self._now = self._given + self._read(file)
                log.info("the API keys of %s were read again", self._name)
        except (OSError, ConfigError) as error:
            log.warning("the API keys of %s stay as they were: %s", self._name, _why(error))

    def _read(self, file: Path) -> tuple[str, ...]:
        try:
            self._stamp = _stamp(file)
            lines = file.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(
                f"the key file {file} of {self._name} cannot be read: {_why(error)}"
            ) from None
        keys = tuple(line.strip() for line in lines if line.strip())
        if not keys:
            raise ConfigError(f"the key file {file} of {self._name} has no key, one a line")
        for key in keys:
            refuse_unsendable(key, f"a key in {file}")
        return keys


def _stamp(file: Path) -> Stamp:
    found = file.stat()
    return found.st_mtime_ns, found.st_size, found.st_ino


def _why(error: Exception) -> str:
    """Say what is wrong without what was read, which may be a key."""
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)
