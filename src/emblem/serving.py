"""What is to be served: which models, under which names, in which spaces."""

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from emblem.backends import memory
from emblem.backends.cpus import available_cpus, streams_for
from emblem.backends.footprint import predicted_bytes
from emblem.config import ModelSettings, Settings, name_problem
from emblem.core.amount import size
from emblem.errors import ConfigError, ModelError, SpaceChanged
from emblem.hosting import Hosting, Looked, NotThere, host, is_hosted, is_local
from emblem.model import Model, Tokenization
from emblem.models import cl100k_tokenizer, layout, quantised, recommended, sizes
from emblem.models.identity import identify, name_of
from emblem.models.library import Library
from emblem.models.progress import Progress
from emblem.names import Served
from emblem.offer import Offer, Prompts
from emblem.ports import Ledger
from emblem.roster import Configured, roster
from emblem.wrappers.residency import too_large

log = logging.getLogger(__name__)

CL100K = "cl100k"  # the tokenizer of OpenAI's models

Stamp = tuple[tuple[str, int, int, int, int], ...]  # path, size, times of change, inode


@dataclass(frozen=True, slots=True)
class Deployed:
    """A model to serve, where it is on disk, and the memory that it will take once loaded.

    One that is configured is loaded at the start unless that says otherwise; one that is merely
    here is loaded when it is first used.
    """

    model: Model
    folder: Path
    own: ModelSettings
    at_start: bool
    predicted_bytes: int
    streams: int = 1


@dataclass(frozen=True, slots=True)
class Awaited:
    """A model of another Emblem that was not there, so that what it gives is not known; and why."""

    name: str
    own: ModelSettings
    why: str


