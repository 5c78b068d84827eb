"""OnDemand: an Embedder that opens its model when it is first used, and again after it was closed."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from math import inf
from typing import Protocol

from emblem.core.room import Held
from emblem.errors import DeadlineExceeded, DeploymentFailed, EmblemError, MissingExtra, Overloaded
from emblem.ports import Embedder, Examining, Working
from emblem.space import Space
from emblem.types import EmbedRequest, EmbedResult, Residence, State, Tokens, Work
from emblem.wrappers.around import counting
from emblem.wrappers.residency import Residency

log = logging.getLogger(__name__)

# After loads that failed, so that a model that cannot be loaded is not read for every request, and
# that others don't leave for it each time. The pause doubles with every failure.
BACK_OFF_S = 1.0
MAX_BACK_OFF_S = 60.0


class Open(Protocol):
    """How a model is opened."""

    async def check(self) -> None:
        """Raise what would keep it from being opened, as far as that shows beforehand."""
        ...

    async def __call__(self) -> Embedder:
        """Give the model once it has embedded a text."""
        ...


@dataclass(frozen=True, slots=True)
class _Failure:
    """A load that failed: when, what callers are told, what it was, and how many did in a row."""

    at: float
    told: EmblemError
    reason: str
    count: int

    @property
    def until(self) -> float:
        """When it may be tried again."""
        return self.at + back_off_s(self.count)


def back_off_s(failures: int) -> float:
    """Give how long to wait after so many failures in a row, at least one."""
    return min(MAX_BACK_OFF_S, BACK_OFF_S * 2.0 ** min(failures - 1, 32))


@dataclass(frozen=True, slots=True)
class Closed:
    """A model before it is opened: its name and space, and the bytes that it will take."""

    name: str
    space: Space
    predicted_bytes: int


class _Hold:
    """Counts who is inside, any number at once, and tells when the last has left."""

    __slots__ = ("_left", "count")

    def __init__(self, left: Callable[[], None]) -> None:
        self._left = left
        self.count = 0

    def __enter__(self) -> None:
        self.count += 1

    def __exit__(self, *_: object) -> None:
        self.count -= 1
        if not self.count:
            self._left()


class OnDemand:
    """Embeds with a model that is in memory only while there is room for it.

    ``open_model`` gives an embedder that has embedded a text already; it is called again after the
    model had to make room for another, and its ``check`` before any other makes room. Used on one
    event loop. ``clock`` is the monotonic clock, in seconds.

    All who ask while it is loaded wait for the one load, which goes on when they leave. Where it
    fails they get DeploymentFailed, and so does whoever asks in the pause after it, which is longer
    after each failure; then it is tried again. It is never closed while somebody uses it, except by
    ``aclose``.
    """

    def __init__(
        self,
        model: Closed,
        open_model: Open,
        residency: Residency,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._model = model
        self._open = open_model
        self._residency = residency
        self._clock = clock
        self._embedder: Embedder | None = None
        self._loading: asyncio.Task[Embedder | EmblemError] | None = None
        self._users = 0
        self._hold = _Hold(self._fall_idle)
        self._loaded_at = self._used_at = -inf
        self._failed: _Failure | None = None
        self._done = Work({})  # before it was last closed
        self._closing = False
        residency.join(self)

    @property
    def name(self) -> str:
        """The name of the model."""
        return self._model.name

    @property
    def space(self) -> Space:
        """The space of the model, which is known before it is loaded and never changes."""
        return self._model.space

    @property
    def predicted_bytes(self) -> int:
        """The memory that it takes once loaded."""
        return self._model.predicted_bytes

    @property
    def held(self) -> Held | None:
        """The memory that it takes now; None while it is not loaded."""
        if self._embedder is None:
            return None
        last_used = max(self._loaded_at, self._used_at)
        return Held(self.predicted_bytes, last_used, busy=self._used)

    def hold(self) -> AbstractContextManager[object]:
        """Let it not be closed inside of this, once it is loaded: what is counted is embedded next."""
        return self._hold

    async def embed(self, request: EmbedRequest) -> EmbedResult:
        """Embed, once the model is loaded; see ``ports.Embedder``."""
        self._users += 1
        try:
            embedder = self._embedder or await self._loaded(request.deadline)
            return await embedder.embed(request)
        finally:
            self._leave()

    async def count(self, request: EmbedRequest) -> tuple[EmbedRequest, Tokens]:
        """Say what the inputs will cost, once the model is loaded; see ``ports.Counting``."""
        self._users += 1
        try:
            embedder = self._embedder or await self._loaded(request.deadline)
            return await counting(embedder).count(request)
        finally:
            self._leave()

    async def examine(self, request: EmbedRequest, wrong: Mapping[int, str]) -> None:
        """Say what is wrong with the inputs, once the model is loaded; see ``ports.Examining``."""
        self._users += 1
        try:
            embedder = self._embedder or await self._loaded(request.deadline)
            if isinstance(embedder, Examining):
                await embedder.examine(request, wrong)
        finally:
            self._leave()

    def problem(self) -> str | None:
        """Pass on what the loaded model says of itself. To be unloaded is no problem."""
        if self._closing:
            return "is shutting down"
        return self._embedder.problem() if self._embedder else None

    async def load(self) -> None:
        """Load before anyone asks. What goes wrong is raised as it is."""
        await self._open_in_turn()

    def let_go(self) -> Embedder:
        """Give up what is loaded; see ``residency.Resident``."""
        embedder = self._embedder
        if embedder is None or self._used:
            raise RuntimeError(f"{self.name} is not idle")
        self._done = self._work()
        self._embedder = None
        return embedder

    def report(self) -> Residence:
        """Say how the model stands."""
        now = self._clock()
        loaded = self._embedder is not None
        loading = State.LOADING if self._loading else State.UNLOADED
        failed = f"could not be loaded: {self._failed.reason}" if self._failed else None
        return Residence(
            name=self.name,
            state=State.LOADED if loaded else loading,
            predicted_bytes=self.predicted_bytes,
            requests=self._users,
            loaded_s=now - self._loaded_at if loaded else None,
            idle_s=now - self._used_at if self._used_at > -inf else None,
            work=self._work(),
            problem=self.problem() or failed,
        )

    async def aclose(self) -> None:
        """Close the model, also one that is being loaded. Nothing is loaded any more."""
        self._closing = True
        if self._loading:
            await asyncio.wait([self._loading])
        embedder, self._embedder = self._embedder, None
        if embedder:
            await embedder.aclose()

    def _leave(self) -> None:
        self._users -= 1
        self._used_at = self._clock()
        self._fall_idle()

    @property
    def _used(self) -> bool:
        return self._users > 0 or self._hold.count > 0

    def _fall_idle(self) -> None:
        if not self._users and not self._hold.count:
            self._residency.idle()

    async def _loaded(self, deadline: float) -> Embedder:
        """Wait for the load that runs, or begin one, and give what it opened."""
        if self._closing:
            raise DeploymentFailed(f"{self.name} is shutting down")
        if self._loading is None:
            if self._failed and self._clock() < self._failed.until:
                raise self._failed.told
            self._loading = asyncio.create_task(self._load())
        left = None if deadline == inf else deadline - self._clock()
        done, _ = await asyncio.wait([self._loading], timeout=left)
        if not done:
            raise DeadlineExceeded(f"{self.name} was not loaded in time.")
        opened = done.pop().result()
        if isinstance(opened, EmblemError):
            raise opened
        return opened

    async def _load(self) -> Embedder | EmblemError:
        """Load, and give what those who wait are to get: the model, or why there is none."""
        try:
            opened = await self._open_in_turn()
        except (asyncio.CancelledError, KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # noqa: BLE001 - a library's panic is no Exception
            told = self._told(error)
            if not isinstance(told, Overloaded):
                before = self._failed.count if self._failed else 0
                self._failed = _Failure(self._clock(), told, _reason(error), before + 1)
            return told
        else:
            self._failed = None
            return opened
        finally:
            self._loading = None

    async def _open_in_turn(self) -> Embedder:
        started = self._clock()
        await self._open.check()
        async with self._residency.room(self):
            if self._closing:
                raise DeploymentFailed(f"{self.name} is shutting down")
            opened = self._embedder = await self._open()
            self._loaded_at = self._clock()
        log.info("%s: loaded in %.1f s", self.name, self._loaded_at - started)
        return opened

    def _told(self, error: BaseException) -> EmblemError:
        """Say why it could not be loaded: to the log all, to callers what is theirs to know."""
        if isinstance(error, (Overloaded, DeploymentFailed)):
            return error
        if isinstance(error, EmblemError):
            log.error("%s could not be loaded: %s", self.name, error)
        else:
            log.error("%s could not be loaded", self.name, exc_info=error)
        why = str(error) if isinstance(error, MissingExtra) else "the server's log says why"
        return DeploymentFailed(f"{self.name} could not be loaded: {why}")

    def _work(self) -> Work:
        """Add what was done before the model was last closed."""
        embedder = self._embedder
        now = embedder.work() if isinstance(embedder, Working) else Work({})
        return replace(
            now,
            rows=self._done.rows + now.rows,
            tokens=self._done.tokens + now.tokens,
            row_seconds=self._done.row_seconds + now.row_seconds,
            seconds_per_token=now.seconds_per_token or self._done.seconds_per_token,
        )


def _reason(error: BaseException) -> str:
    """Say in a line what the log says, to whoever may see it."""
    said = " ".join(str(error).split())
    return said if isinstance(error, EmblemError) else f"{type(error).__name__}: {said}"
