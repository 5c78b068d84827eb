"""What is counted with each request, and all metrics together as Prometheus reads them."""

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from http import HTTPMethod, HTTPStatus
from typing import Protocol

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    PlatformCollector,
    ProcessCollector,
)
from prometheus_client.exposition import choose_encoder

from emblem.accounts import Observed
from emblem.observe import names
from emblem.observe.names import Metric
from emblem.observe.state import State, StateCollector

OPERATION, PROVIDER = "embeddings", "emblem"
OTHER = "_OTHER"  # a method that is none: the conventions' own word

KEPT_SERIES = 4096  # of labels that were met; the sets are bounded, this is for what has no bound

_METHODS = frozenset(HTTPMethod.__members__)


def _histogram(metric: Metric, registry: CollectorRegistry) -> Histogram:
    return Histogram(
        metric.name, metric.help, metric.labels, registry=registry, buckets=metric.buckets
    )


def _counter(metric: Metric, registry: CollectorRegistry) -> Counter:
    return Counter(metric.name, metric.help, metric.labels, registry=registry)


@dataclass(frozen=True, slots=True)
class _OfRequest:
    """The series that a request with one method, route, status and model is counted in."""

    requests: Counter
    http_seconds: Histogram
    server_seconds: Histogram | None = None  # and what follows: of requests for embeddings only
    tokens: Histogram | None = None
    inputs: Counter | None = None
    known: Counter | None = None


@dataclass(frozen=True, slots=True)
class _OfKey:
    requests: Counter
    tokens: Counter


class RequestMetrics:
    """Counts requests; an ``Observer``. Used on one event loop, read from any thread.

    ``models`` are the names that a label may have: what else a request may have named is "" there.
    With ``per_key`` the requests and tokens of each key are counted by its id.
    """

    def __init__(
        self, registry: CollectorRegistry, models: Collection[str], *, per_key: bool = False
    ) -> None:
        self._models = frozenset(models)
        self._per_key = per_key
        self._http_seconds = _histogram(names.HTTP_SECONDS, registry)
        self._server_seconds = _histogram(names.SERVER_SECONDS, registry)
        self._tokens = _histogram(names.TOKEN_USAGE, registry)
        self._requests = _counter(names.REQUESTS, registry)
        self._inputs = _counter(names.INPUTS, registry)
        self._known = _counter(names.KNOWN_INPUTS, registry)
        self._refusals = _counter(names.REFUSALS, registry)
        if per_key:
            self._key_requests = _counter(names.KEY_REQUESTS, registry)
            self._key_tokens = _counter(names.KEY_TOKENS, registry)
        # Finding a series by its labels takes longer than counting in it.
        self._found: dict[tuple[str, str, int, str], _OfRequest] = {}
        self._keys: dict[str, _OfKey] = {}

    def observed(self, one: Observed) -> None:
        """Count a request."""
        labels = (one.method, one.route, one.status, one.model)
        series = self._found.get(labels)
        if series is None:
            series = self._series(*labels)
        series.requests.inc()
        series.http_seconds.observe(one.seconds)
        if series.server_seconds is not None:
            series.server_seconds.observe(one.seconds)
        if series.tokens is not None and series.inputs is not None and series.known is not None:
            series.tokens.observe(one.tokens)
            series.inputs.inc(one.inputs)
            if one.hits:
                series.known.inc(one.hits)
        if one.code and one.status in _REFUSED:
            self._refusals.labels(refused_by(one)).inc()
        if self._per_key and one.key:
            self._count_key(one)

    def _series(self, method: str, route: str, status: int, model: str) -> _OfRequest:
        """Find the series of a request, and keep them at hand."""
        known = model if model in self._models else ""
        code = str(status)
        http = (method if method in _METHODS else OTHER, route, code)
        requests = self._requests.labels(route, known, code)
        seconds = self._http_seconds.labels(*http)
        if known:
            gen_ai = (OPERATION, PROVIDER, known)
            good = status == HTTPStatus.OK
            server = self._server_seconds.labels(*gen_ai, "" if good else code)
            found = _OfRequest(requests, seconds, server)
            if good:
                found = _OfRequest(
                    requests,
                    seconds,
                    server,
                    self._tokens.labels(*gen_ai, "input"),
                    self._inputs.labels(known),
                    self._known.labels(known),
                )
        else:
            found = _OfRequest(requests, seconds)
        if len(self._found) >= KEPT_SERIES:  # whoever invents methods must not fill the memory
            self._found.clear()
        self._found[method, route, status, model] = found
        return found

    def _count_key(self, one: Observed) -> None:
        series = self._keys.get(one.key)
        if series is None:
            series = _OfKey(self._key_requests.labels(one.key), self._key_tokens.labels(one.key))
            self._keys[one.key] = series
        series.requests.inc()
        if one.status == HTTPStatus.OK:
            series.tokens.inc(one.tokens)


# 4xx and 5xx answers that say: not now, or not this key. All others are the request's own fault or ours.
_REFUSED = frozenset(
    {
        HTTPStatus.UNAUTHORIZED.value,
        HTTPStatus.FORBIDDEN.value,
        HTTPStatus.TOO_MANY_REQUESTS.value,
        HTTPStatus.SERVICE_UNAVAILABLE.value,
    }
)


def refused_by(one: Observed) -> str:
    """Say what refused a request: a limit such as ``key_tokens_minute``, or the answer's code."""
    limit = one.refused_by
    if limit is None:
        return one.code
    return f"{'team' if limit.team else 'key'}_{limit.unit}_{limit.period}"


@dataclass(frozen=True, slots=True)
class Page:
    """What a scrape is answered with."""

    content_type: str
    content: bytes


class Scraped(Protocol):
    """Answers who scrapes."""

    async def page(self, accept: str) -> Page:
        """Give all metrics in the format that an Accept header asks for."""
        ...


def process_registry() -> CollectorRegistry:
    """Give the metrics of this process as Prometheus' own clients name them."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    return registry


@dataclass(frozen=True, slots=True)
class Exposition:
    """All metrics: those of ``registry``, of the process, and of what ``read`` gives.

    ``read`` is called on the event loop, and the page is written in a thread.
    """

    registry: CollectorRegistry
    read: Callable[[], State]
    process: CollectorRegistry = field(default_factory=process_registry)

    async def page(self, accept: str) -> Page:
        """Give all metrics in the format that an Accept header asks for."""
        return await asyncio.to_thread(self._written, self.read(), accept)

    def _written(self, state: State, accept: str) -> Page:
        together = CollectorRegistry(auto_describe=False)
        for one in (self.registry, StateCollector(state), self.process):
            together.register(one)
        encode, content_type = choose_encoder(accept)
        return Page(content_type, encode(together))
