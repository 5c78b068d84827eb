"""How much of what clients send is held at once."""

import asyncio
import json
from collections.abc import Coroutine
from typing import Any

from api.asking import PATIENCE_S, SECRET, Reply, arriving, post, reply_to
from api.small_app import Small
from emblem.api.app import Bounds
from emblem.types import EmbedRequest, EmbedResult
from tiny_engine import until

MAX_BODY = 1000
LARGE = json.dumps({"model": "tiny", "input": "x" * 900}).encode()
HEADERS = {"Authorization": f"Bearer {SECRET}"}


async def asked_beside(small: Small, others: int, body: bytes) -> tuple[Reply, list[Reply]]:
    """Ask while large requests wait for their answers, and give what all of them get."""
    go_on = asyncio.Event()
    embed = small.embedder.embed

    async def embed_late(request: EmbedRequest) -> EmbedResult:
        result = await embed(request)
        if len(request.inputs[0]) > 1:
            await go_on.wait()
        return result

    def one(content: bytes) -> Coroutine[Any, Any, Reply | None]:
        return reply_to(small.app, "POST", "/v1/embeddings", arriving(content), HEADERS)

    small.embedder.embed = embed_late  # type: ignore[method-assign]
    async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(LARGE)) for _ in range(others)]
        await until(lambda: len(small.embedder.requests) == others)
        reply = await one(body)
        go_on.set()
    return reply, [task.result() for task in tasks]


def test_bodies_count_until_they_are_answered_and_too_many_are_refused() -> None:
    small = Small(Bounds(max_body_bytes=MAX_BODY))
    reply, others = asyncio.run(asked_beside(small, 8, LARGE))
    assert (reply.status, reply.error["code"]) == (503, "server_overloaded")
    assert 1 <= int(reply.headers["retry-after"]) <= 60
    assert [other.status for other in others] == [200] * 8


def test_a_small_body_still_finds_room_beside_large_ones() -> None:
    small = Small(Bounds(max_body_bytes=MAX_BODY))
    reply, _ = asyncio.run(asked_beside(small, 7, b'{"model": "tiny", "input": "x"}'))
    assert reply.status == 200


def test_what_is_answered_or_refused_holds_nothing_any_more() -> None:
    small = Small(Bounds(max_body_bytes=MAX_BODY))
    for _ in range(10):
        assert post(small.app, LARGE).status == 200
        assert post(small.app, b"x" * 900).status == 400
        assert post(small.app, b"x" * 1001).status == 413
    small.embedder.error = RuntimeError("broken")
    for _ in range(10):
        assert post(small.app, LARGE).status == 500
    small.embedder.error = None
    assert post(small.app, LARGE).status == 200
