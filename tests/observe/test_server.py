"""A real server, observed: what it counts, writes and traces, and that no secret is in any of it."""

import json
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from observe.collector import Collector, collecting
from serve.processes import run, wait_for
from server import RunningServer, free_port, linked_home, running_server

MODEL = "wordllama-256"
KEY = "hunter2-PLANTEDKEY-0123456789"  # of no form that could be recognised
TEXT = "PLANTEDTEXT of a private letter"
WRONG = "sk-wrong-PLANTEDKEY-0123456789"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"


@dataclass(frozen=True)
class Observed:
    """A server that is stopped when ``end`` is called, and what was seen of it."""

    server: RunningServer
    metrics: str
    issued: str

    def said(self) -> str:
        return self.server.log.read_text("utf-8")


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with collecting() as one:
        yield one


@pytest.fixture(scope="module", params=["json", "console"])
def observed(
    request: pytest.FixtureRequest,
    collector: Collector,
    model_home: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Observed]:
    """Give a server at the level debug, with a port for metrics, whose traces are collected."""
    port = free_port()
    env = {
        "EMBLEM_API_KEY": KEY,
        "EMBLEM_LOG_LEVEL": "debug",
        "EMBLEM_LOG_FORMAT": request.param,
        "EMBLEM_METRICS_PORT": str(port),
        "EMBLEM_METRICS_PER_KEY": "true",
        "EMBLEM_OFFLINE": "true",
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint,
        "OTEL_BSP_SCHEDULE_DELAY": "50",  # ms
    }
    home = linked_home(tmp_path_factory.mktemp("observed") / "home", model_home)
    with running_server(home, env=env, args=[MODEL]) as server:
        issued = run(home, "keys", "create", "limited", "--tpm", "100000", "--quiet").stdout.strip()
        yield Observed(server, f"http://127.0.0.1:{port}/metrics", issued)


def ask(
    one: Observed, body: object, headers: Mapping[str, str] | None = None, path: str = ""
) -> requests.Response:
    address = one.server.root + (path or "/v1/embeddings")
    with_key = {"Authorization": f"Bearer {KEY}", **(headers or {})}
    return requests.post(address, json=body, headers=with_key, timeout=60)


def samples(page: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }


def value(page: str, name: str, **labels: str) -> float:
    return samples(page).get((name, frozenset(labels.items())), 0.0)


def plant(one: Observed) -> list[int]:
    """Send keys and texts wherever a client can put them; give the statuses."""
    good: dict[str, Any] = {"model": MODEL, "input": TEXT}
    asked: list[tuple[object, dict[str, str], str]] = [
        (good, {}, ""),
        (good, {"Authorization": f"Bearer {one.issued}"}, ""),
        (good, {"Authorization": f"Bearer {WRONG}"}, ""),
        (good, {"Authorization": WRONG}, ""),
        (good, {"x-api-key": WRONG, "user-agent": TEXT, "referer": f"https://{WRONG}@x/"}, ""),
        (good, {"x-emblem-tag": TEXT, "x-request-id": TEXT, "traceparent": TEXT}, ""),
        ({**good, "user": TEXT}, {}, ""),
        ({**good, "model": f"{TEXT} {WRONG}"}, {}, ""),
        ({**good, "input": {TEXT: TEXT}}, {}, ""),
        ({**good, "input": [TEXT, 1]}, {}, ""),
        ({**good, "encoding_format": TEXT}, {}, ""),
        ({**good, "dimensions": TEXT}, {}, ""),
        ({TEXT: TEXT}, {}, ""),
        (good, {}, f"/v1/embeddings?key={WRONG}&text={quote(TEXT)}"),
        (good, {}, f"/{quote(TEXT)}/v1/embeddings"),
        (good, {}, f"/{WRONG}/{quote(TEXT)}"),
        (good, {}, f"/v1/models/{WRONG}"),
        (good, {}, f"/admin/keys/{WRONG}?name={quote(TEXT)}"),
    ]
    statuses = [ask(one, *each).status_code for each in asked]
    for method in ("GET", "DELETE", TEXT.split()[0]):
        address = f"{one.server.root}/v1/models/{quote(TEXT)}?key={WRONG}"
        answer = requests.request(method, address, headers={"Authorization": KEY}, timeout=60)
        statuses.append(answer.status_code)
    with socket.create_connection(("127.0.0.1", one.server.port)) as client:
        head = f"POST /v1/embeddings HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\n"
        client.sendall(f'{head}Content-Length: 999\r\n\r\n{{"input": "{TEXT}'.encode())
    return statuses


