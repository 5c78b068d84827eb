"""Metrics: what is counted with each request, and what is read of the server."""

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pytest
from prometheus_client.parser import text_string_to_metric_families

from emblem.accounts import Limit, Observed, Period, Unit
from emblem.limits.outage import Availability
from emblem.observe import names
from emblem.observe.metrics import Exposition
from emblem.observe.requests import KEPT, RequestMetrics
from emblem.observe.state import State
from emblem.types import (
    CacheState,
    DeploymentState,
    Health,
    Lane,
    Occupancy,
    Queued,
    Residence,
    TierState,
    Work,
)
from emblem.types import State as ModelState

EMBEDDINGS = "/v1/embeddings"
CHAT = "/v1/chat/completions"
GEN_AI = {"gen_ai_operation_name": "embeddings", "gen_ai_provider_name": "emblem"}
TINY = Residence(
    name="tiny",
    state=ModelState.LOADED,
    predicted_bytes=1000,
    requests=2,
    loaded_s=60.0,
    idle_s=None,
    work=Work({Lane.BULK: Queued(3, 400, 0.75)}, 7, 900, 0.0025, 256, 2.25),
    problem=None,
)
AWAY = Residence(
    name="away",
    state=ModelState.UNLOADED,
    predicted_bytes=2000,
    requests=0,
    loaded_s=None,
    idle_s=None,
    work=Work({}),
    problem="could not be loaded",
)
STATE = State(
    "1.2.3",
    Occupancy(
        *((TINY, AWAY), 5000, 1000, 50),
        cache=CacheState(4, 3000, 9000, 20, 30),
        tiers=(TierState("disk", 7, 8, corrupt=1, failures=2, dropped=3, away=True),),
    ),
    Availability(away=True, outages=2, stood_in=5, refused=6, lost_refunds=1),
    usage_waiting=12,
    usage_lost=3,
    deployments={
        "tiny": (
            DeploymentState("here", requests=1, answered=9, worst_cosine=0.9999),
            DeploymentState("there", health=Health.OPEN, answered=4, failures=3, invalid=1),
        )
    },
)


@dataclass
class Counted:
    """Metrics of requests, and what a scrape has of them."""

    requests: RequestMetrics
    exposition: Exposition

    def page(self, accept: str = "") -> str:
        return asyncio.run(self.exposition.page(accept)).content.decode()

    def value(self, name: str, **labels: str) -> float | None:
        """Give the value of one series; None where there is none."""
        return dict(self._samples()).get((name, frozenset(labels.items())))

    def of(self, name: str) -> list[Mapping[str, str]]:
        """Give the labels of every series of that name."""
        return [dict(labels) for (one, labels), _ in self._samples() if one == name]

    def _samples(self) -> Iterator[tuple[tuple[str, frozenset[tuple[str, str]]], float]]:
        for family in text_string_to_metric_families(self.page()):
            for sample in family.samples:
                yield (sample.name, frozenset(sample.labels.items())), sample.value


def counting(*, per_key: bool = False) -> Counted:
    requests = RequestMetrics(["tiny", "away"], per_key=per_key)
    return Counted(requests, Exposition(requests, lambda: STATE))


def request(**more: object) -> Observed:
    given = {"route": EMBEDDINGS, "status": 200, "seconds": 0.004, "model": "tiny", **more}
    return Observed("req_1", str(given.pop("method", "POST")), 1.0, **given)  # type: ignore[arg-type]


def test_a_request_is_counted_with_its_time_its_tokens_and_its_inputs() -> None:
    counted = counting()
    counted.requests.observed(request(inputs=3, tokens=20, hits=2))
    http = {
        "http_request_method": "POST",
        "http_route": EMBEDDINGS,
        "http_response_status_code": "200",
    }
    model = {**GEN_AI, "gen_ai_request_model": "tiny"}
    assert counted.value("emblem_requests_total", route=EMBEDDINGS, model="tiny", status="200") == 1
    assert counted.value("http_server_request_duration_seconds_sum", **http) == 0.004
    assert counted.value("http_server_request_duration_seconds_bucket", le="0.0025", **http) == 0
    assert counted.value("http_server_request_duration_seconds_bucket", le="0.005", **http) == 1
    server = "gen_ai_server_request_duration_seconds_count"
    assert counted.value(server, **model, error_type="") == 1
    tokens = "gen_ai_client_token_usage_sum"
    assert counted.value(tokens, **model, gen_ai_token_type="input") == 20
    assert counted.value("emblem_inputs_total", model="tiny") == 3
    assert counted.value("emblem_known_inputs_total", model="tiny") == 2


