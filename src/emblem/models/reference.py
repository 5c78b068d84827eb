"""How a model is named on a command line or in a file: ``NAME[:VARIANT][@REVISION]`` or a folder.

Only the form is decided here; the library says what a name stands for.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from emblem.errors import ModelError

INT8 = "int8"  # behind the name of what emblem quantize made
LATEST = "latest"  # what Ollama puts behind a name that has no tag; it chooses nothing

_VARIANT = re.compile(r"[A-Za-z0-9][\w.-]*", re.ASCII)
_REVISION = re.compile(r"[A-Za-z0-9][\w./-]*", re.ASCII)
_DRIVE = re.compile(r"[A-Za-z]:[\\/]")


@dataclass(frozen=True, slots=True)
class Reference:
    """A model, as somebody named it.

    ``name`` is a catalogue name, a short name or ``org/name``, or the path of a ``folder`` as it
    was written. ``variant`` is "" where none was named, and ``revision`` None.
    """

    name: str
    variant: str = ""
    revision: str | None = None
    folder: Path | None = None

    @property
    def tagged(self) -> str:
        """The name with its variant: what the model is shelved and served under."""
        return f"{self.name}:{self.variant}" if self.variant else self.name


def parse(text: str, is_folder: Callable[[Path], bool] = Path.is_dir) -> Reference:
    """Take a reference apart. Raises ModelError where its form can be none.

    What begins like a path is a folder, there or not; a name that is also a folder's path is one
    too, so whoever knows a name asks first. A folder has no revision.
    """
    if text and (
        text.startswith((".", "/", "~", "\\")) or _DRIVE.match(text) or _is(text, is_folder)
    ):
        return _folder(text, is_folder)
    name, at, revision = text.partition("@")
    if at and not _REVISION.fullmatch(revision):
        raise ModelError(
            f"{_shown(text)}: {_shown(revision)} is no revision (a commit, a branch or a tag)"
            + ("; the variant comes first: NAME:VARIANT@REVISION" if ":" in revision else "")
        )
    name, colon, variant = name.partition(":")
    if colon and not _VARIANT.fullmatch(variant):
        raise ModelError(
            f"{_shown(text)}: {_shown(variant)} is no variant (letters, digits, _ . -)"
        )
    return Reference(name, "" if variant == LATEST else variant, revision or None)


def _folder(text: str, is_folder: Callable[[Path], bool]) -> Reference:
    """Read a path, whose last colon may stand before a variant, unless it is the folder's own."""
    whole = _at_home(text)
    path, colon, variant = text.rpartition(":")
    drive = len(path) == 1 and _DRIVE.match(text)
    if not colon or drive or not _VARIANT.fullmatch(variant) or _is(text, is_folder):
        return Reference(text, folder=whole)
    return Reference(path, "" if variant == LATEST else variant, folder=_at_home(path))


def _at_home(path: str) -> Path:
    try:
        return Path(path).expanduser()
    except RuntimeError:  # a user who does not exist, or has no home
        raise ModelError(f"{_shown(path)}: no such user's home folder") from None


def _is(text: str, is_folder: Callable[[Path], bool]) -> bool:
    try:
        return is_folder(Path(text).expanduser())
    except (OSError, ValueError, RuntimeError):  # too long, a null byte, a user without a home
        return False


def _shown(text: str) -> str:
    return text if text.strip() and text.isprintable() else repr(text)
