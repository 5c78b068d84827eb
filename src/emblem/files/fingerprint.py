"""What tells one input from another: the bytes of its files, and nothing else about them."""

import hashlib
from pathlib import Path

from emblem.errors import InvalidRequest
from emblem.files.ports import Files


def of_files(files: Files) -> str:
    """SHA-256 in hex of what the files hold; where there are several, of their names too.

    A copy on another machine has the same one. Raises InvalidRequest for a file that cannot be read.
    """
    whole = hashlib.sha256()
    for path, name in zip(files.paths, files.names, strict=True):
        if len(files.paths) > 1:
            whole.update(f"{name}\n".encode("utf-8", "surrogateescape"))
        try:
            with path.open("rb") as handle:
                whole.update(hashlib.file_digest(handle, "sha256").digest())
        except OSError as error:
            raise InvalidRequest(f"{name} cannot be read: {error.strerror}") from None
    return whole.hexdigest()


def of_output(path: Path) -> tuple[int, str]:
    """Give the size in bytes and the SHA-256 in hex of a file, or of all files below a folder."""
    if not path.is_dir():
        with path.open("rb") as handle:
            return path.stat().st_size, hashlib.file_digest(handle, "sha256").hexdigest()
    size, whole = 0, hashlib.sha256()
    for one in sorted(one for one in path.rglob("*") if one.is_file()):
        length, digest = of_output(one)
        size += length
        whole.update(f"{one.relative_to(path).as_posix()}\n{digest}\n".encode())
    return size, whole.hexdigest()


def stamp(files: Files) -> tuple[tuple[int, int], ...]:
    """Give (size in bytes, time of change in ns) of each file: cheap enough to look at twice.

    Raises InvalidRequest for a file that is not there any more.
    """
    found = []
    for path, name in zip(files.paths, files.names, strict=True):
        try:
            about = path.stat()
        except OSError as error:
            raise InvalidRequest(f"{name} cannot be read: {error.strerror}") from None
        found.append((about.st_size, about.st_mtime_ns))
    return tuple(found)
