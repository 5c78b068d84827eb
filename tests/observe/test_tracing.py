"""Traces: what spans there are, whose they are part of, and what they say."""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from starlette.types import Receive, Scope, Send

from emblem.accounts import Account, Charge, Observed, Quota
from emblem.config import Telemetry, telemetry
from emblem.errors import ConfigError, DeploymentFailed, EmblemError, RateLimited
from emblem.limits.memory import MemoryLimiter
from emblem.observe.tracing import (
    OnceAMinute,
    RequestSpans,
    TracedApp,
    TracedEmbedder,
    TracedLimiter,
    TracedPassage,
    Tracing,
)
from emblem.ports import Passage
from emblem.types import EmbedRequest, EmbedResult, Tokens
from emblem.wrappers.passage_pool import PassagePool, Way
from tiny_engine import WIDTH, model

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"
TEXT = "PLANTEDTEXT"


class Embedder:
    """Gives every text the same vector."""

    space = model("tiny").space

    async def embed(self, request: EmbedRequest) -> EmbedResult:
        count = len(request.inputs)
        return EmbedResult(
            np.ones((count, WIDTH), np.float32), np.ones(count, np.int32), (), "tiny"
        )

    def problem(self) -> str | None:
        return None

    async def aclose(self) -> None:
        """Nothing is held."""

    async def count(self, request: EmbedRequest) -> tuple[EmbedRequest, Tokens]:
        return request, np.full(len(request.inputs), 5, np.int32)


