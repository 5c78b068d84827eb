"""What a server is observed with, by its settings."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from starlette.types import ASGIApp

from emblem.config import Settings, Telemetry, telemetry
from emblem.observe.metrics import Exposition, Scraped
from emblem.observe.port import metrics_port
from emblem.observe.requests import RequestMetrics
from emblem.observe.state import State
from emblem.observe.together import Together
from emblem.ports import Embedder, Limiter, Observer, Passage
from emblem.process import ALONE, Process

if TYPE_CHECKING:
    from emblem.observe.tracing import Tracing

log = logging.getLogger(__name__)


class Observation:
    """The metrics of a server, and its traces where those are sent.

    ``models`` are the names of the models themselves, ``read`` gives the state of the server and is
    called on its event loop. ``process`` is the one of the server's processes that this is.
    """

    def __init__(
        self,
        settings: Settings,
        models: Collection[str],
        read: Callable[[], State],
        tracing: "Tracing | None" = None,
        process: Process = ALONE,
    ) -> None:
        self._settings = settings
        self._tracing = tracing
        self._requests = RequestMetrics(models, per_key=settings.metrics_per_key)
        own = Exposition(self._requests, read)
        self._together = Together(own, process.shared) if process.shared else None
        self.exposition: Scraped = self._together or own

    @property
    def observers(self) -> tuple[Observer, ...]:
        """Who is to hear of each request."""
        if self._tracing is None:
            return (self._requests,)
        from emblem.observe.tracing import RequestSpans

        return (self._requests, RequestSpans())

    def app(self, app: ASGIApp) -> ASGIApp:
        """Give an application whose requests are traced, if any are."""
        if self._tracing is None:
            return app
        from emblem.observe.tracing import TracedApp

        return TracedApp(app, self._tracing)

    def embedder(self, embedder: Embedder) -> Embedder:
        """Give an embedder whose work is traced, if any is."""
        if self._tracing is None:
            return embedder
        from emblem.observe.tracing import TracedEmbedder

        return TracedEmbedder(embedder, self._tracing)

    def passage(self, passage: Passage, operation: str) -> Passage:
        """Give a way on which requests are passed on in spans, if any are traced."""
        if self._tracing is None:
            return passage
        from emblem.observe.tracing import TracedPassage

        return TracedPassage(passage, operation, self._tracing)

    def limiter(self, limiter: Limiter) -> Limiter:
        """Give a limiter whose charges are traced, if any are."""
        if self._tracing is None:
            return limiter
        from emblem.observe.tracing import TracedLimiter

        return TracedLimiter(limiter, self._tracing)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Answer scrapes on the port for metrics, if there is one; send all traces at the end.

        Raises ConfigError where the port cannot be listened on.
        """
        settings = self._settings
        async with AsyncExitStack() as stack:
            if self._tracing is not None:
                stack.push_async_callback(asyncio.to_thread, self._tracing.close)
            if self._together is not None:
                await stack.enter_async_context(self._together.sharing())
            if settings.metrics_port:
                loop = asyncio.get_running_loop()
                host, port = settings.metrics_host, settings.metrics_port
                stack.enter_context(metrics_port(self.exposition, host, port, loop))
            yield


def tracing(version: str, wanted: Telemetry | None = None) -> "Tracing | None":
    """Have traces sent where OpenTelemetry's variables say; None where they say nothing.

    Without the extra ``otel`` none are sent, and the log says so. Raises ConfigError.
    """
    wanted = wanted or telemetry()
    if wanted is None:
        return None
    try:
        from emblem.observe.tracing import open_tracing
    except ImportError:
        log.warning("traces are not sent: they need an optional part: pip install 'emblem[otel]'")
        return None
    return open_tracing(wanted, version)