def secrets(one: Observed) -> tuple[str, ...]:
    return ("PLANTED", "private", "letter", KEY, KEY[:7], one.issued, one.issued[3:20])


def test_no_key_and_no_text_is_in_the_log_the_metrics_or_the_traces(
    observed: Observed, collector: Collector
) -> None:
    statuses = plant(observed)
    assert {200, 400, 401, 404} <= set(statuses)
    assert max(statuses) < 500
    ask(observed, {"model": MODEL, "input": "the last one"})
    wait_for(lambda: observed.said().count("/v1/embeddings") > 10)
    page = requests.get(observed.metrics, timeout=30).text
    wait_for(lambda: len(collector.spans()) > 20)
    for secret in secrets(observed):
        assert secret not in observed.said()
        assert secret not in page
        assert not any(secret.encode() in body for _, body in collector.came)
    assert "Traceback" not in observed.said()


def test_requests_are_counted_on_the_port_and_behind_a_key(observed: Observed) -> None:
    labels = {"route": "/v1/embeddings", "model": MODEL, "status": "200"}
    before = value(
        requests.get(observed.metrics, timeout=30).text, "emblem_requests_total", **labels
    )
    assert ask(observed, {"model": MODEL, "input": ["one", "two"]}).status_code == 200
    page = observed.server.get("/metrics")
    assert page.headers["content-type"].startswith("text/plain")
    assert value(page.text, "emblem_requests_total", **labels) == before + 1
    assert value(page.text, "emblem_model_loaded", model=MODEL) == 1
    assert value(page.text, "emblem_rows_total", model=MODEL) > 0
    assert value(page.text, "process_resident_memory_bytes") > 1 << 20
    assert any(name == "emblem_key_requests_total" for name, _ in samples(page.text))


def test_metrics_are_not_for_everybody(observed: Observed) -> None:
    address = f"{observed.server.root}/metrics"
    assert requests.get(address, timeout=30).status_code == 401
    as_limited = {"Authorization": f"Bearer {observed.issued}"}
    assert requests.get(address, headers=as_limited, timeout=30).status_code == 403


def test_every_route_of_a_label_is_a_template(observed: Observed) -> None:
    for path in ("/health", "/v1/models", f"/v1/models/{MODEL}", f"/{MODEL}/v1/models", "/nothing"):
        observed.server.get(path)
    page = requests.get(observed.metrics, timeout=30).text
    routes = {
        dict(labels)["route"] for name, labels in samples(page) if name == "emblem_requests_total"
    }
    assert {
        "/health",
        "/v1/models",
        "/v1/models/{id:path}",
        "/{model:path}/v1/models",
        "",
    } <= routes
    assert not any(MODEL in route for route in routes)


def test_a_request_is_a_line_with_what_it_was(observed: Observed) -> None:
    answer = ask(observed, {"model": MODEL, "input": ["one", "two", "three"]})
    id_ = answer.headers["x-request-id"]
    wait_for(lambda: id_ in observed.said())
    (line,) = [line for line in observed.said().splitlines() if id_ in line]
    tokens = answer.json()["usage"]["total_tokens"]
    if line.startswith("{"):
        found = json.loads(line)
        assert (found["route"], found["status"], found["model"]) == ("/v1/embeddings", 200, MODEL)
        assert (found["inputs"], found["tokens"]) == (3, tokens)
        assert found["key"]
        assert found["ms"] > 0
    else:
        assert " INFO emblem.access: POST /v1/embeddings 200 " in line
        assert f" model={MODEL} inputs=3 tokens={tokens} " in line
        assert " key=" in line


def test_a_traced_request_of_a_key_with_limits_has_all_its_parts(
    observed: Observed, collector: Collector
) -> None:
    headers = {
        "Authorization": f"Bearer {observed.issued}",
        "traceparent": f"00-{TRACE}-{PARENT}-01",
    }
    id_ = ask(observed, {"model": MODEL, "input": "traced"}, headers).headers["x-request-id"]

    def said() -> dict[str, Any]:
        """Give what spans say which request they are of."""
        return {
            attribute.value.string_value: span
            for span in collector.spans()
            for attribute in span.attributes
            if attribute.key == "emblem.request.id"
        }

    wait_for(lambda: id_ in said())
    whole = said()[id_]
    assert (whole.name, whole.trace_id.hex()) == ("POST /v1/embeddings", TRACE)
    assert whole.parent_span_id.hex() == PARENT
    parts = [one for one in collector.spans() if one.parent_span_id == whole.span_id]
    assert [one.name for one in parts] == ["count", "limit", "embed"]
    assert collector.came[0][0] == "/v1/traces"
