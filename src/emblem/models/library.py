"""The models on this machine: finding them, and fetching those that are not here yet."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from emblem.errors import ConfigError, ModelError, SourcesExhausted
from emblem.models import catalog, quantised, sources
from emblem.models.catalog import Asset, Repository, Row
from emblem.models.identity import Named, identify
from emblem.models.progress import Progress, silent
from emblem.models.reference import INT8
from emblem.models.shelf import Manifest, Shelf, packaged, seals
from emblem.models.sources import Origin, Source, Unavailable

SOURCES = ("cache", "hub", "index")
QUANTIZE = "quantize"  # the source of what was made here


@dataclass(frozen=True, slots=True)
class Installed:
    """A model that was fetched. ``fetched`` is seconds of the epoch, ``bytes`` what it takes."""

    manifest: Manifest
    folder: Path
    fetched: float

    @property
    def name(self) -> str:
        """The name that it is kept under: a reference to it."""
        return self.manifest.name

    @property
    def bytes(self) -> int:
        """What its files take on the disk."""
        return sum(seal.size for seal in self.manifest.files.values())


@dataclass(frozen=True, slots=True)
class _Wanted:
    """An asset, the shelf that it belongs on, and the name of its folder there."""

    asset: Asset
    shelf: Shelf
    shelved: str
    row: Row | None = None


class Library:
    """Models below a home folder, and the sources that new ones come from.

    A reference is a catalogue name, another name of the same model, a hub repository (``org/name``),
    each with a variant (``:VARIANT``) or a revision (``@REVISION``) behind it, the path of a
    folder, or ``cl100k_base``, which is a vocabulary and no model. Several processes may use one
    home. Methods block; ``find`` and ``installed`` never open a connection.
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

    def find(self, reference: str, revision: str | None = None, variant: str = "") -> Path | None:
        """Give a model's folder when it is here and every file is proven; None otherwise.

        A local folder is given as it is. Raises ModelError for a reference that can name nothing.
        """
        wanted = self._wanted(reference, revision, variant)
        if isinstance(wanted, Path):
            return wanted
        return wanted.shelf.find(wanted.shelved, wanted.asset)

    def fetch(self, reference: str, revision: str | None = None, variant: str = "") -> Path:
        """Give a model's folder, downloading what is not here.

        Raises ModelError, or SourcesExhausted where no source has it.
        """
        wanted = self._wanted(reference, revision, variant)
        return wanted if isinstance(wanted, Path) else self._fetch(wanted)

    def known(self, reference: str) -> Installed | None:
        """Give what was fetched under a reference, damaged or not; None where nothing was.

        A local folder was not fetched. Raises ModelError for a reference that can name nothing.
        """
        wanted = self._wanted(reference, None, "")
        return None if isinstance(wanted, Path) else _installed(wanted.shelf, wanted.shelved)

    def in_folder(self, folder: Path) -> Installed | None:
        """Give what was fetched into a folder; None for a folder that nothing was fetched into."""
        for shelf in (self._models, self._files):
            for manifest in shelf.manifests():
                if shelf.folder(manifest.name) == folder:
                    return _installed(shelf, manifest.name)
        return None

    def installed(self) -> list[str]:
        """Give the names of the models that were fetched, in order."""
        return [one.name for one in self.all_installed()]

    def all_installed(self) -> list[Installed]:
        """Give the models that were fetched, in the order of their names."""
        names = sorted(manifest.name for manifest in self._models.manifests())
        found = (_installed(self._models, name) for name in names)
        return [one for one in found if one is not None]

    def remove(self, reference: str) -> Installed:
        """Remove what was fetched under a reference, and say what that was.

        Raises ModelError where nothing was, or where it is a local folder, which is left alone.
        """
        wanted = self._wanted(reference, None, "")
        if isinstance(wanted, Path):
            raise ModelError(
                f"{reference} is a folder of yours, which Emblem did not fetch and will not remove"
            )
        try:
            with wanted.shelf.locked(wanted.shelved):
                found = _installed(wanted.shelf, wanted.shelved)
                if found is None:
                    raise ModelError(f"{reference} is not here; emblem list shows what is")
                wanted.shelf.remove(wanted.shelved)
        except OSError as error:
            where = error.filename or wanted.shelf.folder(wanted.shelved)
            raise ModelError(
                f"{reference} cannot be removed: {where}: {error.strerror or error}"
            ) from error
        return found

    def check_free(self, name: str, source: str) -> None:
        """Raise ModelError where a name is that of a model that nothing made here may replace.

        ``source`` is the space of the model that is quantised. What was made from the same one may
        be made anew; what was pulled, or was made from another, stays.
        """
        before = self._models.manifest(name)
        if before is None:
            return
        other = f"give the new one another name (--name), or run: emblem rm {name}"
        if before.source != QUANTIZE:
            raise ModelError(f"{name} is here and was pulled; {other}")
        made_from = quantised.source_of(self._models.folder(name))
        if made_from and not quantised.same_source(made_from, source):
            raise ModelError(f"{name} is here and was made from {made_from}, not {source}; {other}")

    def keep(
        self, name: str, revision: str | None, source: str, fill: Callable[[Path], None]
    ) -> Path:
        """Put a model that was made here in its place, once it is whole.

        ``fill`` writes its files into an empty folder; what it raises leaves everything as it was.
        What was made under that name from the same ``source`` before is replaced. Raises ModelError
        where the name is another model's: see ``check_free``.
        """
        shelf = self._models
        try:
            with shelf.locked(name), shelf.partial(name) as partial:
                self.check_free(name, source)
                fill(partial)
                manifest = Manifest(name, QUANTIZE, revision, None, seals(partial))
                return shelf.place(partial, name, manifest)
        except OSError as error:
            where = error.filename or shelf.folder(name)
            raise ModelError(
                f"{name} cannot be kept: {where}: {error.strerror or error}"
            ) from error

    def cl100k(self, fetch: bool) -> Path | None:
        """Give the file with the ranks of cl100k_base; None where it is not here, unless fetched."""
        name = catalog.CL100K.name
        folder = self.fetch(name) if fetch else self.find(name)
        return None if folder is None else folder / catalog.CL100K.files[0].name

    def _wanted(self, reference: str, revision: str | None, variant: str) -> _Wanted | Path:
        """Say which folder a reference means, or which asset, and where on the shelf that goes."""
        if reference == catalog.CL100K.name and not revision and not variant:
            return _Wanted(catalog.CL100K, self._files, reference)
        named = identify(reference, revision, variant)
        if named.folder is not None:
            return _existing(named.folder)
        if named.row is not None:
            return self._of_row(named.row, named.variant)
        return self._of_repository(named)

    def _of_row(self, row: Row, variant: str) -> _Wanted:
        hub = row.asset.hub
        if variant and hub is None:
            raise ModelError(f"{row.name} has no variants, and so none called {variant}")
        if variant and hub is not None:
            name = f"{row.name}:{variant}"
            asset = Asset(name, hub=replace(hub, variant=variant))
            return _Wanted(asset, self._models, name, row)
        shelved = row.name
        if hub is not None and not row.asset.files and self._models.manifest(row.name) is None:
            # Fetched by its repository's name, before the catalogue had a row for it.
            before = self._models.manifest(hub.id)
            if before is not None and before.revision == hub.revision:
                shelved = hub.id
        return _Wanted(row.asset, self._models, shelved, row)

    def _of_repository(self, named: Named) -> _Wanted:
        """Give a repository its plain name for the revision fetched first; others carry theirs."""
        shelved, revision = named.name, named.revision
        first = self._models.manifest(shelved)
        if first is not None and revision in (None, first.requested, first.revision):
            revision = first.revision
        elif first is not None:
            shelved = f"{shelved}@{revision}"
        repository = Repository(named.base, revision, named.variant)
        return _Wanted(Asset(named.name, hub=repository), self._models, shelved)

    def _fetch(self, wanted: _Wanted) -> Path:
        shelf = wanted.shelf
        if (folder := shelf.find(wanted.shelved, wanted.asset)) is not None:
            return folder
        if _is_made_here(wanted):
            raise ModelError(_not_made(wanted.shelved))
        try:
            with shelf.locked(wanted.shelved):
                if (folder := shelf.find(wanted.shelved, wanted.asset)) is not None:
                    return folder
                with shelf.partial(wanted.shelved) as partial:
                    return self._build(wanted, partial)
        except SourcesExhausted as error:
            if wanted.asset.hub is not None and wanted.asset.hub.variant == INT8:
                raise SourcesExhausted(f"{error} {_not_made(wanted.shelved)}") from error
            if wanted.row is None or not wanted.row.gated:
                raise
            raise SourcesExhausted(_gated(wanted.row, error)) from error
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


