"""Names the concrete classes and puts them together. Whoever creates closes."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
from starlette.routing import Route
from starlette.types import ASGIApp

from emblem import __version__
from emblem.accounting import Accounting
from emblem.accounts import Role, Terms
from emblem.api.access import AccessLog
from emblem.api.admin.routes import admin_routes
from emblem.api.admin.state import Inside, Recording
from emblem.api.app import Bounds, create_app, usage_routes
from emblem.api.body import BodyReader
from emblem.api.console.opening import console
from emblem.api.edge import EMBEDDINGS
from emblem.api.metrics import metrics_routes
from emblem.api.passed import Directory
from emblem.api.proxies import BehindProxies
from emblem.api.usage import OwnUsage
from emblem.api.working import RECORDED, passing_routes, tei_routes
from emblem.assembly import Assembled, assemble
from emblem.backends import memory
from emblem.caches.doubts import RedisDoubts
from emblem.caches.opening import open_tiers
from emblem.caches.tiers import Tiers
from emblem.config import Settings, cache_redis_address
from emblem.core.cl100k import Cl100k
from emblem.core.tokenize import TextTokenizer
from emblem.engine import QueueLimits
from emblem.engine.readers import stay_in_own_thread
from emblem.hints import hint
from emblem.hosting import Hosting
from emblem.joining import Joining
from emblem.ledger.observing import UsageObserver
from emblem.model import Model
from emblem.models.tokens import Tokens
from emblem.names import Names, Served
from emblem.observe.opening import Observation, tracing
from emblem.observe.state import State
from emblem.offer import Offer
from emblem.opening import open_engine, open_tokenizer, queue_limits
from emblem.passages import open_directory, tasks
from emblem.ports import Embedder, Ledger, Observer, References
from emblem.process import ALONE, Process
from emblem.service import Limits, Service
from emblem.serving import Deployed, Plan, Stamp, bind_spaces, read_again, stamp
from emblem.types import EmbedRequest, Lane, Occupancy
from emblem.wrappers.cached import Cached
from emblem.wrappers.coalesced import Coalesced
from emblem.wrappers.laned import Laned
from emblem.wrappers.on_demand import Closed, OnDemand
from emblem.wrappers.recent import Recent
from emblem.wrappers.references import FileReferences
from emblem.wrappers.residency import Residency
from emblem.wrappers.shared_references import SharedReferences

REFERENCES = "spaces"  # the folder, in the home folder, of what deployments are held to
CANARY = "A short text that every model must embed before it is said to be ready."


class _Opening:
    """Opens a model, and has it embed a text, whenever it is called."""

    def __init__(self, deployed: Deployed, settings: Settings, limits: QueueLimits) -> None:
        self._deployed = deployed
        self._settings = msgspec.structs.replace(settings, streams=deployed.streams)
        self._limits = limits
        self._just_read = deployed.at_start
        self._checked: Stamp = ()  # what the files were when they were last read in full

    async def __call__(self) -> Embedder:
        """Give the model once it has answered. Raises EmblemError."""
        embedder = await asyncio.to_thread(self._open)
        try:
            await embedder.embed(EmbedRequest((CANARY,), lane=Lane.BULK))
        except BaseException:
            await embedder.aclose()
            raise
        return embedder

    async def check(self) -> None:
        """Look whether its files give the vectors that they gave before. Raises ModelError."""
        if not self._just_read:
            await asyncio.to_thread(self._check)

    def _check(self) -> None:
        seen = stamp(self._deployed.folder)
        if seen != self._checked:
            read_again(self._deployed, self._settings)
            self._checked = seen

    def _open(self) -> Embedder:
        if not self._just_read:
            self._check()  # once more, for there may have been a wait
        self._just_read = False
        self._checked = ()
        return open_engine(self._deployed.model, self._settings, self._limits)


def _on_demand(
    deployed: Deployed, settings: Settings, limits: QueueLimits, residency: Residency
) -> OnDemand:
    model = deployed.model
    closed = Closed(model.name, model.space, deployed.predicted_bytes)
    return OnDemand(closed, _Opening(deployed, settings, limits), residency)


def _remembering(
    embedder: Embedder, model: Offer, recent: Recent, tiers: Tiers | None, *, sends: bool
) -> Embedder:
    """Have a model's texts computed once, unless there is no room to remember any.

    The lane of a request is chosen by what is left to compute of it. ``sends`` tells that some of
    it is computed elsewhere.
    """
    instant = isinstance(model, Model) and model.encoder is None and not sends
    beyond = None if instant else tiers  # a table is looked up sooner than a file, or Redis
    if not recent.max_bytes and beyond is None:
        return Laned(embedder)
    shortening = model.shortening
    once = Laned(Coalesced(embedder, shortening=shortening, sends=sends))
    return Cached(once, recent, shortening=shortening, name=model.name, beyond=beyond)


def _tiers(settings: Settings) -> Tiers | None:
    """Give where texts are remembered beyond this process, if anywhere."""
    return open_tiers(
        Path(settings.home),
        settings.cache_disk_bytes,
        cache_redis_address(settings),
        redis_ttl_s=settings.cache_redis_ttl_s,
        redis_bytes=settings.cache_redis_bytes,
        timeout_s=settings.cache_timeout_s,
    )


def _doubts(settings: Settings) -> RedisDoubts | None:
    """Give where servers that share vectors count how often a space was wrong, if they share any."""
    address = cache_redis_address(settings)
    return RedisDoubts(address) if address else None


def open_hosted(
    hosting: Hosting,
    settings: Settings,
    local: Embedder | None = None,
    references: References | None = None,
) -> Assembled:
    """Put a model together that has deployments elsewhere; ``local`` is the one that is here.

    Without ``references`` its deployments are held to those of the home folder. Raises ConfigError.
    """
    kept = references or FileReferences(Path(settings.home) / REFERENCES)
    return assemble(hosting, local, _reader(hosting), kept, settings)


def _reader(hosting: Hosting) -> TextTokenizer | None:
    """Open what upstreams' texts are counted and cut with, if it is known."""
    own, prompts = hosting.tokenization, hosting.offer.prompts
    return None if own is None else open_tokenizer(own, prompts, hosting.offer.name)