class Traces:
    """Spans as they come."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self.tracing = Tracing(SimpleSpanProcessor(self._exporter), "1.2.3")

    @property
    def every(self) -> Sequence[ReadableSpan]:
        return self._exporter.get_finished_spans()

    def __getitem__(self, name: str) -> ReadableSpan:
        (found,) = [one for one in self.every if one.name == name]
        return found


class Application:
    """Counts, charges and embeds a text, and tells what was observed."""

    def __init__(self, traces: Traces, quota: Quota = Quota(), **observed: object) -> None:  # noqa: B008
        self._embedder = TracedEmbedder(Embedder(), traces.tracing)
        self._limiter = TracedLimiter(MemoryLimiter(), traces.tracing)
        self._account = Account("key_1", quota)
        self._observed = observed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        one = Observed("req_1", scope["method"], 1.0, status=200, key="key_1")
        try:
            request = EmbedRequest((TEXT,))
            request, tokens = await self._embedder.count(request)
            await self._limiter.charge(self._account, Charge(tokens=int(tokens.sum())))
            await self._embedder.embed(request)
            one.route, one.model, one.tokens, one.inputs = "/v1/embeddings", "tiny", 5, 1
        except RateLimited:
            one.status, one.code = 429, "rate_limit_exceeded"
        for name, value in self._observed.items():
            setattr(one, name, value)
        RequestSpans().observed(one)


def ask(app: object, path: str = "/v1/embeddings", *headers: tuple[bytes, bytes]) -> None:
    scope = {"type": "http", "method": "POST", "path": path, "headers": [*headers]}
    asyncio.run(app(scope, None, None))  # type: ignore[operator]


def test_a_request_is_a_span_with_its_counting_its_limits_and_its_embedding_within() -> None:
    traces = Traces()
    ask(TracedApp(Application(traces), traces.tracing))
    whole = traces["POST /v1/embeddings"]
    assert whole.kind is SpanKind.SERVER
    assert whole.parent is None
    parts = [one for one in traces.every if one is not whole]
    assert [one.name for one in parts] == ["count", "limit", "embed"]
    for one in parts:
        assert one.parent is not None
        assert one.parent.span_id == whole.context.span_id
    assert dict(whole.attributes or {}) == {
        "http.request.method": "POST",
        "http.response.status_code": 200,
        "http.route": "/v1/embeddings",
        "emblem.request.id": "req_1",
        "emblem.key.id": "key_1",
        "gen_ai.operation.name": "embeddings",
        "gen_ai.provider.name": "emblem",
        "gen_ai.request.model": "tiny",
        "gen_ai.usage.input_tokens": 5,
        "emblem.inputs": 1,
        "emblem.hits": 0,
    }
    assert (traces["count"].attributes or {})["gen_ai.usage.input_tokens"] == 5
    assert (traces["embed"].attributes or {})["emblem.lane"] == "interactive"
    assert whole.resource.attributes["service.name"] == "emblem"
    assert whole.resource.attributes["service.version"] == "1.2.3"


class Away:
    """A way to a deployment that refuses what is passed on, or takes it."""

    def __init__(self, name: str, error: EmblemError | None = None) -> None:
        self.served_by = name
        self.model = "theirs"
        self._error = error

    @asynccontextmanager
    async def send(self, content: bytes, deadline: float) -> AsyncIterator[Any]:
        if self._error is not None:
            raise self._error
        yield content

    async def aclose(self) -> None:
        """Nothing is held."""


def test_a_chat_has_a_span_for_each_deployment_that_it_was_passed_on_to() -> None:
    traces = Traces()
    ways = [Away("one", DeploymentFailed(TEXT)), Away("two")]
    pool = PassagePool(
        "talker",
        [Way(TracedPassage(one, "chat", traces.tracing)) for one in ways],
        10.0,
        dice=lambda: 0.0,
    )

    @asynccontextmanager
    async def answered(passage: Passage, deadline: float) -> AsyncIterator[Any]:
        async with passage.send(TEXT.encode(), deadline) as passed:
            yield passed

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async with pool.answer(answered):
            pass
        one = Observed("req_1", "POST", 1.0, "/v1/chat/completions", status=200)
        one.model, one.operation, one.served_by = "talker", "chat", "two"
        one.tokens, one.written = 20, 15
        RequestSpans().observed(one)

    ask(TracedApp(app, traces.tracing), "/v1/chat/completions")
    whole, tried = traces["POST /v1/chat/completions"], traces.every[:2]
    told = {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "talker",
        "gen_ai.usage.input_tokens": 5,
        "gen_ai.usage.output_tokens": 15,
        "emblem.served_by": "two",
    }
    assert told.items() <= dict(whole.attributes or {}).items()
    assert [one.name for one in tried] == ["chat theirs"] * 2
    assert [(one.attributes or {})["emblem.served_by"] for one in tried] == ["one", "two"]
    assert [one.status.status_code for one in tried] == [StatusCode.ERROR, StatusCode.UNSET]
    assert (tried[0].attributes or {})["error.type"] == "DeploymentFailed"
    for one in tried:
        assert one.kind is SpanKind.CLIENT
        assert one.parent is not None
        assert one.parent.span_id == whole.context.span_id
    assert TEXT not in " ".join(one.to_json() for one in traces.every)


def test_the_caller_s_trace_is_continued() -> None:
    traces = Traces()
    header = (b"traceparent", f"00-{TRACE}-{PARENT}-01".encode())
    ask(TracedApp(Application(traces), traces.tracing), "/v1/embeddings", header)
    whole = traces["POST /v1/embeddings"]
    assert whole.parent is not None
    assert f"{whole.parent.span_id:016x}" == PARENT
    assert {f"{one.context.trace_id:032x}" for one in traces.every} == {TRACE}


@pytest.mark.parametrize(
    "header", [b"", b"nonsense", b"00-" + b"0" * 32 + b"-" + b"0" * 16 + b"-01", b"\xff\xfe" * 99]
)
def test_a_trace_that_makes_no_sense_is_not_continued(header: bytes) -> None:
    traces = Traces()
    ask(TracedApp(Application(traces), traces.tracing), "/v1/embeddings", (b"traceparent", header))
    assert traces["POST /v1/embeddings"].parent is None


def test_what_a_limit_refuses_is_named_and_not_embedded() -> None:
    traces = Traces()
    app = TracedApp(Application(traces, Quota(requests_per_minute=1)), traces.tracing)
    ask(app)
    ask(app)
    refused, whole = traces.every[-2:]
    assert refused.name == "limit"
    assert refused.status.status_code is StatusCode.ERROR
    assert (refused.attributes or {})["error.type"] == "RateLimited"
    assert (whole.attributes or {})["error.type"] == "rate_limit_exceeded"
    assert whole.status.status_code is StatusCode.UNSET  # the client's affair, says the convention


def test_a_fault_of_the_server_is_an_error_of_its_span() -> None:
    traces = Traces()
    ask(TracedApp(Application(traces, status=503, code="server_overloaded"), traces.tracing))
    assert traces["POST /v1/embeddings"].status.status_code is StatusCode.ERROR


def test_probes_make_no_spans() -> None:
    traces = Traces()
    for path in ("/health", "/ready", "/metrics"):
        ask(TracedApp(Application(traces), traces.tracing), path)
    assert {one.name for one in traces.every} == {"count", "limit", "embed"}  # not of a request


def test_no_span_has_a_text() -> None:
    traces = Traces()
    ask(TracedApp(Application(traces), traces.tracing))
    assert len(traces.every) == 4
    assert TEXT not in " ".join(one.to_json() for one in traces.every)


def test_a_collector_that_is_away_holds_up_the_end_for_no_longer_than_that(
    caplog: pytest.LogCaptureFixture,
) -> None:
    let_go = threading.Event()

    class Stuck(SpanProcessor):
        def shutdown(self) -> None:
            let_go.wait()

    Tracing(Stuck(), "1").close(within_s=0.01)
    let_go.set()
    assert "the last were not sent" in caplog.text


def test_a_collector_that_is_away_is_said_once_a_minute() -> None:
    now = [100.0]
    once = OnceAMinute(lambda: now[0])

    def passes(level: int) -> bool:
        return once.filter(logging.LogRecord("x", level, "", 0, "away", (), None))

    assert [passes(logging.WARNING), passes(logging.ERROR), passes(logging.ERROR)] == [
        *(False, True, False)
    ]
    now[0] += 61
    assert passes(logging.ERROR)


@pytest.mark.parametrize(
    ("environ", "wanted"),
    [
        ({}, None),
        ({"OTEL_SERVICE_NAME": "mine"}, None),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318/"},
            Telemetry("http://collector:4318/v1/traces"),
        ),
        (
            {
                "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "https://here/spans",
                "OTEL_EXPORTER_OTLP_ENDPOINT": "http://there",
                "OTEL_SERVICE_NAME": "mine",
            },
            Telemetry("https://here/spans", "mine"),
        ),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, Telemetry("http://localhost:4318/v1/traces")),
        (
            {
                "OTEL_TRACES_EXPORTER": "otlp",
                "OTEL_RESOURCE_ATTRIBUTES": "a=b,service.name=mine",
            },
            Telemetry("http://localhost:4318/v1/traces", ""),
        ),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x", "OTEL_TRACES_EXPORTER": "none"}, None),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x", "OTEL_SDK_DISABLED": "TRUE"}, None),
    ],
)
def test_the_variables_of_opentelemetry_say_where_traces_go(
    environ: dict[str, str], wanted: Telemetry | None
) -> None:
    assert telemetry(environ) == wanted


@pytest.mark.parametrize(
    "environ",
    [
        {"OTEL_TRACES_EXPORTER": "zipkin"},
        {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4318"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://me:PLANTED@[x"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://me:PLANTED@x:y"},
    ],
)
def test_a_variable_that_cannot_be_followed_is_one_line_without_its_password(
    environ: dict[str, str],
) -> None:
    with pytest.raises(ConfigError) as wrong:
        telemetry(environ)
    assert "OTEL_" in str(wrong.value)
    assert "PLANTED" not in str(wrong.value)
