"""FileReferences: references in a folder, a file for each space and set of texts.

Beside them is, for a space whose vectors were found to be wrong, a file with how often that was.

A file is a line of JSON, which ends with the digest of all else that is in it, and the vectors as
little-endian float32. It is written once and never changed, and it is there whole or not at all.
"""

import errno
import hashlib
import os
import re
import secrets
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from emblem.errors import ModelError
from emblem.space import Space
from emblem.types import Reference

# Deployments of one process count one after another. Others count what they gave in their own eras.
_counting = threading.Lock()

_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)


class _Head(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The first line. ``digest`` is of the line without it and of the vectors."""

    space: str
    texts: str
    count: int
    width: int
    refused: tuple[int, ...]
    by: str
    made: float
    digest: str = ""


@dataclass(frozen=True, slots=True)
class FileReferences:
    """References in ``folder``, which is made when it is needed; see ``ports.References``.

    All servers and processes that share the folder hold their deployments to the same ones.
    """

    folder: Path

    def doubts(self, space: Space) -> int:
        """Say how often vectors of a space were found to be wrong after they were given."""
        path = self._doubts_path(space)
        try:
            return int(path.read_bytes())
        except FileNotFoundError:
            return 0
        except OSError as error:
            raise ModelError(f"{_said(path)}: cannot be read: {error.strerror}") from None
        except ValueError:
            raise ModelError(
                f"{_said(path)}: is damaged: it is to hold a number. Write one there that is greater than "
                "any that it had"
            ) from None

    def doubt(self, space: Space, known: int) -> int:
        """Have it be once more than it was and than ``known``, and say how often it is now.

        Also where somebody else has just found out: what was given since then is in doubt, too.
        """
        with _counting:
            return self._counted(space, known)

    def at_least(self, space: Space, least: int) -> int:
        """Have it be no less than that, and say how often it is now."""
        with _counting:
            now = self.doubts(space)
            return now if now >= least else self._noted(space, least)

    def _counted(self, space: Space, known: int) -> int:
        return self._noted(space, max(self.doubts(space), known) + 1)

    def _noted(self, space: Space, now: int) -> int:
        path = self._doubts_path(space)
        beside = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            _write(beside, str(now).encode())
            beside.replace(path)
        except OSError as error:
            with suppress(OSError):
                beside.unlink()
            raise ModelError(f"{_said(path)}: cannot be written: {error.strerror}") from None
        return now

    def _doubts_path(self, space: Space) -> Path:
        return self.path(space, "").with_suffix(".doubts")

    def path(self, space: Space, texts: str) -> Path:
        """Give where the reference of a space is, or would be."""
        name = re.sub(r"[^A-Za-z0-9._-]+", "-", space.name).strip("-.")[-80:]
        digest = hashlib.sha256(f"{space.identity}\n{texts}".encode()).hexdigest()
        return self.folder / f"{name}-{digest[:16]}.reference"

    def get(self, space: Space, texts: str) -> Reference | None:
        """Give the reference of a space for this set of texts, if there is one."""
        path = self.path(space, texts)
        try:
            return _read(path.read_bytes(), space, texts)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ModelError(f"{_said(path)}: cannot be read: {error.strerror}") from None
        except (ValueError, msgspec.MsgspecError) as error:
            raise ModelError(
                f"{_said(path)}: is damaged: {error}. Nothing is compared with it. Put the file back from "
                "a copy; or remove it where all deployments are known to be right, and the next "
                "one that is proven makes it anew"
            ) from None

    def put(self, space: Space, reference: Reference) -> Reference:
        """Keep a reference, unless there is one already, and give the one that is kept."""
        path = self.path(space, reference.texts)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            _place(path, _written(space, reference))
        except OSError as error:
            raise ModelError(f"{_said(path)}: cannot be written: {error.strerror}") from None
        kept = self.get(space, reference.texts)
        if kept is None:
            raise ModelError(f"{_said(path)}: was removed right after it was written")
        return kept


def _said(path: Path) -> str:
    """Name a file as whoever runs this finds it in the home folder; clients need not know where."""
    return f"{path.parent.name}/{path.name}"


def _place(path: Path, content: bytes) -> None:
    """Write a file, whole, unless there is one."""
    beside = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    try:
        _write(beside, content)
        try:
            path.hardlink_to(beside)
        except FileExistsError:
            pass  # somebody was first
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            if not path.exists():
                beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def _write(path: Path, content: bytes) -> None:
    with path.open("xb") as out:
        out.write(content)
        out.flush()
        os.fsync(out.fileno())


def _written(space: Space, reference: Reference) -> bytes:
    vectors = np.ascontiguousarray(reference.vectors, dtype="<f4")
    count, width = vectors.shape
    head = _Head(
        space.identity,
        reference.texts,
        count,
        width,
        reference.refused,
        reference.by,
        reference.made,
    )
    numbers = vectors.tobytes()
    signed = msgspec.structs.replace(head, digest=_digest(head, numbers))
    return msgspec.json.encode(signed) + b"\n" + numbers


def _digest(head: _Head, numbers: bytes) -> str:
    unsigned = msgspec.json.encode(msgspec.structs.replace(head, digest=""))
    return hashlib.sha256(unsigned + b"\n" + numbers).hexdigest()


def _read(content: bytes, space: Space, texts: str) -> Reference:
    """Read a file. Raises ValueError or MsgspecError, saying what is wrong with it."""
    line, _, numbers = content.partition(b"\n")
    head = msgspec.json.decode(line, type=_Head)
    if head.digest != _digest(head, numbers):
        raise ValueError("its digest is not that of its content")
    if (head.space, head.texts, head.width) != (space.identity, texts, space.width):
        raise ValueError(f"it is of {head.space} and not of {space.identity}")
    vectors = np.frombuffer(numbers, "<f4").reshape(head.count, head.width)
    return Reference(
        head.texts, np.ascontiguousarray(vectors, np.float32), head.refused, head.by, head.made
    )
