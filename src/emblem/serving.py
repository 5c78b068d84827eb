"""What is to be served: which models, under which names, in which spaces."""

import difflib
import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from emblem.config import ModelSettings, Settings, name_problem
from emblem.errors import ConfigError, ModelError, SpaceChanged
from emblem.model import Model, Prompts
from emblem.models import catalog, layout, recommended
from emblem.models.catalog import Row
from emblem.models.identity import identify, name_of
from emblem.models.library import Library
from emblem.models.progress import Progress
from emblem.models.reference import LATEST
from emblem.names import OPENAI_WIDTHS, Served
from emblem.ports import Ledger
from emblem.roster import Configured, roster

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Plan:
    """All that a server's process needs to know. Plain values: it travels to the process."""

    settings: Settings
    served: tuple[Served, ...]
    cl100k: Path | None

    @property
    def models(self) -> dict[str, Model]:
        """Every model once, by its name."""
        return {one.model.name: one.model for one in self.served}


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A model to serve. One that is only here, and that nobody asked for, may be left out."""

    name: str
    own: ModelSettings
    asked: bool = True


def plan(settings: Settings, progress: Progress | None = None) -> Plan:
    """Have every model that is to be served on disk, and say what serves under which name.

    Fetches what is missing. Raises ConfigError or ModelError.
    """
    library = open_library(settings, progress)
    configured: dict[str, Configured] = {}
    folders: dict[str, Path] = {}
    for wanted in _wanted(library, settings):
        try:
            folder = library.fetch(
                wanted.own.source or wanted.name, wanted.own.revision, wanted.own.variant
            )
            if folders.setdefault(wanted.name, folder) != folder:
                raise ConfigError(
                    f"two models would be served as `{wanted.name}`: {folders[wanted.name]} and "
                    f'{folder}; give one another name with [models.NAME] source = "…"'
                )
            if wanted.name not in configured:
                configured[wanted.name] = _configured(folder, wanted, settings)
        except ModelError as error:
            if wanted.asked:
                raise
            log.warning("%s is here, and is not served: %s", wanted.name, error)
    default = _name_of_default(settings)
    return Plan(settings, roster(configured.values(), settings, default), _vocabulary(library))


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


def _configured(folder: Path, wanted: _Wanted, settings: Settings) -> Configured:
    model = _read(folder, wanted.name, wanted.own, settings)
    return model, wanted.own, int(folder.stat().st_mtime)


def _read(folder: Path, name: str, own: ModelSettings, settings: Settings) -> Model:
    """Understand a folder as its row of the catalogue has it, if it has one."""
    named = identify(own.source or name, own.revision, own.variant)
    row = named.row
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
    return replace(read, languages=row.languages, licence=row.licence) if row else read


def _vocabulary(library: Library) -> Path | None:
    """Have the vocabulary of token arrays. A server without it still embeds texts."""
    try:
        return library.cl100k(fetch=True)
    except ModelError as error:
        log.warning("arrays of token ids will be refused: %s", error)
        return None


def hint(plan: Plan, name: str) -> str:
    """Say what to do about a model that is not served."""
    listed = "GET /v1/models lists what is served."
    base = name.partition("@")[0]
    if base in OPENAI_WIDTHS:
        return (
            "It stands for the default model only while no models are configured; "
            f"[aliases.{base}] in emblem.toml names one. {listed}"
        )
    if base == catalog.CL100K.name:
        return f"It is the vocabulary that OpenAI's token ids are read with, and no model. {listed}"
    if (row := catalog.find(base.removesuffix(f":{LATEST}"))) is not None:
        return _hint_of_row(plan, row, listed)
    served = {one.name.lower(): one.name for one in plan.served}
    if near := difflib.get_close_matches(base.lower(), served, n=1, cutoff=0.8):
        return f"Did you mean {served[near[0]]}? {listed}"
    if (known := catalog.nearest(base)) is not None:
        return f"Did you mean {known}? {listed}"
    if "/" in base:
        return f"If it is a model of the hub, run: emblem pull {base}, and start the server again."
    return listed


def _hint_of_row(plan: Plan, row: Row, listed: str) -> str:
    for one in plan.served:
        same = one.model.space.weights == row.weights or one.model.name in row.names
        if one.alias_of is None and same:
            return f"It is served here as `{one.name}`."
    if plan.settings.serve or plan.settings.models:
        return f"To serve it, add it to the models of `emblem serve` or of emblem.toml. {listed}"
    return f"To serve it, run: emblem pull {row.name}, and start the server again."


def bind_spaces(ledger: Ledger, served: tuple[Served, ...], now: float) -> None:
    """Record the space of each name, or raise SpaceChanged where it had another."""
    check_spaces(ledger, served)
    for one in served:
        ledger.bind(one.name, one.space_identity, one.space_written, now=now)
    check_spaces(ledger, served)  # another server may have bound a name first, to another space


def check_spaces(ledger: Ledger, served: tuple[Served, ...]) -> None:
    """Raise SpaceChanged where names would serve other spaces than the recorded ones."""
    recorded = ledger.spaces()
    changes = [
        (one.name, recorded[one.name][1], one.space_written)
        for one in served
        if one.name in recorded and recorded[one.name][0] != one.space_identity
    ]
    if changes:
        raise SpaceChanged(changes)
