"""What a server is observed with: by its settings, and by what is installed."""

import subprocess
import sys
from pathlib import Path

import pytest

from emblem.config import Telemetry, load
from emblem.errors import ConfigError
from emblem.limits.memory import MemoryLimiter
from emblem.observe.opening import Observation, tracing
from emblem.observe.requests import RequestMetrics
from emblem.observe.state import State
from emblem.observe.tracing import RequestSpans, TracedApp, TracedLimiter
from emblem.types import Occupancy
from serve.processes import refused
from server import free_port, linked_home

COLLECTOR = Telemetry("http://127.0.0.1:9/v1/traces")


def settings(tmp_path: Path, **flags: str):
    return load(flags=flags, environ={"HOME": str(tmp_path)}, directory=tmp_path).settings


def state() -> State:
    return State("1", Occupancy((), 0))


async def application(scope: object, receive: object, send: object) -> None:
    """Answer nothing."""


def test_without_traces_nothing_is_wrapped(tmp_path: Path) -> None:
    observation = Observation(settings(tmp_path), ["tiny"], state)
    limiter = MemoryLimiter()
    assert observation.app(application) is application
    assert observation.limiter(limiter) is limiter
    assert [type(one) for one in observation.observers] == [RequestMetrics]


def test_with_traces_requests_and_their_parts_are_spans(tmp_path: Path) -> None:
    traces = tracing("1", COLLECTOR)
    assert traces is not None
    observation = Observation(settings(tmp_path), ["tiny"], state, traces)
    assert isinstance(observation.app(application), TracedApp)
    assert isinstance(observation.limiter(MemoryLimiter()), TracedLimiter)
    assert [type(one) for one in observation.observers] == [RequestMetrics, RequestSpans]
    traces.close()


def test_without_the_extra_the_log_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "emblem.observe.tracing", None)
    assert tracing("1", COLLECTOR) is None
    assert "pip install 'emblem[otel]'" in caplog.text


def test_the_extra_is_not_imported_unless_traces_are_sent() -> None:
    program = "import sys, emblem.wiring; sys.exit('opentelemetry' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0


def test_the_port_of_metrics_is_not_the_server_s_own(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"metrics_port .* is the server's own port, 8080"):
        settings(tmp_path, metrics_port="8080")
    with pytest.raises(ConfigError, match="metrics_host"):
        settings(tmp_path, metrics_host="http://here")


def test_what_cannot_be_observed_as_asked_ends_the_start_with_one_line(
    model_home: Path, tmp_path: Path
) -> None:
    home = linked_home(tmp_path / "home", model_home)
    port = str(free_port())
    taken = {"EMBLEM_METRICS_PORT": port, "EMBLEM_METRICS_HOST": "192.0.2.1"}  # nobody's address
    said = refused(home, "wordllama-256", env=taken)
    assert said.startswith(f"cannot listen on 192.0.2.1:{port} for metrics: ")
    said = refused(home, "wordllama-256", env={"OTEL_TRACES_EXPORTER": "jaeger"})
    assert said == "OTEL_TRACES_EXPORTER is 'jaeger'; it may be otlp or none"
