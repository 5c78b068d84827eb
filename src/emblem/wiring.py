"""Names the concrete classes and puts them together. Whoever creates closes."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starlette.types import ASGIApp
from tokenizers import Tokenizer

from emblem import registry
from emblem.api.app import Bounds, create_app
from emblem.backends.cpus import available_cpus
from emblem.config import ModelSettings, Settings
from emblem.core.cl100k import Cl100k
from emblem.core.tokenize import TextTokenizer
from emblem.engine import Engine, QueueLimits
from emblem.errors import ConfigError, ModelError, SpaceChanged
from emblem.ledger.keyring import KeyRing
from emblem.ledger.secret import digest
from emblem.ledger.sqlite import SqliteLedger
from emblem.model import Model
from emblem.models import catalog, layout
from emblem.models.library import Library, name_of
from emblem.models.progress import Progress
from emblem.models.safetensors import Weights
from emblem.names import Names, Served
from emblem.ports import Backend, Embedder, Ledger
from emblem.roster import Configured, roster
from emblem.service import Limits, Service
from emblem.types import EmbedRequest, Kind, Lane
from emblem.wrappers.checked import Checked

log = logging.getLogger(__name__)

CANARY = "A short text that every model must embed before it is said to be ready."


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


def plan(settings: Settings, progress: Progress | None = None) -> Plan:
    """Have every model that is to be served on disk, and say what serves under which name.

    Fetches what is missing. Raises ConfigError or ModelError.
    """
    library = Library(
        Path(settings.home), settings.sources, offline=settings.offline, progress=progress
    )
    configured = [_configured(library, *one, settings) for one in _wanted(library, settings)]
    return Plan(
        settings,
        roster(configured, settings, name_of(settings.default_model)),
        _vocabulary(library),
    )


def _wanted(library: Library, settings: Settings) -> Iterator[tuple[str, ModelSettings]]:
    """Name what is to be served: what is configured, or else the default and all that is here."""
    asked = settings.serve
    if not asked and not settings.models:
        asked = (settings.default_model, *library.installed())
    seen = set(settings.models)
    for reference in asked:
        if (name := name_of(reference)) not in seen:
            seen.add(name)
            yield name, ModelSettings(source=reference)
    yield from settings.models.items()


def _configured(library: Library, name: str, own: ModelSettings, settings: Settings) -> Configured:
    folder = library.fetch(own.source or name, own.revision)
    model = layout.read(
        folder,
        name,
        overflow=own.overflow or settings.overflow,
        query_prompt=own.query_prompt,
        document_prompt=own.document_prompt,
    )
    return model, own, int(folder.stat().st_mtime)


def _vocabulary(library: Library) -> Path | None:
    """Have the vocabulary of token arrays. A server without it still embeds texts."""
    try:
        return library.cl100k(fetch=True)
    except ModelError as error:
        log.warning("arrays of token ids will be refused: %s", error)
        return None


@contextmanager
def open_ledger(settings: Settings) -> Iterator[Ledger]:
    """Open keys and spaces for as long as the block runs."""
    ledger = SqliteLedger(Path(settings.home) / "emblem.db")
    try:
        yield ledger
    finally:
        ledger.close()


def bind_spaces(ledger: Ledger, served: tuple[Served, ...], now: float) -> None:
    """Record the space of each name, or raise SpaceChanged where it had another."""
    check_spaces(ledger, served)
    for one in served:
        ledger.bind(one.name, one.space_identity, one.space_written, now=now)
    check_spaces(ledger, served)  # another server may have bound a name first, to another space


def check_spaces(ledger: Ledger, served: tuple[Served, ...]) -> None:
    """Raise SpaceChanged where a name would serve another space than the recorded one."""
    recorded = ledger.spaces()
    for one in served:
        identity, written = recorded.get(one.name, (one.space_identity, ""))
        if identity != one.space_identity:
            raise SpaceChanged(one.name, written, one.space_written)


def open_model(folder: Path, name: str, settings: Settings) -> Embedder:
    """Open a model folder: tokenizer, backend, engine, check. Raises ModelError."""
    return open_engine(layout.read(folder, name, overflow=settings.overflow), settings)


def open_engine(model: Model, settings: Settings) -> Embedder:
    """Open a model that is understood already. Raises ModelError."""
    limits = QueueLimits(
        settings.interactive_queue_s, settings.bulk_queue_s, settings.max_queue_bytes
    )
    return Checked(Engine(model, _tokenizer(model), _backend(model, settings), limits))


def _tokenizer(model: Model) -> TextTokenizer:
    own = model.tokenization
    try:
        tokenizer = Tokenizer.from_file(str(own.file))
    except Exception as error:  # noqa: BLE001 - the library raises nothing narrower
        raise ModelError(f"{own.file}: {error}") from None
    reader = TextTokenizer(
        tokenizer,
        max_length=own.max_length,
        strip=own.strip,
        lowercase=own.lowercase,
        special_tokens=own.special_tokens,
    )
    for kind in Kind:
        prompt = model.prompts.of(kind)
        if own.max_length and reader.frame.length(reader.read([prompt])[0]) >= own.max_length:
            raise ModelError(f"{model.name}: its {kind} prompt leaves no room for a text")
    return reader


def _backend(model: Model, settings: Settings) -> Backend:
    weights = Weights(model.weights)
    if model.encoder is None:
        static: Backend = registry.backend("static")(next(iter(weights.values())))
        return static
    threads = settings.threads or available_cpus()
    if settings.streams > threads:
        raise ConfigError(
            f"streams = {settings.streams} is more than the {threads} threads there are"
        )
    try:
        encoder: Backend = registry.backend("openvino")(
            model.encoder, weights, threads=threads, streams=settings.streams
        )
    except ModelError as error:
        raise ModelError(f"{model.weights[0].parent}: {error}") from None
    return encoder


def create(plan: Plan, on_ready: Callable[[Ledger], None] = lambda _: None) -> ASGIApp:
    """Build the application of a server's process. Models open when it starts.

    ``on_ready`` is called once all are open; what it raises ends the start.
    """
    settings = plan.settings
    embedders: dict[str, Embedder] = {}
    ledger = SqliteLedger(Path(settings.home) / "emblem.db")
    fixed = [digest(settings.api_key)] if settings.api_key else []

    @asynccontextmanager
    async def lifespan(_: Any) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            stack.callback(ledger.close)
            for model in plan.models.values():
                embedder = await asyncio.to_thread(open_engine, model, settings)
                stack.push_async_callback(embedder.aclose)
                await embedder.embed(EmbedRequest((CANARY,), lane=Lane.BULK))
                embedders[model.name] = embedder
            on_ready(ledger)
            yield

    service = Service(
        Names(plan.served, _hint),
        embedders,
        Limits(
            settings.max_inputs,
            settings.max_input_tokens,
            settings.max_request_tokens,
            settings.request_timeout_s,
            empty_input=settings.empty_input == "embed",
        ),
        Cl100k(plan.cl100k.read_bytes()) if plan.cl100k else None,
    )
    bounds = Bounds(
        settings.max_requests,
        settings.max_body_bytes,
        settings.body_timeout_s,
        settings.cors_origins,
    )
    keys = KeyRing(ledger, fixed) if settings.auth else None
    return create_app(service, keys, bounds, lifespan)


def _hint(name: str) -> str:
    """Say how to get a model that is not served."""
    base = name.partition("@")[0]
    if (row := catalog.find(base)) is not None:
        return f"To serve it, run: emblem pull {row.name}, and start the server again."
    if (near := catalog.nearest(base)) is not None:
        return f"Did you mean {near}? GET /v1/models lists what is served."
    if "/" in base:
        return f"If it is a model of the hub, run: emblem pull {base}, and start the server again."
    return "GET /v1/models lists what is served."


def first_key(ledger: Ledger, settings: Settings) -> str | None:
    """Make the key of the first run; None where there is one already, or none is needed."""
    if not settings.auth or settings.api_key or ledger.keys():
        return None
    _, secret = ledger.issue("first", now=time.time())
    return secret