def _occupancy(residency: Residency, recent: Recent, tiers: Tiers | None) -> Occupancy:
    return replace(
        residency.report(),
        cache=recent.report() if recent.max_bytes else None,
        tiers=tiers.report() if tiers else (),
    )


def create(
    plan: Plan,
    on_ready: Callable[[Ledger], None] = lambda _: None,
    process: Process = ALONE,
) -> ASGIApp:
    """Build the application of a server's process, which is this one of them.

    ``on_ready`` is called once all models are open that are to be at the start; what it raises ends
    the start.
    """
    settings = plan.settings
    memory.keep_little()
    stay_in_own_thread()
    recent, tiers = Recent(plan.max_cache_bytes), _tiers(settings)
    residency = Residency(
        plan.max_model_bytes,
        memory.resident_bytes,
        memory.give_back,
        elsewhere=lambda: recent.held_bytes,
    )
    limits = queue_limits(settings, plan.max_queue_bytes)
    loading = {
        one.model.name: _on_demand(one, settings, limits, residency) for one in plan.deployed
    }
    accounting = Accounting(settings)
    ledger = accounting.ledger
    observation = Observation(
        settings,
        {*plan.models, *(one.name for one in plan.awaited), *tasks(settings)},
        lambda: replace(
            _state(_occupancy(residency, recent, tiers), accounting),
            deployments=service.deployments(),
        ),
        tracing(__version__),
        process,
    )
    accounting.charging.limiter = observation.limiter(accounting.limiter)
    directory = open_directory(settings, plan.served, observation.passage)
    kept = FileReferences(Path(settings.home) / REFERENCES)
    shared = _doubts(settings) if plan.hosted or plan.awaited else None
    references = SharedReferences(kept, shared) if shared else kept
    assembled = {
        name: assemble(one, loading.get(name), _reader(one), references, settings)
        for name, one in plan.hostings.items()
    }
    bases: dict[str, Embedder] = {**loading}
    bases |= {name: one.embedder for name, one in assembled.items()}
    embedders = {
        name: observation.embedder(
            _remembering(base, plan.models[name], recent, tiers, sends=name in assembled)
        )
        for name, base in bases.items()
    }

    @asynccontextmanager
    async def lifespan(_: Any) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(observation.serving())
            await stack.enter_async_context(accounting.open())
            if tiers is not None:
                stack.push_async_callback(tiers.aclose)
            if shared is not None:
                stack.callback(shared.close)
            for embedder in embedders.values():
                stack.push_async_callback(embedder.aclose)
            for one_elsewhere in directory:
                stack.push_async_callback(one_elsewhere.passages.aclose)
            stack.callback(residency.close)
            for one in plan.deployed:
                if one.at_start:
                    await loading[one.model.name].load()
            for pool in assembled.values():
                stack.push_async_callback(pool.end)
            await asyncio.gather(*(pool.begin() for pool in assembled.values()))
            on_ready(ledger)
            stack.push_async_callback(joining.aclose)

            async def join(hosting: Hosting, served: tuple[Served, ...]) -> None:
                name = hosting.offer.name
                new = tuple(one for one in served if one.model.name == name)
                await asyncio.to_thread(bind_spaces, ledger, new, time.time())
                given = hosting, None, _reader(hosting), references, settings
                pool = await asyncio.to_thread(assemble, *given)
                embedder = observation.embedder(
                    _remembering(pool.embedder, hosting.offer, recent, tiers, sends=True)
                )
                stack.push_async_callback(embedder.aclose)
                stack.push_async_callback(pool.end)
                await pool.begin()
                service.take(name, embedder)
                names.serve(served)

            joining.begin(join)
            yield

    joining = Joining(plan)
    names = Names(plan.served, partial(hint, plan), joining.absent)
    service = Service(
        names,
        embedders,
        Limits(
            settings.max_inputs,
            settings.max_input_tokens,
            settings.max_request_tokens,
            settings.request_timeout_s,
            empty_input=settings.empty_input == "embed",
        ),
        accounting.charging,
        Cl100k(plan.cl100k.read_bytes()) if plan.cl100k else None,
        running=lambda: replace(
            _occupancy(residency, recent, tiers), process=process.number, processes=process.count
        ),
        elsewhere=lambda: [*joining.problems(), *process.problems()],
        holding={name: one.hold for name, one in loading.items()},
        passing={one.name: one.passages for one in directory},
    )
    bounds = Bounds(
        settings.max_requests,
        settings.max_body_bytes,
        settings.body_timeout_s,
        settings.cors_origins,
    )
    observers: list[Observer] = [AccessLog(), *observation.observers]
    if accounting.keys is not None:
        observers.append(UsageObserver(accounting, (*EMBEDDINGS, *RECORDED)))
    door = console(settings, accounting.keys, process.shared)
    more = [
        *metrics_routes(observation.exposition),
        *usage_routes(OwnUsage(ledger.usage, accounting.limiter)),
        *admin_routes(ledger, service, _inside(accounting, directory)),
        *(door.routes() if settings.console else ()),
    ]
    app = create_app(
        service,
        accounting.keys,
        bounds,
        lifespan,
        more,
        observers,
        door.sessions,
        directory,
        partial(_working, plan, service, accounting, directory),
    )
    app = observation.app(app)
    return BehindProxies(app, settings.trusted_proxies) if settings.trusted_proxies else app


