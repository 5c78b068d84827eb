"""``/admin/models``, ``/admin/live``, ``/admin/health``: what is served, what runs, what is wrong."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import msgspec
from starlette.responses import Response
from starlette.routing import Route

from emblem import __version__
from emblem.api.admin.desk import Asked, Desk, answer
from emblem.api.models import ElsewhereItem, ModelItem
from emblem.api.models import item as model_item
from emblem.api.passed import Directory
from emblem.api.problems import Problem
from emblem.api.running import RunningItem, RunningList, running_item, running_list
from emblem.names import Served
from emblem.ports import Ledger
from emblem.service import Service
from emblem.types import DeploymentState, Health, Occupancy, Residence

DATABASE_TIME_S = 5.0
RATE_OVER_S = 10.0  # of how long the rate of tokens tells


@dataclass(frozen=True, slots=True)
class Recording:
    """How the records of usage are doing: how many wait to be written, and how many were lost."""

    waiting: int = 0
    lost: int = 0


@dataclass(frozen=True, slots=True)
class Inside:
    """What the administration is told of the process that it is part of.

    ``database`` is its name, without a password. ``limits_problem`` says why limits are not counted
    as they should be, None where they are. ``directory`` has the models that are passed on to.
    """

    database: str
    started: float = field(default_factory=time.monotonic)
    limits_problem: Callable[[], str | None] = lambda: None
    recording: Callable[[], Recording] = Recording
    directory: Directory = field(default_factory=Directory)


class DeploymentItem(msgspec.Struct, frozen=True):
    """One place that serves a model, here or elsewhere; see ``types.DeploymentState``."""

    name: str
    kind: str
    health: str
    problem: str | None
    weight: float
    requests: int
    max_requests: int
    answered: int
    failures: int
    invalid: int
    worst_cosine: float | None
    proven_seconds_ago: float | None
    retry_seconds: float | None


class AdminModelItem(ModelItem, frozen=True):
    """One name that is served, and whether its model is in memory and what it has to do.

    A model that is in this process alone has no ``deployments``.
    """

    identity: str = ""
    running: RunningItem | None = None
    deployments: tuple[DeploymentItem, ...] = ()
    object: str = "admin.model"


class AdminPassedItem(ElsewhereItem, frozen=True):
    """One name whose requests are passed on, for chat or rankings, and to where."""

    deployments: tuple[DeploymentItem, ...] = ()
    object: str = "admin.model"


class AdminModelList(msgspec.Struct, frozen=True, kw_only=True):
    """Every name that is served, aliases too, in the order of the configuration.

    ``data`` are those that give vectors.
    """

    object: str = "list"
    data: list[AdminModelItem]
    passed_on: list[AdminPassedItem] = []


class LiveList(RunningList, frozen=True, kw_only=True):
    """What GET /ps has, and how fast it goes. ``at`` is in seconds since the epoch.

    ``tokens_per_second`` is measured between two questions, within the last ten seconds; null
    where nobody has asked before. ``cache_hit_rate`` is that since the start, from 0 to 1.
    """

    at: float
    uptime_s: float
    tokens_per_second: float | None
    cache_hit_rate: float | None


class PartItem(msgspec.Struct, frozen=True):
    """One part, and what is wrong with it; null where nothing is."""

    problem: str | None


class DatabaseItem(PartItem, frozen=True):
    """The database, and how many milliseconds it took to answer."""

    name: str
    ms: float


class RecordingItem(msgspec.Struct, frozen=True):
    """Records of usage: how many wait to be written, and how many were lost since the start."""

    waiting: int
    lost: int


class HealthItem(msgspec.Struct, frozen=True, kw_only=True):
    """How the server is: ``status`` is "ok", or "degraded" where any part has a problem.

    ``deployments`` are those that do not serve, also where others of their model do.
    """

    object: str = "admin.health"
    status: str
    version: str
    uptime_s: float
    database: DatabaseItem
    limits: PartItem
    usage: RecordingItem
    models: list[str]
    deployments: list[str] = []


class State:
    """Answers what is asked of the process itself."""

    def __init__(
        self,
        desk: Desk,
        ledger: Ledger,
        service: Service,
        inside: Inside,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._desk = desk
        self._ledger = ledger
        self._service = service
        self._inside = inside
        self._now = now
        self._seen: deque[tuple[float, int]] = deque()  # when, and tokens so far

    def routes(self) -> list[Route]:
        """Give the routes."""
        return [
            self._desk.route("/admin/models", get=self.models),
            self._desk.route("/admin/live", get=self.live),
            self._desk.route("/admin/health", get=self.health),
        ]

    async def models(self, asked: Asked) -> Response:
        """Give every name that is served."""
        asked.query()
        residences = {one.name: one for one in self._service.running().models}
        deployments = self._service.deployments()
        data = [
            _model(one, residences.get(one.model.name), deployments.get(one.model.name, ()))
            for one in self._service.names
        ]
        passed_on = [
            AdminPassedItem(
                id=one.name,
                created=one.created,
                task=one.task,
                deployments=tuple(map(_deployment, one.passages.deployments())),
            )
            for one in self._inside.directory
        ]
        return answer(AdminModelList(data=data, passed_on=passed_on))

    async def live(self, asked: Asked) -> Response:
        """Give what runs now."""
        asked.query()
        occupancy = self._service.running()
        shown = running_list(occupancy)
        known = {one.name: getattr(shown, one.name) for one in msgspec.structs.fields(RunningList)}
        now = self._now()
        rate = self._rate(now, sum(one.work.tokens for one in occupancy.models))
        return answer(
            LiveList(
                **known,
                at=self._desk.clock(),
                uptime_s=round(now - self._inside.started, 3),
                tokens_per_second=rate,
                cache_hit_rate=_hit_rate(occupancy),
            )
        )

    async def health(self, asked: Asked) -> Response:
        """Say how the parts are. The answer is 200 whatever they are: it was found out."""
        asked.query()
        database = await self._database()
        limits = PartItem(self._inside.limits_problem())
        recording = self._inside.recording()
        models = self._service.problems()
        deployments = [
            f"{model}: {one.name} {one.health}: {one.problem}"
            for model, states in self._service.deployments().items()
            for one in states
            if one.health is not Health.SERVING
        ]
        wrong = (database.problem, limits.problem, models, deployments, recording.lost)
        return answer(
            HealthItem(
                status="degraded" if any(wrong) else "ok",
                version=__version__,
                uptime_s=round(self._now() - self._inside.started, 3),
                database=database,
                limits=limits,
                usage=RecordingItem(recording.waiting, recording.lost),
                models=models,
                deployments=deployments,
            )
        )

    async def _database(self) -> DatabaseItem:
        """Ask the database the least that there is to ask."""
        began = self._now()
        problem = None
        try:
            async with asyncio.timeout(DATABASE_TIME_S):
                await self._desk.ask(self._ledger.keys.version)
        except Problem as error:
            problem = error.detail.message
        except TimeoutError:
            problem = f"it has not answered within {DATABASE_TIME_S:g} s"
        ms = round(1000 * (self._now() - began), 3)
        return DatabaseItem(problem, self._inside.database, ms)

    def _rate(self, now: float, tokens: int) -> float | None:
        """Give the tokens per second since the oldest question of the last ten seconds."""
        # Models that were closed meanwhile take what they have counted with them.
        while self._seen and (now - self._seen[0][0] > RATE_OVER_S or tokens < self._seen[0][1]):
            self._seen.popleft()
        before = self._seen[0] if self._seen else None
        if not self._seen or now - self._seen[-1][0] >= RATE_OVER_S / 20:
            self._seen.append((now, tokens))
        if before is None or now <= before[0]:
            return None
        return round((tokens - before[1]) / (now - before[0]), 1)


def _model(
    served: Served, residence: Residence | None, deployments: Sequence[DeploymentState]
) -> AdminModelItem:
    item = model_item(served)
    known = {one.name: getattr(item, one.name) for one in msgspec.structs.fields(ModelItem)}
    known["object"] = "admin.model"
    running = None if residence is None else running_item(residence)
    return AdminModelItem(
        **known,
        identity=served.space_identity,
        running=running,
        deployments=tuple(map(_deployment, deployments)),
    )


def _deployment(one: DeploymentState) -> DeploymentItem:
    return DeploymentItem(
        name=one.name,
        kind=one.kind,
        health=one.health,
        problem=one.problem,
        weight=one.weight,
        requests=one.requests,
        max_requests=one.max_requests,
        answered=one.answered,
        failures=one.failures,
        invalid=one.invalid,
        worst_cosine=_rounded(one.worst_cosine, 6),
        proven_seconds_ago=_rounded(one.proven_s, 3),
        retry_seconds=_rounded(one.retry_s, 3),
    )


def _rounded(number: float | None, digits: int) -> float | None:
    return None if number is None else round(number, digits)


def _hit_rate(occupancy: Occupancy) -> float | None:
    cache = occupancy.cache
    asked = 0 if cache is None else cache.hits + cache.misses
    return None if cache is None or not asked else round(cache.hits / asked, 4)
