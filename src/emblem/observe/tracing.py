"""Traces: a span for each request, and within it for counting, its limits, embedding, passing it on.

Only imported where traces are sent: it needs the extra ``otel``. A caller's ``traceparent`` is
continued (W3C Trace Context). Attributes are OpenTelemetry's where it has one (github.com/
open-telemetry/semantic-conventions-genai docs/gen-ai/gen-ai-spans.md, and docs/http/http-spans.md of
semantic-conventions); none has a text or a key.
"""

import logging
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from http import HTTPStatus

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from starlette.types import ASGIApp, Receive, Scope, Send

from emblem.accounts import Account, Charge, Grant, Observed, Spent, Standing
from emblem.config.telemetry import Telemetry
from emblem.observe.requests import shown_method
from emblem.ports import Embedder, Limiter, Passage, Passed
from emblem.types import EmbedRequest, EmbedResult, Tokens
from emblem.wrappers.around import Around

UNTRACED = ("/health", "/ready", "/metrics")  # asked for every few seconds, and all alike

CLOSE_S = 5.0  # how long an end waits for a collector that is away
COMPLAINT_S = 60.0

log = logging.getLogger(__name__)

_CONTEXT = {b"traceparent": "traceparent", b"tracestate": "tracestate"}


class Tracing:
    """Makes spans and hands them to ``processor``, in threads of the library's own."""

    def __init__(self, processor: SpanProcessor, version: str, service: str = "emblem") -> None:
        own = {"service.name": service} if service else {}
        resource = Resource.create({**own, "service.version": version})
        # It is closed with the server, not when the process ends, when no thread may be started.
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("emblem", version)
        self._propagator = TraceContextTextMapPropagator()

    @contextmanager
    def request(self, scope: Scope) -> Iterator[None]:
        """Make a span of a request, as part of the caller's trace if it says which."""
        said = {
            name: value.decode("latin-1")
            for header, value in scope["headers"]
            if (name := _CONTEXT.get(header)) is not None
        }
        with self._tracer.start_as_current_span(
            "request",
            self._propagator.extract(said),
            SpanKind.SERVER,
            record_exception=False,
            set_status_on_exception=False,
        ):
            yield

    @contextmanager
    def part(self, name: str, kind: SpanKind = SpanKind.INTERNAL) -> Iterator[Span]:
        """Make a span of a part of a request. An error is named, and not what it says."""
        with self._tracer.start_as_current_span(
            name, kind=kind, record_exception=False, set_status_on_exception=False
        ) as span:
            try:
                yield span
            except BaseException as error:
                span.set_status(Status(StatusCode.ERROR))
                span.set_attribute("error.type", type(error).__name__)
                raise

    def close(self, within_s: float = CLOSE_S) -> None:
        """Send what is not sent yet, and give up after so long. Takes its time: in a thread."""
        # The library would go on for as long as its exporter tries.
        thread = threading.Thread(target=self._provider.shutdown, name="emblem-traces", daemon=True)
        thread.start()
        thread.join(within_s)
        if thread.is_alive():
            log.error("traces: the last were not sent before the end")


class OnceAMinute(logging.Filter):
    """Lets one complaint a minute pass: an exporter whose collector is away has four every 5 s."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._said = -COMPLAINT_S

    def filter(self, record: logging.LogRecord) -> bool:
        """Say whether a record is written."""
        now = self._clock()
        if record.levelno < logging.ERROR or now - self._said < COMPLAINT_S:
            return False
        self._said = now
        return True


def open_tracing(telemetry: Telemetry, version: str) -> Tracing:
    """Have spans sent by OTLP over HTTP, in batches."""
    logging.getLogger(OTLPSpanExporter.__module__).addFilter(OnceAMinute())
    exporter = OTLPSpanExporter(endpoint=telemetry.endpoint)
    return Tracing(BatchSpanProcessor(exporter), version, telemetry.service)


class TracedApp:
    """An ASGI application each of whose requests is a span."""

    def __init__(self, app: ASGIApp, tracing: Tracing) -> None:
        self._app = app
        self._tracing = tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, within a span."""
        if scope["type"] != "http" or scope["path"] in UNTRACED:
            await self._app(scope, receive, send)
            return
        with self._tracing.request(scope):
            await self._app(scope, receive, send)


