"""Bodies: bounded in bytes, in seconds, and in what all of them hold together."""

import asyncio
import json

import pytest
from starlette.types import Message

from api.asking import PATIENCE_S, Receive, arriving, ask, post
from api.small_app import Small
from emblem.api.app import Bounds
from emblem.api.body import BodyReader
from emblem.api.problems import Problem
from emblem.errors import Overloaded

BODY = json.dumps({"model": "tiny", "input": "x"}).encode()


def test_a_body_in_many_parts_is_read_whole(small: Small) -> None:
    parts = [bytes([byte]) for byte in BODY]
    reply = ask(small.app, "POST", "/v1/embeddings", receive=arriving(*parts))
    assert reply.status == 200


def test_a_body_that_grows_too_large_is_413_whatever_was_announced() -> None:
    small = Small(Bounds(max_body_bytes=len(BODY)))
    assert post(small.app, BODY).status == 200
    for headers in ({}, {"Content-Length": "5"}):
        reply = ask(
            small.app,
            "POST",
            "/v1/embeddings",
            headers=headers,
            receive=arriving(BODY, b" ", b"never read"),
        )
        assert (reply.status, reply.error["code"]) == (413, "request_too_large")
        assert f"larger than {len(BODY)} bytes" in reply.error["message"]
        assert reply.headers["connection"] == "close"


def test_a_body_that_does_not_arrive_is_408() -> None:
    small = Small(Bounds(body_timeout_s=0.01))

    async def trickle() -> Message:
        await asyncio.sleep(0.001)
        return {"type": "http.request", "body": b" ", "more_body": True}

    reply = ask(small.app, "POST", "/v1/embeddings", receive=trickle)
    assert (reply.status, reply.error["code"]) == (408, "body_timeout")
    assert reply.headers["connection"] == "close"
    assert reply.error["type"] == "invalid_request_error"


async def read(reader: BodyReader, *chunks: bytes) -> bytes:
    return await read_from(reader, arriving(*chunks))


async def read_from(reader: BodyReader, receive: Receive) -> bytes:
    async with asyncio.timeout(PATIENCE_S), reader.read([], receive) as body:
        return body


def test_all_bodies_together_hold_no_more_than_they_may() -> None:
    async def crowd() -> None:
        reader = BodyReader(max_bytes=100, timeout_s=PATIENCE_S, max_held_bytes=150)
        more, last = asyncio.Event(), asyncio.Event()

        async def slow() -> Message:
            if not more.is_set():
                more.set()
                return {"type": "http.request", "body": b"x" * 100, "more_body": True}
            await last.wait()
            return {"type": "http.request", "body": b"", "more_body": False}

        first = asyncio.ensure_future(read_from(reader, slow))
        await more.wait()
        await asyncio.sleep(0)
        assert await read(reader, b"y" * 50) == b"y" * 50
        with pytest.raises(Overloaded):
            await read(reader, b"y" * 51)
        last.set()
        assert len(await first) == 100
        assert await read(reader, b"y" * 100) == b"y" * 100

    asyncio.run(crowd())


def test_what_was_refused_or_left_holds_nothing() -> None:
    async def many() -> None:
        reader = BodyReader(max_bytes=100, timeout_s=PATIENCE_S, max_held_bytes=150)

        async def gone() -> Message:
            return {"type": "http.disconnect"}

        for _ in range(5):
            with pytest.raises(Problem):
                await read(reader, b"x" * 101)
            with pytest.raises(Problem, match="broke off"):
                await read_from(reader, gone)
        assert await read(reader, b"x" * 100) == b"x" * 100

    asyncio.run(many())
