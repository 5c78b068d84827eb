"""The metrics: their names, what they mean, their labels and their buckets.

Where OpenTelemetry has a name for it, that name is used as Prometheus writes it (dots become
underscores, the unit is the ending), with its labels; the rest begins with ``emblem_``. Sources:
github.com/open-telemetry/semantic-conventions-genai docs/gen-ai/gen-ai-metrics.md
(``gen_ai.server.request.duration``, ``gen_ai.client.token.usage``,
``gen_ai.server.time_to_first_token``), github.com/open-telemetry/
semantic-conventions docs/http/http-metrics.md (``http.server.request.duration``), and
opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics.
"""

from dataclasses import dataclass
from enum import StrEnum


class Type(StrEnum):
    """What Prometheus makes of a metric."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric. A counter's name is without the ending ``_total``, which is added where it is shown."""

    name: str
    type: Type
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()

    @property
    def series(self) -> tuple[str, ...]:
        """The names that a query may use."""
        if self.type is Type.COUNTER:
            return (f"{self.name}_total",)
        if self.type is Type.HISTOGRAM:
            return tuple(f"{self.name}_{part}" for part in ("bucket", "sum", "count"))
        return (self.name,)


# The conventions' buckets (0.005 to 10 s, and 0.01 to 81.92 s) begin where a remembered text has
# long been answered, and the first end before a large request is: so both have these.
SECONDS = (
    *(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1),
    *(0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0),
)
# The conventions' own, up to the most that a request may have.
TOKENS = (1.0, 4.0, 16.0, 64.0, 256.0, 1024.0, 4096.0, 16384.0, 65536.0, 262144.0, 1048576.0)

_HTTP = ("http_request_method", "http_route", "http_response_status_code")
_GEN_AI = ("gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model")
_COUNTER, _GAUGE, _HISTOGRAM = Type.COUNTER, Type.GAUGE, Type.HISTOGRAM
_MODEL, _LANE = ("model",), ("model", "lane")
_DEPLOYMENT = ("model", "deployment")

# -- counted with each request ----------------------------------------------------------------------

HTTP_SECONDS = Metric(
    "http_server_request_duration_seconds",
    _HISTOGRAM,
    "Seconds that requests took, until the last byte was handed over.",
    _HTTP,
    SECONDS,
)
SERVER_SECONDS = Metric(
    "gen_ai_server_request_duration_seconds",
    _HISTOGRAM,
    "Seconds that requests to a model took; error_type is the status of those that failed, or the "
    "code of a stream that broke off.",
    (*_GEN_AI, "error_type"),
    SECONDS,
)
TOKEN_USAGE = Metric(
    "gen_ai_client_token_usage",
    _HISTOGRAM,
    "Tokens of requests that a model answered: those that it read, and those that it wrote.",
    (*_GEN_AI, "gen_ai_token_type"),
    TOKENS,
)
FIRST_SECONDS = Metric(
    "gen_ai_server_time_to_first_token_seconds",
    _HISTOGRAM,
    "Seconds until a streamed answer of a model began.",
    _GEN_AI,
    SECONDS,
)
REQUESTS = Metric(
    "emblem_requests", _COUNTER, "Requests that were answered.", ("route", "model", "status")
)
INPUTS = Metric("emblem_inputs", _COUNTER, "Texts that were answered with a vector.", _MODEL)
KNOWN_INPUTS = Metric(
    "emblem_known_inputs", _COUNTER, "Of these, texts that were not computed for it.", _MODEL
)
REFUSALS = Metric(
    "emblem_refusals", _COUNTER, "Requests that were refused, by what refused them.", ("by",)
)
KEY_REQUESTS = Metric(
    "emblem_key_requests", _COUNTER, "Requests of a key (metrics_per_key).", ("key",)
)
KEY_TOKENS = Metric(
    "emblem_key_tokens",
    _COUNTER,
    "Tokens of a key's requests that a model answered (metrics_per_key).",
    ("key",),
)
COUNTED = (
    *(HTTP_SECONDS, SERVER_SECONDS, TOKEN_USAGE, FIRST_SECONDS, REQUESTS, INPUTS, KNOWN_INPUTS),
    *(REFUSALS, KEY_REQUESTS, KEY_TOKENS),
)

# -- read when somebody asks ------------------------------------------------------------------------

