"""Files that are there whole or not at all, whenever the process or the machine ends."""

import errno
import os
import shutil
from pathlib import Path


def sync(path: Path) -> None:
    """Have a file, or a folder and all below it, on the disk."""
    if path.is_dir():
        for one in path.iterdir():
            sync(one)
        sync_names(path)
        return
    with path.open("rb+") as handle:
        os.fsync(handle.fileno())


def sync_names(folder: Path) -> None:
    """Have the names in a folder on the disk, where the system can be asked for that."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that there is the old one or the new one, never a part."""
    beside = path.with_name(f"{path.name}.new")
    with beside.open("wb") as out:
        out.write(content)
        out.flush()
        os.fsync(out.fileno())
    beside.replace(path)
    sync_names(path.parent)


def move(source: Path, destination: Path) -> None:
    """Put a file or folder in the place of another; onto another disk too.

    A folder that stands there is set aside first, under a name beside ``source``.
    """
    if destination.is_dir() and not destination.is_symlink():
        old = source.with_name(f"{source.name}.replaced")
        if old.exists():
            shutil.rmtree(old)
        _rename(destination, old)
    _rename(source, destination)
    sync_names(destination.parent)


def _rename(source: Path, destination: Path) -> None:
    try:
        source.replace(destination)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        beside = destination.with_name(f"{destination.name}.moving")
        if source.is_dir():
            shutil.rmtree(beside, ignore_errors=True)
            shutil.copytree(source, beside)
        else:
            shutil.copyfile(source, beside)
        sync(beside)
        beside.replace(destination)


def remove(path: Path) -> None:
    """Remove a file or a folder, or nothing where there is none."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
