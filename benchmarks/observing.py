"""What observing a request costs on the event loop: metrics, the line of the log, spans.

``python -m benchmarks.observing [COUNT]`` prints microseconds a request, the best of five runs; the
log goes to the null device.
"""

import asyncio
import logging
import sys
import time
from collections.abc import Callable

from emblem.accounts import Observed
from emblem.api.access import AccessLog, access
from emblem.api.logs import JsonFormatter, LineFormatter
from emblem.observe.requests import RequestMetrics

COUNT = 20_000
TURN = 8  # requests that end in one turn of the event loop
RUNS = 5


def request(number: int) -> Observed:
    """Make what is observed of a request."""
    return Observed(
        f"req_{number:032x}",
        "POST",
        1_700_000_000.0 + number,
        route="/v1/embeddings",
        key="key_0123456789abcdef",
        model="all-MiniLM-L6-v2",
        space="all-MiniLM-L6-v2@53aa5117/384",
        inputs=1,
        tokens=12,
        hits=1,
        status=200,
        seconds=0.0004,
    )


def metrics(*, per_key: bool = False) -> Callable[[Observed], None]:
    """Give what counts a request."""
    return RequestMetrics(["all-MiniLM-L6-v2"], per_key=per_key).observed


def log(formatter: logging.Formatter) -> Callable[[Observed], None]:
    """Give what writes the line of a request, in this format."""
    handler = logging.StreamHandler(open("/dev/null", "w"))  # noqa: PTH123, SIM115 - until the end
    handler.setFormatter(formatter)
    access.handlers = [handler]
    access.propagate = False
    access.setLevel(logging.INFO)
    return AccessLog().observed


def spans(parts: tuple[str, ...]) -> Callable[[Observed], None]:
    """Give what makes the spans of a request, which are thrown away."""
    from opentelemetry.sdk.trace import SpanProcessor

    from emblem.observe.tracing import RequestSpans, Tracing

    tracing = Tracing(SpanProcessor(), "benchmark")
    observer = RequestSpans()

    def observed(one: Observed) -> None:
        with tracing.request({"headers": []}):
            for name in parts:
                with tracing.part(name):
                    pass
            observer.observed(one)

    return observed


async def microseconds(observed: Callable[[Observed], None], count: int) -> float:
    """Give what a request takes, some of them in each turn of the loop."""
    requests = [request(number) for number in range(count)]
    best = float("inf")
    for _ in range(RUNS):
        began = time.perf_counter()
        for start in range(0, count, TURN):
            for one in requests[start : start + TURN]:
                observed(one)
            await asyncio.sleep(0)
        best = min(best, time.perf_counter() - began)
    return 1e6 * best / count


def main() -> None:
    """Measure each, and the loop alone."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else COUNT
    line = "%(asctime)s %(levelname)s %(name)s: %(message)s"
    kinds: dict[str, Callable[[], Callable[[Observed], None]]] = {
        "nothing": lambda: lambda _: None,
        "metrics": metrics,
        "metrics, per key": lambda: metrics(per_key=True),
        "a line of the log": lambda: log(LineFormatter(line)),
        "a line of JSON": lambda: log(JsonFormatter()),
        "spans": lambda: spans(("embed",)),
        "spans, with limits": lambda: spans(("count", "limit", "embed")),
    }
    for name, make in kinds.items():
        print(f"{name:20} {asyncio.run(microseconds(make(), count)):6.2f} us")


if __name__ == "__main__":
    main()