def _is_made_here(wanted: _Wanted) -> bool:
    """Tell whether an asset can only have been made by ``emblem quantize``.

    A repository may have a graph of the variant int8, and it is fetched where no other way is known.
    """
    hub, row = wanted.asset.hub, wanted.row
    if hub is None or hub.variant != INT8:
        return False
    before = wanted.shelf.manifest(wanted.shelved)
    if before is not None and before.source == QUANTIZE:
        return True  # and it is damaged
    return "/" not in hub.id or (row is not None and not row.needs_torch)


def _not_made(name: str) -> str:
    base = name.removesuffix(f":{INT8}")
    return f"{name} is not here, or not whole; to make it here, run: emblem quantize {base}"


def _sources(names: tuple[str, ...]) -> list[Source]:
    """Open the sources of these names. Only whoever fetches pays for loading the hub's library."""
    from emblem.models.cache import Cache
    from emblem.models.hub import Hub
    from emblem.models.index import Index

    known: dict[str, Source] = {"cache": Cache(), "hub": Hub(), "index": Index()}
    return [known[name] for name in names]


def _installed(shelf: Shelf, name: str) -> Installed | None:
    manifest = shelf.manifest(name)
    if manifest is None:
        return None
    folder = shelf.folder(name)
    return Installed(manifest, folder, folder.stat().st_mtime)


def _existing(folder: Path) -> Path:
    if not folder.is_dir():
        raise ModelError(f"{folder}: no such folder")
    return folder


def _gated(row: Row, error: SourcesExhausted) -> str:
    return (
        f"{row.name} is gated: accept its licence at {row.page}, set HF_TOKEN to a token of the "
        f"account that did, and try again: emblem pull {row.name} ({error})"
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
