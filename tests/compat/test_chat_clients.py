"""Real clients for chat, through a real Emblem, to a real upstream."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from chat_upstream import USAGE, WORDS, ChatUpstream, Wanted, chat_upstream
from server import RunningServer, linked_home, running_server

THEIR_KEY = "sk-theirs-0123456789-abcdefghij"
MESSAGES: Any = [{"role": "user", "content": "a text that nobody may log"}]
TOML = """
serve = ["wordllama-256"]

[upstreams.theirs]
preset = "openai-compatible"
base_url = "{base_url}"
key_env = ["THEIR_KEY"]

[chat.talker]
upstream = "theirs"
model = "their-model"

[rerank.ranker]
upstream = "theirs"

[prices]
talker = 1
"""


@pytest.fixture(scope="module")
def upstream() -> Iterator[ChatUpstream]:
    with chat_upstream() as server:
        yield server


@pytest.fixture(scope="module")
def front(
    upstream: ChatUpstream, model_home: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningServer]:
    home = linked_home(tmp_path_factory.mktemp("chat") / "home", model_home)
    (home / "emblem.toml").write_text(TOML.format(base_url=upstream.base_url))
    with running_server(home, env={"THEIR_KEY": THEIR_KEY, "EMBLEM_LOG_LEVEL": "debug"}) as running:
        yield running
        log = running.log.read_text()
        assert "Traceback" not in log
        for secret in (THEIR_KEY, running.key, "a text that nobody may log"):
            assert secret not in log


@pytest.fixture(autouse=True)
def fresh(upstream: ChatUpstream) -> None:
    upstream.wanted = Wanted()
    for one in (upstream.left, upstream.held, upstream.release):
        one.clear()


@pytest.fixture
def client(front: RunningServer) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(
        base_url=front.base_url, api_key=front.key, max_retries=0, timeout=30
    ) as opened:
        yield opened


def test_an_answer_comes_back_whole(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="talker", messages=MESSAGES)
    assert answer.choices[0].message.content == "".join(WORDS)
    assert answer.usage is not None
    assert answer.usage.total_tokens == USAGE["total_tokens"]


def test_an_answer_comes_back_in_a_stream(client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(model="talker", messages=MESSAGES, stream=True)
    assert "".join(one.choices[0].delta.content or "" for one in stream) == "".join(WORDS)


def test_each_part_is_there_before_the_next_one_exists(
    client: openai.OpenAI, upstream: ChatUpstream
) -> None:
    upstream.wanted = Wanted(hold_after=1)
    stream = client.chat.completions.create(model="talker", messages=MESSAGES, stream=True)
    assert next(stream).choices[0].delta.content == WORDS[0]
    assert upstream.held.wait(20)
    upstream.release.set()
    assert next(stream).choices[0].delta.content == WORDS[1]


def test_a_stream_that_is_closed_is_closed_at_the_upstream_too(
    client: openai.OpenAI, upstream: ChatUpstream
) -> None:
    upstream.wanted = Wanted(hold_after=2)
    stream = client.chat.completions.create(model="talker", messages=MESSAGES, stream=True)
    next(stream)
    stream.close()
    assert upstream.left.wait(20)


def test_a_client_that_waits_no_longer_is_not_waited_for(
    client: openai.OpenAI, upstream: ChatUpstream
) -> None:
    upstream.wanted = Wanted(silent=True)
    with pytest.raises(openai.APITimeoutError):
        client.with_options(timeout=0.5).chat.completions.create(model="talker", messages=MESSAGES)
    assert upstream.left.wait(20)


def test_many_streams_run_at_once_and_do_not_mix(front: RunningServer) -> None:
    async def ask() -> list[str]:
        async with openai.AsyncOpenAI(base_url=front.base_url, api_key=front.key) as opened:

            async def one() -> str:
                stream = await opened.chat.completions.create(
                    model="talker", messages=MESSAGES, stream=True
                )
                return "".join([part.choices[0].delta.content or "" async for part in stream])

            return await asyncio.gather(*(one() for _ in range(20)))

    assert asyncio.run(ask()) == ["".join(WORDS)] * 20


def test_a_stream_that_breaks_off_is_an_error_and_not_a_short_answer(
    client: openai.OpenAI, upstream: ChatUpstream
) -> None:
    upstream.wanted = Wanted(break_after=2)
    stream = client.chat.completions.create(model="talker", messages=MESSAGES, stream=True)
    with pytest.raises(openai.APIError, match="broke off in the middle"):
        list(stream)


def test_errors_are_the_classes_that_the_client_knows(
    client: openai.OpenAI, upstream: ChatUpstream
) -> None:
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(model="nobody", messages=MESSAGES)
    with pytest.raises(openai.NotFoundError, match="POST /v1/chat/completions"):
        client.embeddings.create(model="talker", input="x")
    error = {"message": "too long", "type": "invalid_request_error", "param": "messages"}
    upstream.wanted = Wanted(400, {"error": {**error, "code": "context_length_exceeded"}})
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(model="talker", messages=MESSAGES)
    assert refused.value.code == "context_length_exceeded"
    upstream.wanted = Wanted(401, {"error": {"message": f"bad key {THEIR_KEY}"}})
    with pytest.raises(openai.InternalServerError) as failed:
        client.chat.completions.create(model="talker", messages=MESSAGES)
    assert THEIR_KEY not in str(failed.value)


def test_chat_models_are_listed_and_vectors_are_still_to_be_had(client: openai.OpenAI) -> None:
    listed = {one.id: one.model_dump()["task"] for one in client.models.list()}
    assert listed["talker"] == "chat"
    assert listed["ranker"] == "rerank"
    assert listed["wordllama-256"] == "embedding"
    assert client.models.retrieve("talker").id == "talker"
    answer = client.embeddings.create(model="wordllama-256", input="x")
    assert len(answer.data[0].embedding) == 256


def test_documents_are_ranked(front: RunningServer) -> None:
    body = {"model": "ranker", "query": "q", "documents": ["a", "ccc", "bb"], "top_n": 2}
    answer = front.post(body, "/rerank")
    assert answer.status_code == 200, answer.text
    assert [one["index"] for one in answer.json()["results"]] == [1, 2]


def test_a_key_s_usage_and_limits_are_those_of_what_was_said(front: RunningServer) -> None:
    made = front.post({"name": "chatting", "tokens_per_day": 100}, "/admin/keys").json()
    with openai.OpenAI(base_url=front.base_url, api_key=made["key"], max_retries=0) as client:
        list(client.chat.completions.create(model="talker", messages=MESSAGES, stream=True))
        client.chat.completions.create(model="talker", messages=MESSAGES)
        with pytest.raises(openai.RateLimitError, match="tokens"):
            client.chat.completions.create(model="talker", messages=MESSAGES, max_tokens=100)
        told = client.get("/usage", cast_to=dict[str, Any])
        until = time.monotonic() + 20
        while told["this_month"]["requests"] < 3 and time.monotonic() < until:
            time.sleep(0.05)  # records are written twice a second
            told = client.get("/usage", cast_to=dict[str, Any])
    [used] = told["this_month"]["models"]
    tokens = 2 * USAGE["total_tokens"]
    assert (used["model"], used["requests"], used["errors"]) == ("talker", 3, 1)
    assert (used["tokens"], float(used["cost"])) == (tokens, tokens / 1e6)
    [limit] = told["limits"]
    assert limit["used"] == tokens


@pytest.mark.slow
def test_langchain_talks_too(run_python_client: Any, front: RunningServer) -> None:
    told = run_python_client(
        "langchain_chat", model="talker", text="hello", base_url=front.base_url, key=front.key
    )
    assert told["whole"] == "".join(WORDS)
    assert told["streamed"] == list(WORDS)
    assert told["tokens"] == USAGE["total_tokens"]


@pytest.mark.slow
def test_another_emblem_is_an_upstream_like_any_other(
    front: RunningServer, model_home: Path, tmp_path: Path
) -> None:
    home = linked_home(tmp_path / "home", model_home)
    second = TOML.replace("their-model", "talker").replace("openai-compatible", "emblem")
    (home / "emblem.toml").write_text(second.format(base_url=front.base_url))
    with (
        running_server(home, env={"THEIR_KEY": front.key}) as outer,
        openai.OpenAI(base_url=outer.base_url, api_key=outer.key, max_retries=0) as client,
    ):
        stream = client.chat.completions.create(model="talker", messages=MESSAGES, stream=True)
        assert "".join(one.choices[0].delta.content or "" for one in stream) == "".join(WORDS)
        body = {"model": "ranker", "query": "q", "documents": ["a", "ccc", "bb"]}
        ranked = outer.post(body, "/v1/rerank").json()
        assert [one["index"] for one in ranked["results"]] == [1, 2, 0]
        assert ranked["usage"] == {"total_tokens": 21}