IN_PROGRESS = Metric(
    "emblem_model_requests_in_progress", _GAUGE, "Requests that a model has in work.", _MODEL
)
QUEUE_REQUESTS = Metric("emblem_queue_requests", _GAUGE, "Requests that wait in a lane.", _LANE)
QUEUE_TOKENS = Metric("emblem_queue_tokens", _GAUGE, "Tokens that wait in a lane.", _LANE)
QUEUE_SECONDS = Metric(
    "emblem_queue_predicted_seconds",
    _GAUGE,
    "Seconds that what waits in a lane is predicted to take.",
    _LANE,
)
ROWS = Metric("emblem_rows", _COUNTER, "Rows that have run.", _MODEL)
ROW_TOKENS = Metric("emblem_row_tokens", _COUNTER, "Tokens that these rows had.", _MODEL)
ROW_SECONDS = Metric(
    "emblem_row_seconds",
    _COUNTER,
    "Seconds that these rows took, shared between those that ran at once.",
    _MODEL,
)
ROW_CAPACITY = Metric(
    "emblem_row_capacity_tokens", _GAUGE, "Tokens of a row that is full, of a loaded model.", _MODEL
)
TOKEN_SECONDS = Metric(
    "emblem_model_seconds_per_token", _GAUGE, "Seconds that a token takes at present.", _MODEL
)
LOADED = Metric("emblem_model_loaded", _GAUGE, "1 where a model is in memory.", _MODEL)
BROKEN = Metric("emblem_model_problem", _GAUGE, "1 where a model cannot answer.", _MODEL)
MODEL_BYTES = Metric(
    "emblem_model_predicted_bytes", _GAUGE, "Bytes that a model takes once loaded.", _MODEL
)
LOADED_BYTES = Metric(
    "emblem_models_loaded_bytes", _GAUGE, "Predicted bytes of all models that are loaded."
)
BEYOND_BYTES = Metric(
    "emblem_models_beyond_bytes", _GAUGE, "Bytes that the process takes beyond these predictions."
)
MAX_MODEL_BYTES = Metric(
    "emblem_models_max_bytes", _GAUGE, "Bytes that all loaded models may take (max_model_bytes)."
)
CACHE_HITS = Metric("emblem_cache_hits", _COUNTER, "Texts that were looked for and remembered.")
CACHE_MISSES = Metric("emblem_cache_misses", _COUNTER, "Texts that were looked for and not known.")
CACHE_ENTRIES = Metric("emblem_cache_entries", _GAUGE, "Texts whose vectors are remembered.")
CACHE_BYTES = Metric("emblem_cache_bytes", _GAUGE, "Bytes that they take.")
CACHE_MAX_BYTES = Metric("emblem_cache_max_bytes", _GAUGE, "Bytes that they may take.")
_TIER = ("tier",)
TIER_HITS = Metric(
    "emblem_cache_tier_hits",
    _COUNTER,
    "Texts that memory did not know, and disk or Redis did.",
    _TIER,
)
TIER_MISSES = Metric(
    "emblem_cache_tier_misses", _COUNTER, "Texts that they did not know, or not in time.", _TIER
)
TIER_DAMAGED = Metric(
    "emblem_cache_tier_damaged", _COUNTER, "Of these, entries that were not as written.", _TIER
)
TIER_UNWRITTEN = Metric(
    "emblem_cache_tier_unwritten", _COUNTER, "Texts that could not be kept there.", _TIER
)
TIER_FAILURES = Metric(
    "emblem_cache_tier_failures", _COUNTER, "Questions to disk or Redis without an answer.", _TIER
)
TIER_AWAY = Metric("emblem_cache_tier_away", _GAUGE, "1 while it is hardly asked at all.", _TIER)
REDIS_AWAY = Metric(
    "emblem_limits_redis_away", _GAUGE, "1 while Redis, which counts limits, does not answer."
)
REDIS_OUTAGES = Metric("emblem_limits_redis_outages", _COUNTER, "How often Redis went away.")
LIMITS_ALONE = Metric(
    "emblem_limits_counted_alone", _COUNTER, "Charges counted by this process alone meanwhile."
)
LIMITS_REFUSED = Metric(
    "emblem_limits_refused_while_away", _COUNTER, "Requests refused because Redis was away."
)
LOST_REFUNDS = Metric(
    "emblem_limits_lost_refunds", _COUNTER, "Charges that were not given back because it was away."
)
USAGE_WAITING = Metric(
    "emblem_usage_waiting_records", _GAUGE, "Records of usage that are not in the database yet."
)
USAGE_LOST = Metric(
    "emblem_usage_lost_records", _COUNTER, "Records of usage that could not be kept."
)
SERVING = Metric(
    "emblem_deployment_serving", _GAUGE, "1 where a deployment of a model is asked.", _DEPLOYMENT
)
DEPLOYMENT_REQUESTS = Metric(
    "emblem_deployment_requests_in_progress",
    _GAUGE,
    "Requests that a deployment has in work.",
    _DEPLOYMENT,
)
ANSWERS = Metric(
    "emblem_deployment_answers", _COUNTER, "Requests that a deployment answered.", _DEPLOYMENT
)
FAILURES = Metric(
    "emblem_deployment_failures", _COUNTER, "Requests that it did not answer rightly.", _DEPLOYMENT
)
INVALID = Metric(
    "emblem_deployment_invalid_answers",
    _COUNTER,
    "Of these, answers that could not be right.",
    _DEPLOYMENT,
)
WORST_COSINE = Metric(
    "emblem_deployment_worst_cosine",
    _GAUGE,
    "The least cosine of its last proof to the reference of the space.",
    _DEPLOYMENT,
)
BUILD = Metric("emblem_build_info", _GAUGE, "1, and in the label the version.", ("version",))
READ = (
    *(IN_PROGRESS, QUEUE_REQUESTS, QUEUE_TOKENS, QUEUE_SECONDS, ROWS, ROW_TOKENS),
    *(ROW_SECONDS, ROW_CAPACITY),
    *(TOKEN_SECONDS, LOADED, BROKEN, MODEL_BYTES, LOADED_BYTES, BEYOND_BYTES, MAX_MODEL_BYTES),
    *(CACHE_HITS, CACHE_MISSES, CACHE_ENTRIES, CACHE_BYTES, CACHE_MAX_BYTES),
    *(TIER_HITS, TIER_MISSES, TIER_DAMAGED, TIER_UNWRITTEN, TIER_FAILURES, TIER_AWAY),
    *(REDIS_AWAY, REDIS_OUTAGES, LIMITS_ALONE, LIMITS_REFUSED, LOST_REFUNDS),
    *(USAGE_WAITING, USAGE_LOST),
    *(SERVING, DEPLOYMENT_REQUESTS, ANSWERS, FAILURES, INVALID, WORST_COSINE, BUILD),
)

EVERY = (*COUNTED, *READ)
