"""A folder of assets on disk, each complete and proven or not there at all.

Several processes may use one shelf: an asset is written under a lock, beside its place, and moved
there when it is whole.
"""

import glob
import hashlib
import importlib.resources
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources.abc import Traversable
from pathlib import Path
from urllib.parse import quote

import msgspec
from filelock import FileLock, Timeout

from emblem.models.catalog import Asset
from emblem.models.safetensors import file_digest

log = logging.getLogger(__name__)

MANIFEST = "manifest.json"


class Seal(msgspec.Struct, frozen=True):
    """What proves that a file is the one that was fetched. ``size`` is in bytes."""

    sha256: str
    size: int


class Manifest(msgspec.Struct, frozen=True):
    """What lies in an asset's folder, and where it came from.

    ``revision`` is the commit or the package; ``requested`` is the revision as it was asked for.
    """

    name: str
    source: str
    revision: str | None
    requested: str | None
    files: dict[str, Seal]


class Shelf:
    """The assets below one folder."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def folder(self, name: str) -> Path:
        """Give the place of an asset, whether it is there or not."""
        return self._root / quote(name.replace("/", "--"), safe="@")

    def manifest(self, name: str) -> Manifest | None:
        """Read what is said about an asset; None where nothing readable is said."""
        try:
            content = (self.folder(name) / MANIFEST).read_bytes()
            return msgspec.json.decode(content, type=Manifest)
        except (OSError, msgspec.DecodeError):
            return None

    def manifests(self) -> list[Manifest]:
        """Read what is said about every asset here."""
        if not self._root.is_dir():
            return []
        folders = (path for path in self._root.iterdir() if not path.name.startswith("."))
        found = (_read_manifest(path) for path in sorted(folders))
        return [manifest for manifest in found if manifest is not None]

    def find(self, name: str, asset: Asset) -> Path | None:
        """Give an asset's folder when every file in it is proven; a damaged one is reported."""
        folder = self.folder(name)
        if not folder.is_dir():
            return None
        damage = _damage(folder, asset)
        if damage is None:
            return folder
        log.warning("%s is damaged and will not be used: %s", folder, damage)
        return None

    @contextmanager
    def locked(self, name: str) -> Iterator[None]:
        """Keep every other process from writing an asset."""
        self._root.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self._root / f".{self.folder(name).name}.lock")
        try:
            lock.acquire(timeout=0.1)
        except Timeout:
            log.info("waiting for another process that is fetching %s", name)
            lock.acquire()
        try:
            yield
        finally:
            lock.release()

    @contextmanager
    def partial(self, name: str) -> Iterator[Path]:
        """Give an empty folder to build an asset in; call it under the lock.

        What an earlier process left half done is cleaned first, and what is left at the end is
        cleaned too.
        """
        for stale in self._root.glob(f"{glob.escape(self._scratch_prefix(name))}*"):
            shutil.rmtree(stale, ignore_errors=True)
        folder = self._scratch(name)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def place(self, partial: Path, name: str, manifest: Manifest) -> Path:
        """Seal a folder and move it to its place, whatever was there before."""
        (partial / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(manifest)))
        for path in (*_files(partial), partial / MANIFEST):
            _sync(path)
        _sync(partial)
        partial.chmod(0o755)
        target = self.folder(name)
        if target.exists():
            old = self._scratch(name)
            target.rename(old / "replaced")
            partial.rename(target)
            shutil.rmtree(old, ignore_errors=True)
        else:
            partial.rename(target)
        _sync(self._root)
        return target

    def remove(self, name: str) -> None:
        """Take an asset away; call it under the lock. Raises OSError where that cannot be.

        It is moved aside at once, so that nobody finds half of it.
        """
        aside = self._scratch(name)
        self.folder(name).rename(aside / "removed")
        shutil.rmtree(aside)
        _sync(self._root)

    def _scratch(self, name: str) -> Path:
        return Path(tempfile.mkdtemp(prefix=self._scratch_prefix(name), dir=self._root))

    def _scratch_prefix(self, name: str) -> str:
        # No folder's own name has a plus sign, so no prefix is the start of another asset's.
        return f".partial-{self.folder(name).name}+"


def seals(folder: Path) -> dict[str, Seal]:
    """Digest every file below a folder."""
    return {
        path.relative_to(folder).as_posix(): Seal(file_digest(path), path.stat().st_size)
        for path in _files(folder)
    }


def packaged(layout: str) -> dict[str, bytes]:
    """Give the small files of a layout, as they ship with Emblem."""
    if not layout:
        return {}
    return dict(_below(importlib.resources.files("emblem.models") / "layouts" / layout, ""))


def _below(folder: Traversable, prefix: str) -> Iterator[tuple[str, bytes]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _below(entry, f"{prefix}{entry.name}/")
        else:
            yield f"{prefix}{entry.name}", entry.read_bytes()


def _files(folder: Path) -> list[Path]:
    """Give the files of an asset; hidden ones and the manifest are not among them."""
    return [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and path != folder / MANIFEST
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    ]


def _read_manifest(folder: Path) -> Manifest | None:
    try:
        return msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest)
    except (OSError, msgspec.DecodeError):
        return None


def _damage(folder: Path, asset: Asset) -> str | None:
    """Say what is wrong with an asset's folder; None where nothing is."""
    manifest = _read_manifest(folder)
    if manifest is None:
        return f"{MANIFEST} cannot be read"
    expected = {file.name: file.sha256 for file in asset.files}
    expected |= {
        name: hashlib.sha256(content).hexdigest()
        for name, content in packaged(asset.layout).items()
    }
    for name, digest in expected.items():
        if name not in manifest.files or manifest.files[name].sha256 != digest:
            return f"{name} is not the one that the catalogue pins"
    try:
        found = seals(folder)
    except OSError as error:
        return f"{error.filename}: {error.strerror}"
    for name in sorted(found.keys() | manifest.files.keys()):
        if name not in found:
            return f"{name} is missing"
        if name not in manifest.files:
            return f"{name} does not belong to it"
        if found[name] != manifest.files[name]:
            return f"{name} has changed since it was fetched"
    return None


def _sync(path: Path) -> None:
    """Have the disk hold a file or a folder before anything relies on it."""
    if path.is_dir() and os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
