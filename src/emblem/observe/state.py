"""What is read of a server when somebody asks for metrics, and the metrics it becomes."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from prometheus_client import Metric as Family
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from emblem.limits.outage import Availability
from emblem.observe import names
from emblem.observe.names import Metric, Type
from emblem.types import (
    CacheState,
    DeploymentState,
    Health,
    Lane,
    Occupancy,
    Queued,
    Residence,
    TierState,
)

# A metric, the values of its labels, and its value.
Reading = tuple[Metric, tuple[str, ...], float]


@dataclass(frozen=True, slots=True)
class State:
    """A server at one moment. ``availability`` is None where no Redis counts limits.

    ``usage_waiting`` and ``usage_lost`` count records; None where usage is not recorded.
    ``deployments`` are those of models that have any elsewhere, by the models' names.
    """

    version: str
    occupancy: Occupancy
    availability: Availability | None = None
    usage_waiting: int | None = None
    usage_lost: int | None = None
    deployments: Mapping[str, Sequence[DeploymentState]] = field(default_factory=dict)


def readings(state: State) -> Iterator[Reading]:
    """Give every value that a state has."""
    yield names.BUILD, (state.version,), 1
    for one in state.occupancy.models:
        yield from _of_model(one)
    yield names.LOADED_BYTES, (), state.occupancy.loaded_bytes
    yield names.BEYOND_BYTES, (), state.occupancy.beyond_bytes
    yield names.MAX_MODEL_BYTES, (), state.occupancy.max_model_bytes
    if state.occupancy.cache is not None:
        yield from _of_cache(state.occupancy.cache)
    for tier in state.occupancy.tiers:
        yield from _of_tier(tier)
    if state.availability is not None:
        yield from _of_redis(state.availability)
    if state.usage_waiting is not None:
        yield names.USAGE_WAITING, (), state.usage_waiting
    if state.usage_lost is not None:
        yield names.USAGE_LOST, (), state.usage_lost
    for model, deployments in state.deployments.items():
        for deployment in deployments:
            yield from _of_deployment(model, deployment)


def _of_model(one: Residence) -> Iterator[Reading]:
    model = (one.name,)
    work = one.work
    yield names.IN_PROGRESS, model, one.requests
    for lane in Lane:
        queued = work.queued.get(lane, Queued())
        yield names.QUEUE_REQUESTS, (one.name, lane.value), queued.requests
        yield names.QUEUE_TOKENS, (one.name, lane.value), queued.tokens
        yield names.QUEUE_SECONDS, (one.name, lane.value), queued.seconds
    yield names.ROWS, model, work.rows
    yield names.ROW_TOKENS, model, work.tokens
    yield names.ROW_SECONDS, model, work.row_seconds
    if work.row_tokens:
        yield names.ROW_CAPACITY, model, work.row_tokens
    if work.seconds_per_token is not None:
        yield names.TOKEN_SECONDS, model, work.seconds_per_token
    yield names.LOADED, model, one.loaded_s is not None
    yield names.BROKEN, model, one.problem is not None
    yield names.MODEL_BYTES, model, one.predicted_bytes


def _of_deployment(model: str, one: DeploymentState) -> Iterator[Reading]:
    labels = (model, one.name)
    yield names.SERVING, labels, one.health is Health.SERVING
    yield names.DEPLOYMENT_REQUESTS, labels, one.requests
    yield names.ANSWERS, labels, one.answered
    yield names.FAILURES, labels, one.failures
    yield names.INVALID, labels, one.invalid
    if one.worst_cosine is not None:
        yield names.WORST_COSINE, labels, one.worst_cosine


def _of_cache(cache: CacheState) -> Iterator[Reading]:
    yield names.CACHE_HITS, (), cache.hits
    yield names.CACHE_MISSES, (), cache.misses
    yield names.CACHE_ENTRIES, (), cache.entries
    yield names.CACHE_BYTES, (), cache.bytes
    yield names.CACHE_MAX_BYTES, (), cache.max_bytes


def _of_tier(one: TierState) -> Iterator[Reading]:
    tier = (one.name,)
    yield names.TIER_HITS, tier, one.hits
    yield names.TIER_MISSES, tier, one.misses
    yield names.TIER_DAMAGED, tier, one.corrupt
    yield names.TIER_UNWRITTEN, tier, one.dropped
    yield names.TIER_FAILURES, tier, one.failures
    yield names.TIER_AWAY, tier, one.away


def _of_redis(seen: Availability) -> Iterator[Reading]:
    yield names.REDIS_AWAY, (), seen.away
    yield names.REDIS_OUTAGES, (), seen.outages
    yield names.LIMITS_ALONE, (), seen.stood_in
    yield names.LIMITS_REFUSED, (), seen.refused
    yield names.LOST_REFUNDS, (), seen.lost_refunds


class StateCollector(Collector):
    """Has the values of one state collected with all others; see prometheus_client.registry."""

    def __init__(self, state: State) -> None:
        self._state = state

    def collect(self) -> Iterable[Family]:
        """Give the families of its values."""
        families: dict[str, CounterMetricFamily | GaugeMetricFamily] = {}
        for metric, labels, value in readings(self._state):
            family = families.get(metric.name)
            if family is None:
                make = CounterMetricFamily if metric.type is Type.COUNTER else GaugeMetricFamily
                family = make(metric.name, metric.help, labels=metric.labels)
                families[metric.name] = family
            family.add_metric(labels, value)
        return families.values()
