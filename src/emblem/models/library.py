"""The models on this machine: finding them, and fetching those that are not here yet."""

import re
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from emblem.errors import ConfigError, ModelError
from emblem.models import catalog, sources
from emblem.models.catalog import Asset, Repository, Row
from emblem.models.progress import Progress, silent
from emblem.models.shelf import Manifest, Shelf, packaged, seals
from emblem.models.sources import Origin, Source, Unavailable

SOURCES = ("cache", "hub", "index")

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


@dataclass(frozen=True, slots=True)
class _Wanted:
    """An asset, the shelf that it belongs on, and the name of its folder there."""

    asset: Asset
    shelf: Shelf
    shelved: str


class Library:
    """Models below a home folder, and the sources that new ones come from.

    A reference is a catalogue name, a hub repository (``org/name`` or ``org/name@revision``), the
    path of a folder, or ``cl100k_base``, which is a vocabulary and no model. Several processes may use one home. Methods block; ``find`` and ``installed``
    never open a connection.
    """

    def __init__(
        self,
        home: Path,
        sources: tuple[str, ...] = SOURCES,
        *,
        offline: bool = False,
        progress: Progress | None = None,
    ) -> None:
        unknown = [name for name in sources if name not in SOURCES]
        if unknown:
            raise ConfigError(f"sources: {unknown[0]} is not one of {', '.join(SOURCES)}")
        self._models = Shelf(home / "models")
        self._files = Shelf(home / "files")
        self._sources = sources
        self._offline = offline
        self._progress: Progress = progress or silent

    def find(self, reference: str, revision: str | None = None) -> Path | None:
        """Give a model's folder when it is here and every file is proven; None otherwise.

        A local folder is given as it is. Raises ModelError for a reference that can name nothing.
        """
        if (folder := _local(reference)) is not None:
            return _existing(folder)
        wanted = self._wanted(reference, revision)
        return wanted.shelf.find(wanted.shelved, wanted.asset)

    def fetch(self, reference: str, revision: str | None = None) -> Path:
        """Give a model's folder, downloading what is not here.

        Raises ModelError, or SourcesExhausted where no source has it.
        """
        if (folder := _local(reference)) is not None:
            return _existing(folder)
        return self._fetch(self._wanted(reference, revision))

    def installed(self) -> list[str]:
        """Give the names of the models that were fetched, in order."""
        return sorted(manifest.name for manifest in self._models.manifests())

    def cl100k(self, fetch: bool) -> Path | None:
        """Give the file with the ranks of cl100k_base; None where it is not here, unless fetched."""
        name = catalog.CL100K.name
        folder = self.fetch(name) if fetch else self.find(name)
        return None if folder is None else folder / catalog.CL100K.files[0].name

    def _wanted(self, reference: str, revision: str | None) -> _Wanted:
        """Say which asset a reference names, and where on the shelf it goes.

        A repository takes its plain name for the revision fetched first; others carry theirs.
        """
        name, _, inline = reference.partition("@")
        revision = revision or inline or None
        row = catalog.find(name)
        if row is not None and _is_of(row, reference, revision):
            return _Wanted(row.asset, self._models, row.name)
        if reference == catalog.CL100K.name and revision is None:
            return _Wanted(catalog.CL100K, self._files, reference)
        if not _HUB_ID.fullmatch(name) or ".." in name or "--" in name:
            raise ModelError(_unknown(reference))
        shelved = name
        first = self._models.manifest(name)
        if first is not None and revision in (None, first.requested, first.revision):
            revision = first.revision
        elif first is not None:
            shelved = f"{name}@{revision}"
        return _Wanted(Asset(name, hub=Repository(name, revision)), self._models, shelved)

    def _fetch(self, wanted: _Wanted) -> Path:
        shelf = wanted.shelf
        if (folder := shelf.find(wanted.shelved, wanted.asset)) is not None:
            return folder
        try:
            with shelf.locked(wanted.shelved):
                if (folder := shelf.find(wanted.shelved, wanted.asset)) is not None:
                    return folder
                with shelf.partial(wanted.shelved) as partial:
                    return self._build(wanted, partial)
        except OSError as error:
            where = error.filename or shelf.folder(wanted.shelved)
            raise ModelError(
                f"{wanted.asset.name} cannot be kept: {where}: {error.strerror or error}"
            ) from error

    def _build(self, wanted: _Wanted, partial: Path) -> Path:
        asset, shelf = wanted.asset, wanted.shelf
        before = shelf.manifest(wanted.shelved)
        missing = _salvage(asset, shelf.folder(wanted.shelved), partial)
        if missing is None and before is not None:
            origin = Origin(before.source, before.revision)
        else:
            origin = sources.obtain(
                missing or asset,
                _sources(self._sources),
                partial,
                offline=self._offline,
                progress=self._progress,
            )
        for name, content in packaged(asset.layout).items():
            (partial / name).parent.mkdir(parents=True, exist_ok=True)
            (partial / name).write_bytes(content)
        requested = asset.hub.revision if asset.hub else None
        manifest = Manifest(
            wanted.shelved, origin.source, origin.revision, requested, seals(partial)
        )
        return shelf.place(partial, wanted.shelved, manifest)


def _sources(names: tuple[str, ...]) -> list[Source]:
    """Open the sources of these names. Only whoever fetches pays for loading the hub's library."""
    from emblem.models.cache import Cache
    from emblem.models.hub import Hub
    from emblem.models.index import Index

    known: dict[str, Source] = {"cache": Cache(), "hub": Hub(), "index": Index()}
    return [known[name] for name in names]


def name_of(reference: str) -> str:
    """Give the name that a reference is served under.

    A catalogue name and a hub repository keep theirs, a folder gives its own.
    """
    if (folder := _local(reference)) is not None:
        return folder.resolve().name
    return reference.partition("@")[0]


def _local(reference: str) -> Path | None:
    """Give the folder that a reference means, None where it means something else."""
    if reference in ("", catalog.CL100K.name) or catalog.find(reference) is not None:
        return None
    path = Path(reference).expanduser()
    return path if reference.startswith((".", "/", "~")) or path.is_dir() else None


def _existing(folder: Path) -> Path:
    if not folder.is_dir():
        raise ModelError(f"{folder}: no such folder")
    return folder


def _is_of(row: Row, reference: str, revision: str | None) -> bool:
    """Tell whether a row is meant: by its own name, or by its repository at the pinned commit."""
    pinned = row.asset.hub.revision if row.asset.hub else None
    if revision in (None, pinned):
        return True
    if reference.partition("@")[0] != row.name:
        return False
    elsewhere = f"; for another one write {row.asset.hub.id}@{revision}" if row.asset.hub else ""
    raise ModelError(f"{row.name}: the catalogue pins its revision {pinned or ''}{elsewhere}")


def _unknown(reference: str) -> str:
    close = catalog.nearest(reference)
    named = reference if reference.strip() and reference.isprintable() else repr(reference)
    meant = f"; did you mean {close}?" if close else ""
    known = ", ".join(row.name for row in catalog.ROWS)
    return (
        f"{named} is no model that Emblem knows{meant} (it knows {known}; a model of the hub "
        "is written org/name, and a folder ./name)"
    )


def _salvage(asset: Asset, old: Path, partial: Path) -> Asset | None:
    """Take over the pinned files that a damaged copy still has; give what is missing, if any."""
    missing = []
    for file in asset.files:
        try:
            sources.check(file, old / file.name)
        except Unavailable:
            missing.append(file)
        else:
            shutil.copyfile(old / file.name, partial / file.name)
    if asset.files and not missing:
        return None
    return replace(asset, files=tuple(missing))