@dataclass(frozen=True, slots=True)
class Plan:
    """All that a server's process needs to know. Plain values: it travels to the process.

    ``max_model_bytes`` is what all loaded models may take, ``max_queue_bytes`` what may wait and
    ``max_cache_bytes`` what may be remembered, 0 where nothing is. ``configured`` is what ``served``
    was made of; ``awaited`` are models that are served once they are known.
    """

    settings: Settings
    served: tuple[Served, ...]
    cl100k: Path | None
    deployed: tuple[Deployed, ...] = ()
    hosted: tuple[Hosting, ...] = ()
    max_model_bytes: int = 0
    max_queue_bytes: int = 0
    max_cache_bytes: int = 0
    configured: tuple[Configured, ...] = ()
    awaited: tuple[Awaited, ...] = ()

    @property
    def models(self) -> dict[str, Offer]:
        """Every model once, by its name."""
        return {one.model.name: one.model for one in self.served}

    @property
    def hostings(self) -> dict[str, Hosting]:
        """Every model that has deployments elsewhere, by its name."""
        return {one.offer.name: one for one in self.hosted}

    @property
    def on_first_use(self) -> frozenset[str]:
        """The names of the models that are not loaded at the start."""
        return frozenset(one.model.name for one in self.deployed if not one.at_start)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A model to serve. One that is only here, and that nobody asked for, may be left out."""

    name: str
    own: ModelSettings
    asked: bool = True


def plan(settings: Settings, progress: Progress | None = None) -> Plan:
    """Have every model that is to be served on disk, and say what serves under which name.

    Fetches what is missing, and asks upstreams what is not known of their models. Raises
    ConfigError or ModelError.
    """
    library = open_library(settings, progress)
    found = _Planned(library, settings)
    awaited: list[Awaited] = []
    for wanted in _wanted(library, settings):
        try:
            found.add(wanted)
        except NotThere as error:
            awaited.append(Awaited(wanted.name, wanted.own, str(error)))
            log.warning("%s is not served yet, and is asked again: %s", wanted.name, error)
        except ModelError as error:
            if wanted.asked:
                raise
            log.warning("%s is here, and is not served: %s", wanted.name, error)
    configured = tuple(found.configured.values())
    served = roster_of(configured, settings, awaited)
    available = memory.available_memory()
    models = memory.model_budget(available, settings.max_model_bytes)
    queue = memory.queue_budget(available, models, settings.max_queue_bytes)
    deployed = in_room(found.deployed, models, settings)
    check_room(deployed, models)
    cache = memory.cache_budget(available, models, settings.cache_bytes)
    return Plan(
        settings,
        served,
        _vocabulary(library),
        tuple(deployed),
        tuple(found.hosted),
        models,
        queue,
        cache,
        configured,
        tuple(awaited),
    )


def roster_of(
    configured: Sequence[Configured], settings: Settings, awaited: Sequence[Awaited]
) -> tuple[Served, ...]:
    """Give every name that is served while some models are not known. Raises ConfigError."""
    names = {one.name for one in awaited}
    return roster(configured, settings, _name_of_default(settings), names)


def arrived(one: Awaited, looked: Looked, settings: Settings) -> tuple[Hosting, Configured]:
    """Say what a model is that was awaited, by what was seen of it. Raises as ``plan`` does."""
    found = _Planned(open_library(settings), settings)
    found.add(_Wanted(one.name, one.own), looked)
    return found.hosted[0], found.configured[one.name]


class _Planned:
    """What was found of the models that are to be served, one after the other."""

    def __init__(self, library: Library, settings: Settings) -> None:
        self._library = library
        self._settings = settings
        self._folders: dict[str, Path] = {}
        self.configured: dict[str, Configured] = {}
        self.deployed: list[Deployed] = []
        self.hosted: list[Hosting] = []

    def add(self, wanted: _Wanted, looked: Looked | None = None) -> None:
        """Have one model here, or know all of it that is elsewhere, of which ``looked`` was seen."""
        name, own = wanted.name, wanted.own
        if not is_local(own):
            hosting = host(name, own, None, self._settings, self._tokenization, looked)
            self.hosted.append(hosting)
            self.configured[name] = hosting.offer, own, int(time.time())
            return
        folder = self._library.fetch(own.source or name, own.revision, own.variant)
        if self._folders.setdefault(name, folder) != folder:
            raise ConfigError(
                f"two models would be served as `{name}`: {self._folders[name]} and "
                f'{folder}; give one another name with [models.NAME] source = "…"'
            )
        if name in self.configured:
            return
        one = _deployed(folder, wanted, self._settings)
        self.deployed.append(one)
        self.configured[name] = one.model, own, int(folder.stat().st_mtime)
        if is_hosted(own):
            self.hosted.append(host(name, own, one.model, self._settings, self._tokenization))

    def _tokenization(self, reference: str, length: int) -> Tokenization | None:
        """Give the tokenizer of a file, a folder or a model, for one that reads so many tokens.

        None for OpenAI's, where its vocabulary is not at hand.
        """
        if reference == CL100K:
            ranks = _vocabulary(self._library)
            if ranks is None:
                return None
            made = cl100k_tokenizer.file(ranks, Path(self._settings.home) / "made")
            return Tokenization(made, length, strip=False, special_tokens=False)
        given = Path(reference)
        file = given / "tokenizer.json" if given.is_dir() else given
        if file.is_file():
            return Tokenization(file, length)
        model = understand(self._library.fetch(reference), reference, self._settings)
        return replace(model.tokenization, max_length=length)


def in_room(deployed: Sequence[Deployed], budget: int, settings: Settings) -> list[Deployed]:
    """Take one stream instead of several where those would not fit, unless they were asked for."""
    together = sum(one.predicted_bytes for one in deployed if one.at_start)
    chosen = []
    for one in deployed:
        needed = together if one.at_start else one.predicted_bytes
        too_many = needed > budget and one.streams > 1 and not settings.streams
        chosen.append(_with_streams(one, 1) if too_many else one)
    return chosen


def check_room(deployed: Sequence[Deployed], budget: int) -> None:
    """Raise ConfigError where the models to be loaded at the start do not fit together."""
    first = [one for one in deployed if one.at_start]
    needed = sum(one.predicted_bytes for one in first)
    if needed > budget:
        each = ", ".join(f"{one.model.name} {size(one.predicted_bytes)}" for one in first)
        raise ConfigError(
            f"the models to be loaded at the start take about {size(needed)} of memory ({each}), "
            f"and {size(budget)} is allowed (max_model_bytes = {budget}; {needed} would do); raise "
            'it, serve fewer models, or give some of them [models.NAME] load = "use"'
        )
    for one in deployed:
        if one.predicted_bytes > budget:
            log.warning(
                "%s will not be loaded: %s",
                one.model.name,
                too_large(one.model.name, one.predicted_bytes, budget),
            )


def _wanted(library: Library, settings: Settings) -> Iterator[_Wanted]:
    """Name what is to be served: what is configured, or else the default and all that is here."""
    for name, own in settings.models.items():
        yield _Wanted(name, own)
    for reference in settings.serve:
        if reference not in settings.models:
            yield _from_reference(reference)
    if not settings.serve and not settings.models:
        yield _from_reference(settings.default_model)
        for name in library.installed():
            if "@" not in name:  # another revision, which has to be asked for
                yield _Wanted(name, ModelSettings(source=name), asked=False)


def _from_reference(reference: str) -> _Wanted:
    name = name_of(reference)
    if problem := name_problem(name):
        raise ConfigError(
            f"{reference!r} would be served as {name!r}, and {problem}; give it another name with "
            '[models.NAME] source = "…"'
        )
    return _Wanted(name, ModelSettings(source=reference))


def _name_of_default(settings: Settings) -> str:
    """Give the name of the default model; "" for one that nobody asked for and that is none."""
    try:
        return name_of(settings.default_model)
    except ModelError:
        return ""


def model(reference: str, settings: Settings, progress: Progress | None = None) -> Model:
    """Have one model on disk, as a server with these settings would serve it, and understand it.

    ``reference`` is a name of [models], a catalogue name, a hub repository or a folder. Fetches
    what is missing. Raises ConfigError or ModelError.
    """
    library = open_library(settings, progress)
    own = settings.models.get(reference) or ModelSettings()
    folder = library.fetch(own.source or reference, own.revision, own.variant)
    return understand(folder, reference, settings)


def find(reference: str, settings: Settings) -> Path | None:
    """Give the folder of one model when it is here, and None where it would have to be fetched."""
    own = settings.models.get(reference) or ModelSettings()
    library = open_library(settings)
    return library.find(own.source or reference, own.revision, own.variant)


def understand(folder: Path, reference: str, settings: Settings) -> Model:
    """Read the folder of a model as a server with these settings would serve it."""
    if reference in settings.models:
        return _read(folder, reference, settings.models[reference], settings)
    return _read(folder, name_of(reference), ModelSettings(source=reference), settings)


def open_library(settings: Settings, progress: Progress | None = None) -> Library:
    """Give the models of the home folder and the sources of new ones."""
    return Library(
        Path(settings.home), settings.sources, offline=settings.offline, progress=progress
    )


def read_again(one: Deployed, settings: Settings) -> Model:
    """Read a model anew before it is loaded later than at the start.

    Raises ModelError where its folder is not what it was when its space was made known.
    """
    now = _read(one.folder, one.model.name, one.own, settings)
    if now != one.model:
        raise ModelError(
            f"{one.folder}: has changed since the server started: it was {one.model.space} and is "
            f"{now.space} now; start the server again to serve it as it is"
        )
    return now


def stamp(folder: Path) -> Stamp:
    """Give what tells that no file of a folder was changed, without reading any."""
    found = []
    for path in sorted(folder.rglob("*")):
        with suppress(OSError):  # one that is gone meanwhile
            seen = path.stat()
            found.append((str(path), seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns, seen.st_ino))
    return tuple(found)


def _deployed(folder: Path, wanted: _Wanted, settings: Settings) -> Deployed:
    model = _read(folder, wanted.name, wanted.own, settings)
    at_start = wanted.asked and wanted.own.load == "start"
    streams = settings.streams or streams_for(settings.threads or available_cpus())
    return _with_streams(Deployed(model, folder, wanted.own, at_start, 0), streams)


def _with_streams(one: Deployed, streams: int) -> Deployed:
    needed = predicted_bytes(one.model, sizes.read(one.model), streams=streams)
    return replace(one, predicted_bytes=needed, streams=streams)


def _read(folder: Path, name: str, own: ModelSettings, settings: Settings) -> Model:
    """Understand a folder as its row of the catalogue has it, if it has one.

    What was quantised here carries what its source had: its name alone makes it no row's model.
    """
    named = identify(own.source or name, own.revision, own.variant)
    row = None if quantised.is_made(folder) else named.row
    asked = recommended.prompts(folder, row, Prompts(own.query_prompt, own.document_prompt))
    read = layout.read(
        folder,
        name,
        overflow=own.overflow or settings.overflow,
        query_prompt=asked.query,
        document_prompt=asked.document,
        variant=named.variant,
        backend=own.backend,
    )
    if row is None:
        return read
    return replace(read, languages=row.languages, licence=row.licence, shortening=row.shortening)


def _vocabulary(library: Library) -> Path | None:
    """Have the vocabulary of token arrays. A server without it still embeds texts."""
    try:
        return library.cl100k(fetch=True)
    except ModelError as error:
        log.warning("arrays of token ids will be refused: %s", error)
        return None


def bind_spaces(ledger: Ledger, served: tuple[Served, ...], now: float) -> None:
    """Record the space of each name, or raise SpaceChanged where it had another."""
    check_spaces(ledger, served)
    for one in served:
        ledger.spaces.bind(one.name, one.space_identity, one.space_written, now=now)
    check_spaces(ledger, served)  # another server may have bound a name first, to another space


def check_spaces(ledger: Ledger, served: tuple[Served, ...]) -> None:
    """Raise SpaceChanged where names would serve other spaces than the recorded ones."""
    recorded = ledger.spaces.every()
    changes = [
        (one.name, recorded[one.name][1], one.space_written)
        for one in served
        if one.name in recorded and recorded[one.name][0] != one.space_identity
    ]
    if changes:
        raise SpaceChanged(changes)