def test_a_chat_is_counted_by_its_model_with_what_was_read_and_what_was_written() -> None:
    counted = counting()
    chat = {"route": CHAT, "model": "away", "operation": "chat"}
    counted.requests.observed(request(**chat, inputs=1, tokens=20, written=15, first_s=0.3))
    counted.requests.observed(request(**chat, status=502, code="upstream_invalid_response"))
    counted.requests.observed(request(**chat, code="deployment_failed", tokens=3, written=2))
    model = {**GEN_AI, "gen_ai_operation_name": "chat", "gen_ai_request_model": "away"}
    server = "gen_ai_server_request_duration_seconds_count"
    for error in ("", "502", "deployment_failed"):  # the last is a stream that broke off
        assert counted.value(server, **model, error_type=error) == 1
    tokens = "gen_ai_client_token_usage_sum"
    assert counted.value(tokens, **model, gen_ai_token_type="input") == 6
    assert counted.value(tokens, **model, gen_ai_token_type="output") == 17
    first = "gen_ai_server_time_to_first_token_seconds"
    assert counted.value(f"{first}_sum", **model) == 0.3
    assert counted.value(f"{first}_count", **model) == 1  # the others were not streamed
    assert counted.value("emblem_requests_total", route=CHAT, model="away", status="200") == 2
    assert counted.of("emblem_inputs_total") == []  # they were not answered with vectors


def test_a_ranking_writes_nothing() -> None:
    counted = counting()
    counted.requests.observed(request(model="away", operation="rerank", tokens=20))
    (labels,) = counted.of("gen_ai_client_token_usage_sum")
    assert (labels["gen_ai_operation_name"], labels["gen_ai_token_type"]) == ("rerank", "input")


def test_times_are_counted_up_to_the_bound_of_their_bucket_and_added_up_over_models() -> None:
    counted = counting()
    for model, seconds in (("tiny", 0.005), ("away", 0.0051), ("away", 1000.0)):
        counted.requests.observed(request(model=model, seconds=seconds))
    http = {
        "http_request_method": "POST",
        "http_route": EMBEDDINGS,
        "http_response_status_code": "200",
    }
    bucket = "http_server_request_duration_seconds_bucket"
    upto = {le: counted.value(bucket, le=le, **http) for le in ("0.0025", "0.005", "600.0", "+Inf")}
    assert upto == {"0.0025": 0, "0.005": 1, "600.0": 2, "+Inf": 3}
    assert counted.value("http_server_request_duration_seconds_count", **http) == 3
    away = {**GEN_AI, "gen_ai_request_model": "away", "error_type": ""}
    assert counted.value("gen_ai_server_request_duration_seconds_sum", **away) == 1000.0051


def test_a_page_does_not_change_with_what_comes_while_it_is_written() -> None:
    counted = counting(per_key=True)
    counted.requests.observed(request(key="key_1", tokens=1))
    before = counted.requests.counts()
    counted.requests.observed(request(key="key_1", tokens=1))
    assert before.series[0].tokens.sum == 1
    assert sum(before.series[0].seconds.counts) == 1
    assert before.keys[0][1].requests == 1


def test_a_request_that_failed_has_its_status_and_no_tokens() -> None:
    counted = counting()
    counted.requests.observed(request(status=503, tokens=20, inputs=3, code="server_overloaded"))
    assert counted.of("gen_ai_client_token_usage_sum") == []
    assert counted.of("emblem_inputs_total") == []
    (labels,) = counted.of("gen_ai_server_request_duration_seconds_count")
    assert labels["error_type"] == "503"
    assert counted.value("emblem_refusals_total", by="server_overloaded") == 1


@pytest.mark.parametrize(
    ("limit", "by"),
    [
        (Limit("key_1", False, Unit.TOKENS, Period.MINUTE, 10), "key_tokens_minute"),
        (Limit("team_1", True, Unit.COST, Period.MONTH, 10), "team_cost_month"),
    ],
)
def test_a_refusal_says_which_kind_of_limit_refused(limit: Limit, by: str) -> None:
    counted = counting()
    counted.requests.observed(request(status=429, code="rate_limit_exceeded", refused_by=limit))
    assert counted.of("emblem_refusals_total") == [{"by": by}]


def test_what_is_wrong_with_a_request_is_no_refusal() -> None:
    counted = counting()
    counted.requests.observed(request(status=404, model="", code="model_not_found"))
    assert counted.of("emblem_refusals_total") == []


def test_no_label_has_what_a_client_made_up() -> None:
    counted = counting()
    for number in range(KEPT + 10):
        counted.requests.observed(
            request(method=f"PLANT{number}", model=f"planted-{number}", status=404)
        )
    page = counted.page()
    assert "plant" not in page.lower()
    (labels,) = counted.of("emblem_requests_total")
    assert labels == {"route": EMBEDDINGS, "model": "", "status": "404"}
    assert counted.value("emblem_requests_total", **labels) == KEPT + 10
    (http,) = counted.of("http_server_request_duration_seconds_count")
    assert http["http_request_method"] == "_OTHER"


def test_keys_are_counted_only_where_that_is_asked_for() -> None:
    quiet, asked = counting(), counting(per_key=True)
    for one in (quiet, asked):
        one.requests.observed(request(key="key_1", tokens=20))
        one.requests.observed(request(key="key_1", tokens=20, status=503))
        one.requests.observed(request(status=401, model=""))
    assert "key_1" not in quiet.page()
    assert asked.value("emblem_key_requests_total", key="key_1") == 2
    assert asked.value("emblem_key_tokens_total", key="key_1") == 20
    assert len(asked.of("emblem_key_requests_total")) == 1


