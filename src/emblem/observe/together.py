"""The metrics of all processes of a server added up, whichever of them is asked.

Each process lays what it has counted into a folder once a second, when it is asked, and at its end.
Whoever is asked reads all of it. What a process counted stays when it is gone, for a sum of counters
that falls would be read as a restart of everything; what it was at one moment goes with it.
"""

import asyncio
import logging
import os
import threading
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import msgspec
from prometheus_client import CollectorRegistry
from prometheus_client import Metric as Family
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from emblem.observe import names
from emblem.observe.metrics import Exposition, Page

log = logging.getLogger(__name__)

EVERY_S = 1.0
GONE_S = 5.0  # after which a process that lays nothing down any more is taken to be gone

# All other gauges are of each process alone, and the server has their sum.
LARGEST = frozenset(
    one.name
    for one in (
        *(names.BUILD, names.LOADED, names.BROKEN, names.ROW_CAPACITY, names.TOKEN_SECONDS),
        *(names.MODEL_BYTES, names.REDIS_AWAY),
    )
) | {"python_info"}
LEAST = frozenset({"process_start_time_seconds", names.SERVING.name, names.WORST_COSINE.name})


class Sample(msgspec.Struct, frozen=True, array_like=True):
    """One value of a metric; see ``prometheus_client.samples.Sample``."""

    name: str
    labels: dict[str, str]
    value: float


class Kept(msgspec.Struct, frozen=True, array_like=True):
    """A metric with its values."""

    name: str
    help: str
    type: str
    samples: list[Sample]


class Laid(msgspec.Struct, frozen=True, array_like=True):
    """What a process has counted as of a moment, in seconds since the epoch; 0 at its end."""

    at: float
    metrics: list[Kept]


def added(every: Sequence[Laid], now: float) -> list[Kept]:
    """Add up what the processes have counted. Pure."""
    together: dict[str, Kept] = {}
    values: dict[str, dict[tuple[str, tuple[str, ...]], Sample]] = {}
    for laid in every:
        gone = now - laid.at > GONE_S
        for metric in laid.metrics:
            if gone and metric.type == "gauge":
                continue
            together.setdefault(metric.name, metric)
            sums = values.setdefault(metric.name, {})
            for one in metric.samples:
                where = (one.name, tuple(one.labels.values()))
                sums[where] = _joined(metric.name, sums.get(where), one)
    return [
        msgspec.structs.replace(metric, samples=list(values[name].values()))
        for name, metric in together.items()
    ]


def _joined(metric: str, before: Sample | None, one: Sample) -> Sample:
    if before is None:
        return one
    if metric in LARGEST:
        value = max(before.value, one.value)
    elif metric in LEAST:
        value = min(before.value, one.value)
    else:
        value = before.value + one.value
    return Sample(one.name, one.labels, value)


class Together:
    """Answers for all processes who scrapes one of them; a ``Scraped``."""

    def __init__(self, own: Exposition, folder: Path, process: int | None = None) -> None:
        self._own = own
        self._folder = folder
        self._file = folder / f"{process or os.getpid()}.counted"
        self._lock = threading.Lock()
        self._taken = 0  # how often this process was read, on its event loop
        self._laid = 0  # which of these was laid down last

    async def page(self, accept: str) -> Page:
        """Give all metrics of all processes in the format that an Accept header asks for."""
        await self._lay(time.time())
        return await asyncio.to_thread(self._written, accept)

    @asynccontextmanager
    async def sharing(self) -> AsyncIterator[None]:
        """Lay down what is counted for as long as this lasts, and the rest of it at the end."""
        task = asyncio.create_task(self._share())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            await self._lay(0)

    async def _share(self) -> None:
        while True:
            await self._lay(time.time())
            await asyncio.sleep(EVERY_S)

    async def _lay(self, at: float) -> None:
        own = self._own
        self._taken += 1
        counts, state = own.requests.counts(), own.read()
        await asyncio.to_thread(
            lambda turn: self._put(turn, at, own.families(counts, state)), self._taken
        )

    def _put(self, turn: int, at: float, families: Iterable[Family]) -> None:
        """Write, unless what was read later is written already: no sum must fall."""
        laid = Laid(at, [_kept(one) for one in families])
        with self._lock:
            if turn < self._laid:
                return
            self._laid = turn
            try:
                new = self._file.with_suffix(".new")
                new.write_bytes(msgspec.msgpack.encode(laid))
                new.replace(self._file)
            except OSError as error:
                log.warning("metrics of this process are not added to the others': %s", error)

    def _written(self, accept: str) -> Page:
        together = CollectorRegistry(auto_describe=False)
        together.register(_Summed(added(self._every(), time.time())))
        encode, content_type = choose_encoder(accept)
        return Page(content_type, encode(together))

    def _every(self) -> list[Laid]:
        found = []
        for file in sorted(self._folder.glob("*.counted")):
            with suppress(OSError):  # the folder goes when the server ends
                found.append(msgspec.msgpack.decode(file.read_bytes(), type=Laid))
        return found


class _Summed(Collector):
    def __init__(self, metrics: Iterable[Kept]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Family]:
        for one in self._metrics:
            family = Family(one.name, one.help, one.type)
            for sample in one.samples:
                family.add_sample(sample.name, sample.labels, sample.value)
            yield family


def _kept(family: Family) -> Kept:
    samples = [Sample(one.name, dict(one.labels), float(one.value)) for one in family.samples]
    return Kept(family.name, family.documentation, family.type, samples)