def _working(
    plan: Plan,
    service: Service,
    accounting: Accounting,
    directory: Directory,
    bodies: BodyReader,
) -> list[Route]:
    """Give the routes beside that for embeddings that do work."""
    charging, settings = accounting.charging, plan.settings
    here = {one.model.name: one.model.tokenization for one in plan.deployed}
    tei = tei_routes(
        service,
        charging,
        Tokens(here),
        bodies,
        default=settings.default_model,
        max_requests=settings.max_requests,
    )
    return [*passing_routes(directory, charging, bodies), *tei]


def _state(occupancy: Occupancy, accounting: Accounting) -> State:
    """Say what metrics tell of a server besides its requests."""
    return State(
        __version__,
        occupancy,
        accounting.availability,
        accounting.usage_waiting,
        accounting.usage_lost,
    )


def _inside(accounting: Accounting, directory: Directory) -> Inside:
    """Say what the administration is told of the process."""

    def problem() -> str | None:
        seen = accounting.availability
        return "Redis does not answer" if seen is not None and seen.away else None

    return Inside(
        accounting.ledger.database.name,
        limits_problem=problem,
        recording=lambda: Recording(accounting.usage_waiting, accounting.usage_lost),
        directory=directory,
    )


def first_key(ledger: Ledger, settings: Settings) -> str | None:
    """Make the key of the first run; None where there is one already, or none is needed."""
    if not settings.auth or settings.api_key or ledger.keys.every():
        return None
    _, secret = ledger.keys.issue(Terms("first", role=Role.ADMIN), now=time.time())
    return secret
