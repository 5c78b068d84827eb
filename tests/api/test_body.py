"""Bodies: bounded in bytes, in seconds, and in what all of them hold together."""

import asyncio
import json

import pytest
from starlette.types import Message

from api.asking import PATIENCE_S, Receive, arriving, ask, post
from api.small_app import Small
from emblem.api import body
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


class Upload:
    """A client that sends so many parts of a body whatever it is told."""

    def __init__(self, parts: int) -> None:
        self.left = parts

    async def __call__(self) -> Message:
        self.left -= 1
        return {"type": "http.request", "body": b" " * 50, "more_body": self.left > 0}


@pytest.mark.parametrize(
    ("parts", "headers", "left"),
    [
        (4, {}, 0),  # 100 bytes may come, and 100 more are thrown away
        (9, {}, 9 - 2 - 1 - 2),
        (4, {"Content-Length": "200"}, 2),
        (4, {"Content-Length": "201"}, 4),
        (4, {"Content-Length": "200", "Expect": "100-continue"}, 4),
    ],
)
def test_of_a_body_that_is_too_large_as_much_again_is_read_so_that_its_client_hears_it(
    parts: int, headers: dict[str, str], left: int
) -> None:
    small, upload = Small(Bounds(max_body_bytes=100)), Upload(parts)
    reply = ask(small.app, "POST", "/v1/embeddings", headers=headers, receive=upload)
    assert reply.status == 413
    assert upload.left == left


def test_a_client_that_sends_too_much_slowly_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(body, "DRAIN_S", 0.01)
    small = Small(Bounds(max_body_bytes=100))
    parts = [{"type": "http.request", "body": b" " * 101, "more_body": True}]

    async def stalling() -> Message:
        if parts:
            return parts.pop()
        await asyncio.get_running_loop().create_future()  # for ever
        raise AssertionError

    assert ask(small.app, "POST", "/v1/embeddings", receive=stalling).status == 413


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


def length(said: int, **more: str) -> dict[str, str]:
    return {"Content-Length": str(said), **more}


def in_two(first: bytes, rest: Receive) -> Receive:
    """Give a part of a body, and say that there may be more of it."""
    parts = [{"type": "http.request", "body": first, "more_body": True}]

    async def receive() -> Message:
        return parts.pop() if parts else await rest()

    return receive


CHUNKED = {"Transfer-Encoding": "chunked"}


@pytest.mark.parametrize(
    "headers",
    [{}, length(len(BODY) + 1), length(len(BODY) - 1), CHUNKED, length(len(BODY), **CHUNKED)],
)
def test_a_body_that_may_go_on_is_read_to_its_end(small: Small, headers: dict[str, str]) -> None:
    for rest, status in ((b" ", 200), (b"}", 400)):
        receive = in_two(BODY, arriving(rest))
        reply = ask(small.app, "POST", "/v1/embeddings", headers=headers, receive=receive)
        assert reply.status == status


def test_an_empty_part_of_a_body_of_unknown_length_is_not_its_end(small: Small) -> None:
    reply = ask(small.app, "POST", "/v1/embeddings", receive=in_two(b"", arriving(BODY)))
    assert reply.status == 200
