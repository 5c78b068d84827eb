"""What is counted with each request. The counting is a few additions; the rest waits for a scrape.

The counters of Prometheus' own client take locks, some twenty for a request: ten times as long as
this, which is used on one event loop.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from http import HTTPMethod, HTTPStatus
from itertools import accumulate

from prometheus_client import Metric as Family
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from emblem.accounts import Observed
from emblem.observe import names
from emblem.observe.names import Metric

PROVIDER, READ, WRITTEN = "emblem", "input", "output"
EMBEDDINGS = "embeddings"
OTHER = "_OTHER"  # a method that is none: the conventions' own word
_METHODS = frozenset(HTTPMethod.__members__)
KEPT = 4096  # of labels as they came, for what has no bound

# Answers that say: not now, or not this key. All others are the request's own fault, or ours.
REFUSED = frozenset(
    {
        HTTPStatus.UNAUTHORIZED.value,
        HTTPStatus.FORBIDDEN.value,
        HTTPStatus.TOO_MANY_REQUESTS.value,
        HTTPStatus.SERVICE_UNAVAILABLE.value,
    }
)

Labels = tuple[str, ...]


@dataclass(slots=True)
class Spread:
    """How values are spread over buckets, the last of which has no bound."""

    bounds: tuple[float, ...]
    sum: float = 0.0
    counts: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.counts = self.counts or [0] * (len(self.bounds) + 1)

    def __copy__(self) -> "Spread":
        return Spread(self.bounds, self.sum, self.counts.copy())

    def __add__(self, other: "Spread") -> "Spread":
        counts = [here + there for here, there in zip(self.counts, other.counts, strict=True)]
        return Spread(self.bounds, self.sum + other.sum, counts)

    def add(self, value: float) -> None:
        """Count a value."""
        self.sum += value
        self.counts[bisect_left(self.bounds, value)] += 1


@dataclass(slots=True)
class Series:
    """The requests with one method, route, status and model. ``tokens`` are of those answered.

    ``error`` is that of answers of status 200 that broke off, ``operation`` what the model does.
    ``written`` are the tokens of answers, of a model that writes, and ``first`` the seconds until
    those began that were streamed.
    """

    method: str
    route: str
    status: str
    model: str
    error: str = ""
    operation: str = EMBEDDINGS
    seconds: Spread = field(default_factory=lambda: Spread(names.SECONDS))
    tokens: Spread = field(default_factory=lambda: Spread(names.TOKENS))
    written: Spread = field(default_factory=lambda: Spread(names.TOKENS))
    first: Spread = field(default_factory=lambda: Spread(names.SECONDS))
    inputs: int = 0
    known: int = 0
    good: bool = field(init=False)  # they were answered by a model; each request asks this

    def __post_init__(self) -> None:
        self.good = self.status == "200" and self.model != ""

    @property
    def embedded(self) -> bool:
        """Tell whether these were answered with vectors."""
        return self.good and self.operation == EMBEDDINGS


@dataclass(slots=True)
class OfKey:
    """The requests of a key, and the tokens of those that were answered by a model."""

    requests: int = 0
    tokens: int = 0


@dataclass(frozen=True, slots=True)
class Counts:
    """All that was counted, as of one moment."""

    series: Sequence[Series]
    refusals: Sequence[tuple[str, int]] = ()
    keys: Sequence[tuple[str, OfKey]] = ()


class RequestMetrics:
    """Counts requests; an ``Observer``. Used on one event loop.

    ``models`` are the names that a label may have: what else a request may have named is "" there.
    With ``per_key`` the requests and tokens of each key are counted by its id.
    """

    def __init__(self, models: Collection[str], *, per_key: bool = False) -> None:
        self._models = frozenset(models)
        self._per_key = per_key
        self._series: dict[Labels, Series] = {}
        self._as_it_came: dict[tuple[str, str, int, str, str], Series] = {}
        self._refusals: Counter[str] = Counter()
        self._keys: dict[str, OfKey] = {}

    def observed(self, one: Observed) -> None:
        """Count a request."""
        came = (one.method, one.route, one.status, one.model, one.code)
        series = self._as_it_came.get(came) or self._of(came, one.operation)
        series.seconds.add(one.seconds)
        if series.good:
            series.tokens.add(one.tokens - one.written)
            if one.written:
                series.written.add(one.written)
            if one.first_s:
                series.first.add(one.first_s)
            series.inputs += one.inputs
            series.known += one.hits
        elif one.code and one.status in REFUSED:
            self._refusals[refused_by(one)] += 1
        if self._per_key and one.key:
            key = self._keys.setdefault(one.key, OfKey())
            key.requests += 1
            key.tokens += one.tokens if series.good else 0

    def counts(self) -> Counts:
        """Give all that was counted so far, which does not change any more."""
        series = [
            replace(
                one,
                seconds=copy(one.seconds),
                tokens=copy(one.tokens),
                written=copy(one.written),
                first=copy(one.first),
            )
            for one in self._series.values()
        ]
        keys = [(name, copy(one)) for name, one in self._keys.items()]
        return Counts(series, list(self._refusals.items()), keys)

    def _of(self, came: tuple[str, str, int, str, str], operation: str) -> Series:
        """Find the series of a request that came like this, and keep it at hand."""
        method, route, status, model, code = came
        labels = (
            shown_method(method),
            route,
            str(status),
            model if model in self._models else "",
            code if status == HTTPStatus.OK else "",
        )
        series = self._series.setdefault(labels, Series(*labels, operation))
        if len(self._as_it_came) >= KEPT:  # whoever invents methods must not fill the memory
            self._as_it_came.clear()
        self._as_it_came[came] = series
        return series


def shown_method(method: str) -> str:
    """Give a method that there is, ``OTHER`` for what a client made up."""
    return method if method in _METHODS else OTHER


def refused_by(one: Observed) -> str:
    """Say what refused a request: a limit such as ``key_tokens_minute``, or the answer's code."""
    limit = one.refused_by
    if limit is None:
        return one.code
    return f"{'team' if limit.team else 'key'}_{limit.unit}_{limit.period}"