@pytest.mark.parametrize(
    ("name", "labels", "value"),
    [
        ("emblem_build_info", {"version": "1.2.3"}, 1),
        ("emblem_queue_requests", {"model": "tiny", "lane": "bulk"}, 3),
        ("emblem_queue_tokens", {"model": "tiny", "lane": "bulk"}, 400),
        ("emblem_queue_predicted_seconds", {"model": "tiny", "lane": "bulk"}, 0.75),
        ("emblem_queue_requests", {"model": "tiny", "lane": "interactive"}, 0),
        ("emblem_model_requests_in_progress", {"model": "tiny"}, 2),
        ("emblem_rows_total", {"model": "tiny"}, 7),
        ("emblem_row_tokens_total", {"model": "tiny"}, 900),
        ("emblem_row_seconds_total", {"model": "tiny"}, 2.25),
        ("emblem_row_capacity_tokens", {"model": "tiny"}, 256),
        ("emblem_row_capacity_tokens", {"model": "away"}, None),
        ("emblem_model_seconds_per_token", {"model": "tiny"}, 0.0025),
        ("emblem_model_seconds_per_token", {"model": "away"}, None),
        ("emblem_model_loaded", {"model": "tiny"}, 1),
        ("emblem_model_loaded", {"model": "away"}, 0),
        ("emblem_model_problem", {"model": "tiny"}, 0),
        ("emblem_model_problem", {"model": "away"}, 1),
        ("emblem_model_predicted_bytes", {"model": "away"}, 2000),
        ("emblem_models_loaded_bytes", {}, 1000),
        ("emblem_models_beyond_bytes", {}, 50),
        ("emblem_models_max_bytes", {}, 5000),
        ("emblem_cache_hits_total", {}, 20),
        ("emblem_cache_misses_total", {}, 30),
        ("emblem_cache_entries", {}, 4),
        ("emblem_cache_bytes", {}, 3000),
        ("emblem_cache_max_bytes", {}, 9000),
        ("emblem_cache_tier_hits_total", {"tier": "disk"}, 7),
        ("emblem_cache_tier_misses_total", {"tier": "disk"}, 8),
        ("emblem_cache_tier_damaged_total", {"tier": "disk"}, 1),
        ("emblem_cache_tier_unwritten_total", {"tier": "disk"}, 3),
        ("emblem_cache_tier_failures_total", {"tier": "disk"}, 2),
        ("emblem_cache_tier_away", {"tier": "disk"}, 1),
        ("emblem_limits_redis_away", {}, 1),
        ("emblem_limits_redis_outages_total", {}, 2),
        ("emblem_limits_counted_alone_total", {}, 5),
        ("emblem_limits_refused_while_away_total", {}, 6),
        ("emblem_limits_lost_refunds_total", {}, 1),
        ("emblem_usage_waiting_records", {}, 12),
        ("emblem_usage_lost_records_total", {}, 3),
    ],
)
def test_the_state_of_a_server_is_read(
    name: str, labels: dict[str, str], value: float | None
) -> None:
    assert counting().value(name, **labels) == value


def test_every_metric_that_is_named_is_there_with_the_labels_that_it_says() -> None:
    counted = counting(per_key=True)
    limit = Limit("key_1", False, Unit.TOKENS, Period.MINUTE, 10)
    counted.requests.observed(request(key="key_1", tokens=20, inputs=1, hits=1))
    counted.requests.observed(request(model="away", operation="chat", tokens=9, first_s=0.1))
    counted.requests.observed(request(key="key_1", status=429, code="x", refused_by=limit))
    for metric in names.EVERY:
        for series in metric.series:
            found = counted.of(series)
            assert found, series
            assert all({*one} - {"le"} == {*metric.labels} for one in found), series


def test_the_process_itself_is_measured() -> None:
    counted = counting()
    assert (counted.value("process_resident_memory_bytes") or 0) > 1 << 20
    assert (counted.value("process_open_fds") or 0) > 0


def test_open_metrics_are_given_to_whoever_asks_for_them() -> None:
    page = asyncio.run(counting().exposition.page("application/openmetrics-text; version=1.0.0"))
    assert page.content_type.startswith("application/openmetrics-text")
    assert page.content.endswith(b"# EOF\n")


def test_each_deployment_of_a_model_has_its_own_numbers() -> None:
    counted = counting()

    def both(name: str) -> list[float | None]:
        return [
            counted.value(f"emblem_deployment_{name}", model="tiny", deployment=one)
            for one in ("here", "there")
        ]

    assert both("serving") == [1, 0]
    assert both("requests_in_progress") == [1, 0]
    assert both("answers_total") == [9, 4]
    assert both("failures_total") == [0, 3]
    assert both("invalid_answers_total") == [0, 1]
    assert both("worst_cosine") == [0.9999, None]
