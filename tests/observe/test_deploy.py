"""What is shipped for Prometheus and Grafana asks for nothing that is not there."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml

from emblem.observe import names
from observe.metrics_table import in_page, table

DEPLOY = Path(__file__).parents[2] / "deploy"
DASHBOARD = json.loads((DEPLOY / "grafana" / "emblem.json").read_text("utf-8"))
ALERTS = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text("utf-8"))
SCRAPE = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text("utf-8"))

# Those of Prometheus itself, and of its clients: of tests/observe/test_metrics.py.
GIVEN = {"up", "process_resident_memory_bytes", "process_cpu_seconds_total"}
LABELS_OF_ALL = {"job", "instance", "le"}
SERIES = {series: metric for metric in names.EVERY for series in metric.series}

# What a query has besides series and labels.
WORDS = {
    *("by", "or", "sum", "max", "rate", "increase", "histogram_quantile", "topk", "vector"),
    "label_values",
}


def panels() -> Iterator[dict[str, Any]]:
    yield from (one for one in DASHBOARD["panels"] if one["type"] != "row")


def queries() -> list[str]:
    """Every query of the dashboard, its variables and the alerts."""
    asked = [target["expr"] for panel in panels() for target in panel["targets"]]
    variables = DASHBOARD["templating"]["list"]
    asked += [one["query"]["query"] for one in variables if one["type"] == "query"]
    return asked + [rule["expr"] for group in ALERTS["groups"] for rule in group["rules"]]


def asked_for(query: str) -> tuple[set[str], set[str]]:
    """Give the series and the labels that a query names."""
    labels = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"", query))
    for group in re.findall(r"\bby\s*\(([^)]*)\)", query):
        labels |= {one.strip() for one in group.split(",")}
    labels |= set(re.findall(r"label_values\([^)]*,\s*(\w+)\)", query))
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]|\"[^\"]*\"", "", query)
    bare = re.sub(r"\bby\s*\([^)]*\)|,\s*\w+\)$", " ", bare)
    return set(re.findall(r"[A-Za-z_]\w*", bare)) - WORDS, labels


def test_queries_are_read_as_they_are_meant() -> None:
    query = 'sum by (le, x) (rate(a_bucket{job="$job",y=~"5.."}[5m])) / vector(0)'
    assert asked_for(query) == ({"a_bucket"}, {"le", "x", "job", "y"})
    assert asked_for('label_values(a{job="$job"}, model)') == ({"a"}, {"job", "model"})


@pytest.mark.parametrize("query", queries())
def test_a_query_asks_for_metrics_and_labels_that_there_are(query: str) -> None:
    series, labels = asked_for(query)
    assert series
    assert series <= SERIES.keys() | GIVEN
    known = {label for one in series & SERIES.keys() for label in SERIES[one].labels}
    assert labels <= known | LABELS_OF_ALL


@pytest.mark.parametrize("query", [one for one in queries() if "label_values" not in one])
def test_a_query_is_one_that_prometheus_reads(query: str) -> None:
    promql_parser.parse(query.replace("$__rate_interval", "5m"))


def test_what_a_panel_is_labelled_with_is_in_its_query() -> None:
    for panel in panels():
        for target in panel["targets"]:
            for label in re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]):
                assert label == "instance" or label in asked_for(target["expr"])[1], panel["title"]


def test_the_dashboard_shows_every_kind_of_metric() -> None:
    shown = {SERIES[one].name for query in queries() for one in asked_for(query)[0] & SERIES.keys()}
    left_out = {metric.name for metric in names.EVERY} - shown
    assert left_out == {
        "emblem_cache_entries",
        "emblem_key_requests",
        "emblem_limits_lost_refunds",
        "emblem_limits_redis_outages",
        "emblem_model_predicted_bytes",
    }


def test_no_two_panels_are_at_one_place() -> None:
    places = [
        (x, y)
        for one in DASHBOARD["panels"]
        for x in range(one["gridPos"]["x"], one["gridPos"]["x"] + one["gridPos"]["w"])
        for y in range(one["gridPos"]["y"], one["gridPos"]["y"] + one["gridPos"]["h"])
    ]
    assert len(places) == len(set(places))
    assert len({one["id"] for one in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


def test_the_scrape_has_the_name_and_the_rules_that_the_alerts_need() -> None:
    assert [one["job_name"] for one in SCRAPE["scrape_configs"]] == ["emblem"]
    assert SCRAPE["rule_files"] == ["alerts.yml"]
    assert all('job="emblem"' in rule["expr"] for one in ALERTS["groups"] for rule in one["rules"])


def test_the_page_has_the_table_of_metrics() -> None:
    assert in_page() == table()
