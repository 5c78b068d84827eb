"""Where sessions are kept: in this process's memory, or in a folder that several processes share."""

import os
import secrets
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import msgspec

from emblem.accounts import Key
from emblem.api.console.people import Person


@dataclass(slots=True, eq=False)
class Session:
    """One sign-in. ``opened`` and ``used`` are monotonic seconds.

    ``digest`` is of the secret that it was opened with, empty where something else has signed a
    person in, who is ``person`` then.
    """

    token: str
    opened: float
    used: float
    key: Key
    digest: bytes = b""
    person: Person | None = None


class Shelf(Protocol):
    """Keeps sessions under names, which are hexadecimal."""

    def get(self, name: str) -> Session | None:
        """Give a session; None where there is none of the name."""
        ...

    def put(self, name: str, session: Session) -> None:
        """Keep a session, in place of one of the same name."""
        ...

    def drop(self, name: str) -> None:
        """Forget a session, if there is one."""
        ...

    def every(self) -> Iterator[tuple[str, Session]]:
        """Give all sessions, in no order."""
        ...


class MemoryShelf:
    """Keeps sessions in a dictionary."""

    def __init__(self) -> None:
        self._held: dict[str, Session] = {}

    def get(self, name: str) -> Session | None:
        """Give a session."""
        return self._held.get(name)

    def put(self, name: str, session: Session) -> None:
        """Keep a session."""
        self._held[name] = session

    def drop(self, name: str) -> None:
        """Forget a session."""
        self._held.pop(name, None)

    def every(self) -> Iterator[tuple[str, Session]]:
        """Give all sessions."""
        return iter(list(self._held.items()))


class FolderShelf:
    """Keeps each session in a file that only this user may read.

    A file is replaced whole, so that no process reads half of one.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder = folder
        self._decoder = msgspec.json.Decoder(Session)

    def get(self, name: str) -> Session | None:
        """Give a session."""
        try:
            return self._decoder.decode((self._folder / name).read_bytes())
        except (FileNotFoundError, msgspec.DecodeError):
            return None

    def put(self, name: str, session: Session) -> None:
        """Keep a session."""
        aside = self._folder / f".{name}.{secrets.token_hex(8)}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        with os.fdopen(os.open(aside, flags, 0o600), "wb") as file:
            file.write(msgspec.json.encode(session))
        aside.replace(self._folder / name)

    def drop(self, name: str) -> None:
        """Forget a session."""
        with suppress(FileNotFoundError):
            (self._folder / name).unlink()

    def every(self) -> Iterator[tuple[str, Session]]:
        """Give all sessions."""
        for file in self._folder.iterdir():
            found = None if file.name.startswith(".") else self.get(file.name)
            if found is not None:
                yield file.name, found


def shared_secret(folder: Path | None) -> bytes:
    """Give 32 random bytes, which are the same for all who name the same folder; None is no folder."""
    made = secrets.token_bytes(32)
    if folder is None:
        return made
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    place, aside = folder / "sign-in.secret", folder / f".{secrets.token_hex(8)}"
    with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(made)
    with suppress(FileExistsError):
        os.link(aside, place)  # whole at once, and once only: whoever comes later finds it
    aside.unlink()
    return place.read_bytes()
