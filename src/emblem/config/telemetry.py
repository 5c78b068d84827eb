"""Where traces go: OpenTelemetry's own variables, as far as they decide whether there are any.

All others of them (headers, certificates, sampling, batches) are read by its own library. Source:
opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables and …/protocol/exporter.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from emblem.config.loading import environment
from emblem.errors import ConfigError

TRACES = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"  # used as it is
ALL = "OTEL_EXPORTER_OTLP_ENDPOINT"  # the path of traces is added
DEFAULT = "http://localhost:4318"
PROTOCOL = "http/protobuf"
OFF = "OTEL_TRACES_EXPORTER=none has no traces sent"


@dataclass(frozen=True, slots=True)
class Telemetry:
    """Where traces are sent, and as which service; "" is the one of OTEL_RESOURCE_ATTRIBUTES."""

    endpoint: str
    service: str = "emblem"


def telemetry(environ: Mapping[str, str] | None = None) -> Telemetry | None:
    """Give where traces go; None where no variable asks for any. Raises ConfigError."""
    environ = environment() if environ is None else environ

    def given(name: str) -> str:
        return environ.get(name, "").strip()

    exporter = given("OTEL_TRACES_EXPORTER")
    if given("OTEL_SDK_DISABLED").lower() == "true" or exporter == "none":
        return None
    if exporter not in ("", "otlp"):
        raise ConfigError(f"OTEL_TRACES_EXPORTER is {exporter!r}; it may be otlp or none")
    endpoint = _endpoint(given(TRACES), given(ALL), asked=bool(exporter))
    if endpoint is None:
        return None
    for name in ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"):
        if protocol := given(name):
            if protocol != PROTOCOL:
                raise ConfigError(f"{name} is {protocol!r}; it may be {PROTOCOL}, and {OFF}")
            break
    named = "service.name=" in given("OTEL_RESOURCE_ATTRIBUTES")
    return Telemetry(endpoint, given("OTEL_SERVICE_NAME") or ("" if named else "emblem"))


def _endpoint(traces: str, every: str, *, asked: bool) -> str | None:
    name, base = (TRACES, traces) if traces else (ALL, every)
    if not base:
        if not asked:
            return None
        base = DEFAULT
    try:
        parts = urlsplit(base)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number, brackets that do not match
        good = False
    if not good:
        # An address may hold a password.
        raise ConfigError(f"{name} is no address of HTTP, such as {DEFAULT}; {OFF}")
    return base if traces else f"{base.rstrip('/')}/v1/traces"
