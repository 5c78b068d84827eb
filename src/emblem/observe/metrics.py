"""All metrics together, as Prometheus reads them."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector
from prometheus_client import Metric as Family
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from emblem.observe.requests import Counts, RequestCollector, RequestMetrics
from emblem.observe.state import State, StateCollector


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
    """All metrics: those of requests, of the process, and of what ``read`` gives.

    Everything is read on the event loop at once, and the page is written in a thread.
    """

    requests: RequestMetrics
    read: Callable[[], State]
    process: CollectorRegistry = field(default_factory=process_registry)

    async def page(self, accept: str) -> Page:
        """Give all metrics in the format that an Accept header asks for."""
        return await asyncio.to_thread(self._written, self.requests.counts(), self.read(), accept)

    def families(self, counts: Counts, state: State) -> Iterator[Family]:
        """Give all metrics with what was read. Any thread may ask."""
        for one in self._collectors(counts, state):
            yield from one.collect()

    def _collectors(self, counts: Counts, state: State) -> tuple[Collector, ...]:
        return RequestCollector(counts), StateCollector(state), self.process

    def _written(self, counts: Counts, state: State, accept: str) -> Page:
        together = CollectorRegistry(auto_describe=False)
        for one in self._collectors(counts, state):
            together.register(one)
        encode, content_type = choose_encoder(accept)
        return Page(content_type, encode(together))