class RequestCollector(Collector):
    """Has what was counted collected with all else; see prometheus_client.registry."""

    def __init__(self, counts: Counts) -> None:
        self._counts = counts

    def collect(self) -> Iterable[Family]:
        """Give the families of the metrics."""
        every = self._counts.series
        of_models = [one for one in every if one.model]
        good = [one for one in every if one.good]
        embedded = [one for one in good if one.embedded]
        yield _histogram(
            names.HTTP_SECONDS,
            ((_http(one), one.seconds) for one in every),
        )
        yield _histogram(names.SERVER_SECONDS, ((_server(one), one.seconds) for one in of_models))
        yield _histogram(names.TOKEN_USAGE, _tokens(good))
        streamed = ((_server(one)[:3], one.first) for one in good if any(one.first.counts))
        yield _histogram(names.FIRST_SECONDS, streamed)
        yield _counter(names.REQUESTS, every, _request, lambda one: sum(one.seconds.counts))
        yield _counter(names.INPUTS, embedded, _model, lambda one: one.inputs)
        yield _counter(names.KNOWN_INPUTS, embedded, _model, lambda one: one.known)
        yield from self._others()

    def _others(self) -> Iterator[Family]:
        refusals = CounterMetricFamily(
            names.REFUSALS.name, names.REFUSALS.help, labels=names.REFUSALS.labels
        )
        for by, count in self._counts.refusals:
            refusals.add_metric((by,), count)
        yield refusals
        if not self._counts.keys:
            return
        for metric, value in ((names.KEY_REQUESTS, "requests"), (names.KEY_TOKENS, "tokens")):
            family = CounterMetricFamily(metric.name, metric.help, labels=metric.labels)
            for key, one in self._counts.keys:
                family.add_metric((key,), getattr(one, value))
            yield family


def _http(one: Series) -> Labels:
    return one.method, one.route, one.status


def _request(one: Series) -> Labels:
    return one.route, one.model, one.status


def _model(one: Series) -> Labels:
    return (one.model,)


def _server(one: Series) -> Labels:
    error = one.error if one.good else one.status
    return one.operation, PROVIDER, one.model, error


def _tokens(good: Iterable[Series]) -> Iterator[tuple[Labels, Spread]]:
    """Give the tokens that were read, and those that were written where any were."""
    for one in good:
        yield (one.operation, PROVIDER, one.model, READ), one.tokens
        if any(one.written.counts):
            yield (one.operation, PROVIDER, one.model, WRITTEN), one.written


def _histogram(metric: Metric, spreads: Iterable[tuple[Labels, Spread]]) -> HistogramMetricFamily:
    """Add up what has the same labels."""
    together: dict[Labels, Spread] = {}
    for labels, spread in spreads:
        before = together.get(labels)
        together[labels] = spread if before is None else before + spread
    family = HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)
    bounds = [*map(str, metric.buckets), "+Inf"]
    for labels, spread in together.items():
        buckets = list(zip(bounds, accumulate(spread.counts), strict=True))
        family.add_metric(labels, buckets, spread.sum)
    return family


def _counter(
    metric: Metric,
    every: Iterable[Series],
    labelled: Callable[[Series], Labels],
    value: Callable[[Series], int],
) -> CounterMetricFamily:
    """Add up what has the same labels."""
    together: Counter[Labels] = Counter()
    for one in every:
        together[labelled(one)] += value(one)
    family = CounterMetricFamily(metric.name, metric.help, labels=metric.labels)
    for labels, count in together.items():
        family.add_metric(labels, count)
    return family
