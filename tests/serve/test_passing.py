"""A server that passes chat and rankings on to several places, and tells how each of them is."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from chat_upstream import USAGE, WORDS, ChatUpstream, Wanted, chat_upstream
from server import RunningServer, linked_home, running_server

CONFIG = """
[upstreams.one]
preset = "openai-compatible"
base_url = "{one}"

[upstreams.two]
preset = "openai-compatible"
base_url = "{two}"

[chat.talker]
deployments = [{{ upstream = "one" }}, {{ upstream = "two", model = "theirs", max_requests = 9 }}]

[rerank.ranker]
deployments = [{{ upstream = "one" }}, {{ upstream = "two" }}]
"""
IN_A_ROW = 5  # failures, after which a deployment is left alone
ALONE = ("open", "probed")


@pytest.fixture(scope="module")
def broken() -> Iterator[ChatUpstream]:
    with chat_upstream() as upstream:
        upstream.wanted = Wanted(500, b"<html>")
        yield upstream


@pytest.fixture(scope="module")
def server(
    broken: ChatUpstream, model_home: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningServer]:
    home = linked_home(tmp_path_factory.mktemp("passing") / "home", model_home)
    with chat_upstream() as well:
        (home / "emblem.toml").write_text(CONFIG.format(one=broken.base_url, two=well.base_url))
        with running_server(home, args=["wordllama-256", "--offline"]) as running:
            yield running


@dataclass
class Answered:
    """The server, and how often each model was asked until the broken deployment was left alone."""

    server: RunningServer
    chats: int = 0
    rankings: int = 0

    def failures(self, place: int) -> int:
        [one, _] = self.server.get("/admin/models").json()["passed_on"][place]["deployments"]
        return int(one["failures"])

    def chat(self) -> None:
        streams = self.chats % 2 == 0
        messages = [{"role": "user", "content": "Say hello."}]
        body = {"model": "talker", "messages": messages, "stream": streams}
        answer = self.server.post(body, "/v1/chat/completions")
        assert (answer.status_code, answer.headers["x-served-by"]) == (200, "two"), answer.text
        lines = [line.removeprefix("data: ") for line in answer.text.split("\n\n")]
        choices = [json.loads(line)["choices"][0] for line in lines if line.startswith("{")]
        said = [one["delta"] if streams else one["message"] for one in choices]
        assert "".join(one.get("content", "") for one in said) == "".join(WORDS)
        self.chats += 1

    def rank(self) -> None:
        body = {"model": "ranker", "query": "?", "documents": ["a", "bb"]}
        answer = self.server.post(body, "/v1/rerank")
        assert (answer.status_code, answer.headers["x-served-by"]) == (200, "two"), answer.text
        self.rankings += 1


@pytest.fixture(scope="module")
def answered(server: RunningServer) -> Answered:
    found = Answered(server)
    for place, ask in enumerate((found.chat, found.rank)):
        while found.failures(place) < IN_A_ROW:
            ask()
    return found


def test_administrators_see_each_deployment(answered: Answered) -> None:
    told = answered.server.get("/admin/models").json()
    assert [one["id"] for one in told["passed_on"]] == ["talker", "ranker"]
    assert [one["task"] for one in told["passed_on"]] == ["chat", "rerank"]
    assert "talker" not in {one["id"] for one in told["data"]}
    one, two = told["passed_on"][0]["deployments"]
    assert (one["name"], one["kind"]) == ("one", "openai-compatible")
    assert one["health"] in ALONE
    assert "one answers 500" in one["problem"]
    assert (one["answered"], one["requests"], one["max_requests"]) == (0, 0, 64)
    assert (two["name"], two["health"], two["problem"]) == ("two", "serving", None)
    assert (two["answered"], two["failures"], two["max_requests"]) == (answered.chats, 0, 9)


def test_ready_and_health_name_the_one_that_is_left_alone(answered: Answered) -> None:
    ready = answered.server.session.get(f"{answered.server.root}/ready", timeout=30)
    assert ready.status_code == 200
    degraded = [one.split(" is ") for one in ready.json()["degraded"]]
    assert [name for name, _ in degraded] == ["talker: one", "ranker: one"]
    assert {health for _, health in degraded} <= set(ALONE)
    told = answered.server.get("/admin/health").json()
    assert told["status"] == "degraded"
    assert [one[: len("talker: one ")] for one in told["deployments"]] == [
        "talker: one ",
        "ranker: one ",
    ]


def test_metrics_have_models_and_deployments(answered: Answered) -> None:
    page = answered.server.get("/metrics").text
    lines = dict(line.rsplit(" ", 1) for line in page.splitlines() if line and line[0] != "#")
    for model, asked in (("talker", answered.chats), ("ranker", answered.rankings)):
        for deployment, serving, answers in (("one", 0, 0), ("two", 1, asked)):
            labels = f'{{deployment="{deployment}",model="{model}"}}'
            assert float(lines[f"emblem_deployment_serving{labels}"]) == serving
            assert float(lines[f"emblem_deployment_answers_total{labels}"]) == answers
    read = (
        'gen_ai_operation_name="chat",gen_ai_provider_name="emblem",gen_ai_request_model="talker"'
    )
    tokens = f"gen_ai_client_token_usage_sum{{{read},gen_ai_token_type="
    assert float(lines[f'{tokens}"input"}}']) == answered.chats * USAGE["prompt_tokens"]
    assert float(lines[f'{tokens}"output"}}']) == answered.chats * USAGE["completion_tokens"]
    assert any('gen_ai_operation_name="rerank"' in line for line in lines)
