"""Answers: their heads and their ends, whatever the application does, and whoever reads them slowly."""

import asyncio
import contextlib
import gc
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from emblem.http1 import exchange
from emblem.http1.connection import Connection
from emblem.http1.exchange import Exchange
from http1.listening import Client, Listening, echo, head, listening, posted, read, respond

App = Callable[[Scope, Receive, Send], Awaitable[None]]
NEXT = head("GET", "/next")


def start(status: int = 200, *headers: tuple[bytes, bytes]) -> dict[str, Any]:
    return {"type": "http.response.start", "status": status, "headers": list(headers)}


def part(body: bytes, *, more: bool = False) -> dict[str, Any]:
    return {"type": "http.response.body", "body": body, "more_body": more}


def sending(*messages: dict[str, Any]) -> App:
    """Give an application that sends these; to "/next" it answers as it should."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/next":
            await echo(scope, receive, send)
            return
        for one in messages:
            await send(dict(one))

    return app


def old(method: str, path: str, *headers: str) -> bytes:
    return head(method, path, *headers).replace(b" HTTP/1.1", b" HTTP/1.0")


def length(size: int) -> tuple[bytes, bytes]:
    return b"content-length", b"%d" % size


STREAM = sending(
    start(200, (b"x", b"y")), part(b"one", more=True), part(b"", more=True), part(b"2")
)


def test_an_answer_of_no_known_length_is_sent_in_chunks() -> None:
    with listening(STREAM) as served:
        client = served.connect()
        reply = client.send(head("GET", "/a")).reply()
        assert reply.headers.keys() == {"date", "x", "transfer-encoding"}
        assert (reply.status, reply.body) == (200, b"one2")
        assert client.send(NEXT).reply().body == b"GET /next "


def test_an_old_client_is_sent_it_until_the_connection_ends() -> None:
    with listening(STREAM) as served:
        for keep in ((), ("Connection: keep-alive",)):
            reply = served.connect().send(old("GET", "/a", *keep)).reply()
            assert reply.headers.keys() == {"date", "x", "connection"}
            assert reply.headers["connection"] == "close"
            assert (reply.status, reply.body) == (200, b"one2")


def test_each_part_goes_out_as_it_comes() -> None:
    go = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        await send(part(b"", more=True))
        await go.wait()
        await send(part(b"late"))

    with listening(app) as served:
        client = served.connect().send(head("GET", "/a"))
        while client.line():
            pass
        served.call(go.set)
        assert [client.line() for _ in range(4)] == [b"4", b"late", b"0", b""]


@pytest.mark.parametrize("body", [0, 1, 1000, 65_535, 65_536, 65_537, 9_000_000])
def test_an_answer_of_any_size_comes_whole(body: int) -> None:
    said = (bytes(range(251)) * (body // 251 + 1))[:body]
    halves = [part(said[: body // 2], more=True), part(said[body // 2 :])]
    for app in (
        sending(start(200, length(body)), part(said)),
        sending(start(200, length(body)), *halves),
        sending(start(), *halves),
    ):
        with listening(app) as served:
            client = served.connect().send(head("GET", "/a") + NEXT)
            assert client.reply().body == said
            assert client.reply().body == b"GET /next "


@pytest.mark.parametrize(
    ("app", "method", "headers"),
    [
        (sending(start(200, length(4)), part(b"body")), "HEAD", {"date", "content-length"}),
        (sending(start(200), part(b"body")), "HEAD", {"date"}),
        (sending(start(200, length(4)), part(b"")), "HEAD", {"date", "content-length"}),
        (sending(start(204), part(b"")), "GET", {"date"}),
        (sending(start(204), part(b"body")), "GET", {"date"}),
        (sending(start(304, length(4)), part(b"")), "GET", {"date", "content-length"}),
        (sending(start(304), part(b"bo", more=True), part(b"dy")), "GET", {"date"}),
    ],
)
def test_an_answer_that_has_no_body_has_none(app: App, method: str, headers: set[str]) -> None:
    with listening(app) as served:
        client = served.connect().send(head(method, "/a") + NEXT)
        assert client.reply(to=method).headers.keys() == headers
        assert client.reply().body == b"GET /next "


async def fails(scope: Scope, receive: Receive, send: Send) -> None:
    raise LookupError("for the log, and not for the client")


async def stays(scope: Scope, receive: Receive, send: Send) -> None:
    """Return without an answer."""


async def cancelled(scope: Scope, receive: Receive, send: Send) -> None:
    raise asyncio.CancelledError


NO_ANSWERS = {
    "nothing": stays,
    "a failure": fails,
    "a cancellation": cancelled,
    "only a start": sending(start()),
    "a body first": sending(part(b"x")),
    "two starts": sending(start(), start(), part(b"x")),
    "too much": sending(start(200, length(3)), part(b"four")),
    "too little": sending(start(200, length(5)), part(b"four")),
    "two lengths": sending(start(200, length(4), length(5)), part(b"four")),
    "no length": sending(start(200, (b"content-length", b"four")), part(b"four")),
    "a length below nothing": sending(start(200, (b"content-length", b"-4")), part(b"four")),
    "chunks of its own": sending(
        start(200, (b"transfer-encoding", b"chunked")), part(b"0\r\n\r\n")
    ),
    "an answer before the answer": sending(start(100), part(b"")),
    "another protocol": sending(start(101), part(b"")),
    "no status": sending(start(1000), part(b"")),
    "a line in a value": sending(start(200, (b"x", b"y\r\nset-cookie: z")), part(b"")),
    "an LF in a value": sending(start(200, (b"x", b"y\nset-cookie: z")), part(b"")),
    "a CR in a value": sending(start(200, (b"x", b"y\rz")), part(b"")),
    "both, turned round": sending(start(200, (b"x", b"y\n\rz")), part(b"")),
    "an answer in a name": sending(start(200, (b"x\r\n\r\nHTTP/1.1 200 OK", b"y")), part(b"")),
    "text in a header": sending({**start(), "headers": [("x", "y")]}, part(b"")),
}


@pytest.mark.parametrize("app", NO_ANSWERS.values(), ids=NO_ANSWERS.keys())
def test_an_application_that_does_not_answer_is_answered_for(app: App) -> None:
    with listening(app) as served:
        client = served.connect().send(head("GET", "/a") + NEXT)
        reply = client.reply()
        assert (reply.status, reply.headers["connection"]) == (500, "close")
        assert b"internal_error" in reply.body
        assert client.ended()


async def begins_and_fails(scope: Scope, receive: Receive, send: Send) -> None:
    await send(start())
    await send(part(b"four", more=True))
    raise LookupError


HALF_ANSWERS = {
    "a failure": begins_and_fails,
    "no end": sending(start(), part(b"four", more=True)),
    "no end of a length": sending(start(200, length(5)), part(b"four", more=True)),
    "an end too early": sending(start(200, length(5)), part(b"four", more=True), part(b"")),
    "more than its length": sending(start(200, length(5)), part(b"four", more=True), part(b"22")),
    "two starts": sending(start(), part(b"four", more=True), start(), part(b"")),
}


@pytest.mark.parametrize("app", HALF_ANSWERS.values(), ids=HALF_ANSWERS.keys())
def test_an_answer_that_breaks_off_is_seen_to_be_broken(app: App) -> None:
    with listening(app) as served:
        client = served.connect().send(head("GET", "/a") + NEXT)
        assert client.line() == b"HTTP/1.1 200 OK"
        with contextlib.suppress(ConnectionResetError):
            assert not client.rest().endswith((b"0\r\n\r\n", b"22"))


def test_what_an_application_sends_after_its_answer_is_in_no_answer() -> None:
    failed = threading.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await echo(scope, receive, send)
        for late in (start(), part(b"x"), part(b"x", more=True)):
            with pytest.raises(RuntimeError):
                await send(late)
        assert await receive() == {"type": "http.disconnect"}
        failed.set()

    with listening(app) as served:
        client = served.connect().send(head("GET", "/a") + NEXT)
        assert client.reply().body == b"GET /a "
        assert client.reply().body == b"GET /next "
        assert failed.wait(20)


def test_what_goes_wrong_after_an_answer_does_not_reach_the_next() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await echo(scope, receive, send)
        raise LookupError

    with listening(app) as served:
        client = served.connect().send(head("GET", "/a") + NEXT)
        assert client.reply().body == b"GET /a "
        assert client.reply().body == b"GET /next "


def test_an_application_may_end_the_connection() -> None:
    with listening(sending(start(200, length(0), (b"connection", b"close")), part(b""))) as served:
        client = served.connect().send(head("GET", "/a") + NEXT)
        assert client.reply().headers["connection"] == "close"
        assert client.ended()


@pytest.mark.parametrize("more", [b"", NEXT, b"\r\n", b"garbage", bytes(100_000)])
def test_a_client_may_end_the_connection(more: bytes) -> None:
    with listening(echo) as served:
        client = served.connect().send(head("GET", "/a", "Connection: close") + more)
        reply = client.reply()
        assert (reply.body, reply.headers["connection"]) == (b"GET /a ", "close")
        assert client.ended()


BIG = bytes(1 << 20)


def reading(client: Client) -> bytes:
    reply = client.reply()
    assert reply.status == 200
    return reply.body


def wrote(served: Listening, stops: Callable[[], int]) -> int:
    """Give how much has been sent, once no more is."""
    last = -1
    while (now := served.call(stops)) != last:
        last = now
        threading.Event().wait(0.05)
    return last


def test_an_application_waits_for_a_client_that_reads_slowly() -> None:
    sent = 0

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal sent
        await send(start())
        for _ in range(64):
            await send(part(BIG, more=True))
            sent += 1
        await send(part(b""))

    with listening(app) as served:
        client = served.connect(receives=4096).send(head("GET", "/a"))
        assert client.line() == b"HTTP/1.1 200 OK"
        assert wrote(served, lambda: sent) < 32
        while client.line():
            pass
        body = client.rest_of_chunks()
        assert len(body) == 64 * len(BIG)
        assert sent == 64


def test_an_application_that_waits_for_a_client_hears_that_it_has_left() -> None:
    heard: list[Any] = []
    sent = 0

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal sent
        await read(receive)
        await send(start())
        while not heard:
            await send(part(BIG, more=True))
            sent += 1
            if left.is_set():
                heard.append(await receive())
        over.set()

    left, over = threading.Event(), threading.Event()
    with listening(app) as served:
        client = served.connect(receives=4096).send(head("GET", "/a"))
        assert client.line() == b"HTTP/1.1 200 OK"
        wrote(served, lambda: sent)
        left.set()
        client.close()
        assert over.wait(20)
    assert heard == [{"type": "http.disconnect"}]


def test_an_answer_that_nobody_takes_is_given_up() -> None:
    with listening(sending(start(200, length(64 << 20)), part(bytes(64 << 20))), head_s=0.3) as one:
        client = one.connect(receives=4096).send(head("GET", "/a"))
        assert client.line() == b"HTTP/1.1 200 OK"
        gone = one.listener._gone
        one.run(asyncio.wait_for(gone.wait(), 20))


def test_answers_that_nobody_takes_are_not_made_in_advance() -> None:
    made = 0

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal made
        made += 1
        await respond(send, BIG)

    with listening(app) as served:
        client = served.connect(receives=4096).send(NEXT * 50)
        client.line()
        assert wrote(served, lambda: made) < 40
        while client.line():
            pass
        client.rest_of(len(BIG))
        assert all(len(reading(client)) == len(BIG) for _ in range(49))


def count(*kinds: type) -> int:
    return sum(isinstance(one, kinds) for one in gc.get_objects())


def test_neither_a_request_nor_a_connection_leaves_anything_for_the_search_for_garbage(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(exchange.log, "disabled", True)  # pytest keeps what is logged

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/fails":
            raise LookupError
        if scope["path"] == "/waits":
            assert await read(receive) is None
            assert await receive() == {"type": "http.disconnect"}
            done.release()
            return
        await echo(scope, receive, send)
        assert await receive() == {"type": "http.disconnect"}

    done = threading.Semaphore(0)
    with listening(app) as served:
        gc.collect()
        gc.disable()
        try:
            stays = served.connect()
            for _ in range(20):
                stays.send(
                    head("GET", "/a") + posted("/b", b"x", "Upgrade: a", "Connection: upgrade")
                )
                assert stays.reply().status == stays.reply().status == 200
                for sent in (head("GET", "/fails"), b"garbage\r\n", posted("/early", b"")):
                    one = served.connect()
                    one.send(sent).reply()
                    one.close()
                one = served.connect().send(head("POST", "/waits", "Content-Length: 3") + b"x")
                one.close()
                assert done.acquire(timeout=20)
            stays.send(NEXT).reply()
            served.call(lambda: None)
            connections = served.call(lambda: len(served.listener._connections))
            assert count(Connection) == connections <= 3
            assert count(Exchange) == 0
        finally:
            gc.enable()