class RequestSpans:
    """Says in the span of a request what became of it; an ``Observer``, told within that span."""

    def observed(self, one: Observed) -> None:
        """Fill in the span."""
        span = get_current_span()
        if not span.is_recording():
            return
        method = shown_method(one.method)
        span.update_name(f"{method} {one.route}".rstrip())
        span.set_attribute("http.request.method", method)
        span.set_attribute("http.response.status_code", one.status)
        span.set_attribute("emblem.request.id", one.id)
        if one.route:
            span.set_attribute("http.route", one.route)
        if one.key:
            span.set_attribute("emblem.key.id", one.key)
        if one.model:
            span.set_attribute("gen_ai.operation.name", one.operation)
            span.set_attribute("gen_ai.provider.name", "emblem")
            span.set_attribute("gen_ai.request.model", one.model)
            span.set_attribute("gen_ai.usage.input_tokens", one.tokens - one.written)
            if one.written:
                span.set_attribute("gen_ai.usage.output_tokens", one.written)
            if one.served_by:
                span.set_attribute("emblem.served_by", one.served_by)
            span.set_attribute("emblem.inputs", one.inputs)
            span.set_attribute("emblem.hits", one.hits)
        if one.status >= HTTPStatus.BAD_REQUEST or one.code:
            span.set_attribute("error.type", one.code or str(one.status))
        if one.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            span.set_status(Status(StatusCode.ERROR))


class TracedEmbedder(Around):
    """An embedder whose counting and embedding are spans."""

    def __init__(self, embedder: Embedder, tracing: Tracing) -> None:
        super().__init__(embedder)
        self._tracing = tracing

    async def embed(self, request: EmbedRequest) -> EmbedResult:
        """Embed, within a span."""
        with self._tracing.part("embed") as span:
            span.set_attribute("emblem.lane", request.lane.value)
            span.set_attribute("emblem.inputs", len(request.inputs))
            result = await self._embedder.embed(request)
            span.set_attribute("emblem.hits", result.hits or 0)
            return result

    async def count(self, request: EmbedRequest) -> tuple[EmbedRequest, Tokens]:
        """Count, within a span."""
        with self._tracing.part("count") as span:
            read, tokens = await super().count(request)
            span.set_attribute("gen_ai.usage.input_tokens", int(tokens.sum()))
            return read, tokens


class TracedPassage:
    """A way to a model elsewhere: each time that a request is passed on is a span.

    ``operation`` is what the model does, as the conventions call it.
    """

    def __init__(self, passage: Passage, operation: str, tracing: Tracing) -> None:
        self.served_by = passage.served_by
        self.model = passage.model
        self._passage = passage
        self._operation = operation
        self._tracing = tracing

    @asynccontextmanager
    async def send(self, content: bytes, deadline: float) -> AsyncIterator[Passed]:
        """Pass a request on, within a span that ends when its answer is over."""
        with self._tracing.part(f"{self._operation} {self.model}", SpanKind.CLIENT) as span:
            span.set_attribute("gen_ai.operation.name", self._operation)
            span.set_attribute("gen_ai.request.model", self.model)
            span.set_attribute("emblem.served_by", self.served_by)
            async with self._passage.send(content, deadline) as passed:
                yield passed

    async def aclose(self) -> None:
        """Close the connections."""
        await self._passage.aclose()


class TracedLimiter:
    """A limiter whose charges are spans."""

    def __init__(self, limiter: Limiter, tracing: Tracing) -> None:
        self._limiter = limiter
        self._tracing = tracing

    async def charge(self, account: Account, charge: Charge) -> Grant:
        """Charge, within a span."""
        with self._tracing.part("limit") as span:
            grant = await self._limiter.charge(account, charge)
            span.set_attribute("emblem.limits.counted_by", grant.counted_by)
            return grant

    async def refund(self, grant: Grant) -> None:
        """Take a charge back."""
        await self._limiter.refund(grant)

    async def peek(self, account: Account) -> tuple[Standing, ...]:
        """Say how each limit stands."""
        return await self._limiter.peek(account)

    async def seed(self, spent: Sequence[Spent], *, now: float) -> None:
        """Count at least this much."""
        await self._limiter.seed(spent, now=now)

    async def aclose(self) -> None:
        """Close the limiter."""
        await self._limiter.aclose()
