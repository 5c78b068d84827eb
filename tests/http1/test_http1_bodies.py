"""Bodies: asked for, sent, taken, thrown away; how many bytes of them wait; and what an early answer does."""

import asyncio
import contextlib
import threading
from collections.abc import Iterator

import pytest
from starlette.types import Receive, Scope, Send

from emblem.http1 import connection
from emblem.http1.connection import HELD_BYTES, SPARE_BYTES
from http1.listening import Listening, echo, head, listening, posted, read, respond

EXPECTS = "Expect: 100-continue"
NEXT = head("GET", "/next")


@pytest.fixture(scope="module")
def echoing() -> Iterator[Listening]:
    with listening(echo) as served:
        yield served


def test_a_body_of_many_megabytes_comes_whole(echoing: Listening) -> None:
    body = bytes(range(256)) * 4 * 8192
    client = echoing.connect()
    thread = threading.Thread(target=client.send, args=[posted("/a", body) + NEXT])
    thread.start()
    assert client.reply().body == b"POST /a " + body
    assert client.reply().body == b"GET /next "
    thread.join()


def test_a_body_in_chunks_of_every_size_comes_whole(echoing: Listening) -> None:
    body = bytes(range(256)) * 20
    parts, left = [], body
    for size in range(1, 100):
        parts.append(left[:size])
        left = left[size:]
    chunks = b"".join(b"%X\r\n%b\r\n" % (len(part), part) for part in parts) + b"000\r\n\r\n"
    client = echoing.connect()
    client.send(head("POST", "/a", "Transfer-Encoding: chunked") + chunks + NEXT)
    assert client.reply().body == b"POST /a " + b"".join(parts)
    assert client.reply().body == b"GET /next "


def test_a_client_that_asks_first_is_told_to_go_on_when_its_body_is_wanted(
    echoing: Listening,
) -> None:
    client = echoing.connect()
    for _ in range(2):
        client.send(head("POST", "/a", "Content-Length: 4", EXPECTS))
        assert client.reply().status == 100
        assert client.send(b"body").reply().body == b"POST /a body"


def test_a_client_that_asks_and_does_not_wait_is_not_told(echoing: Listening) -> None:
    client = echoing.connect().send(posted("/a", b"body", EXPECTS))
    assert client.reply().body == b"POST /a body"
    assert client.send(posted("/b", b"", EXPECTS)).reply().body == b"POST /b "


def test_a_client_that_asks_and_is_refused_sends_nothing_on_this_connection(
    echoing: Listening,
) -> None:
    client = echoing.connect()
    reply = client.send(head("POST", "/early", "Content-Length: 4", EXPECTS)).reply()
    assert (reply.status, reply.headers["connection"]) == (200, "close")
    # Were this taken for the body, and what follows for a request, it could be anybody's.
    assert client.send(NEXT).ended()


def test_an_old_client_is_never_told_to_go_on(echoing: Listening) -> None:
    asked = head("POST", "/a", "Content-Length: 4", EXPECTS).replace(b"/1.1", b"/1.0")
    client = echoing.connect().send(asked, b"body")
    assert client.reply().body == b"POST /a body"
    assert client.ended()


def test_a_client_that_asks_behind_another_request_is_told_in_its_turn(echoing: Listening) -> None:
    client = echoing.connect()
    client.send(NEXT + head("POST", "/a", "Content-Length: 4", EXPECTS))
    assert client.reply().body == b"GET /next "
    assert client.reply().status == 100
    assert client.send(b"body").reply().body == b"POST /a body"


@pytest.mark.parametrize("chunked", [False, True])
def test_after_an_early_answer_a_small_rest_is_thrown_away(
    echoing: Listening, chunked: bool
) -> None:
    rest = b"GET /smuggled HTTP/1.1\r\n\r\n" * 1000
    client = echoing.connect()
    if chunked:
        client.send(head("POST", "/early", "Transfer-Encoding: chunked"))
        sent = b"%x\r\n%b\r\n0\r\n\r\n" % (len(rest), rest)
    else:
        client.send(head("POST", "/early", f"Content-Length: {len(rest)}"))
        sent = rest
    reply = client.reply()
    assert reply.body == b"POST /early "
    assert "connection" not in reply.headers
    assert client.send(sent + NEXT).reply().body == b"GET /next "


def test_after_an_early_answer_a_large_rest_ends_the_connection(echoing: Listening) -> None:
    client = echoing.connect()
    client.send(head("POST", "/early", f"Content-Length: {100 * SPARE_BYTES}"))
    rest = bytes(SPARE_BYTES)
    assert client.reply().status == 200
    assert client.send(rest, rest).ended()


def test_a_client_that_reads_only_once_it_has_sent_all_reads_its_early_answer(
    echoing: Listening,
) -> None:
    client = echoing.connect()
    client.send(head("POST", "/early", f"Content-Length: {8 * SPARE_BYTES}"))
    for _ in range(8):
        client.send(bytes(SPARE_BYTES))
    assert client.reply().body == b"POST /early "
    assert client.ended()


def test_a_body_that_nobody_takes_stays_where_it_is() -> None:
    go = asyncio.Event()
    begun = threading.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        begun.set()
        await go.wait()
        size = 0
        while (message := await receive())["more_body"]:
            size += len(message["body"])
        await respond(send, b"%d" % (size + len(message["body"])))

    with listening(app) as served:
        client = served.connect()
        size = 64 << 20
        client.send(head("POST", "/a", f"Content-Length: {size}"))
        client.sock.settimeout(0.5)
        sent = 0
        with contextlib.suppress(TimeoutError):
            while sent < size:
                sent += client.sock.send(bytes(1 << 20))
        assert sent < size
        client.sock.settimeout(20)
        assert begun.wait(20)
        (one,) = served.listener._connections
        held = one._exchanges[0].held_bytes
        assert HELD_BYTES < held <= HELD_BYTES + 256 * 1024  # and what asyncio reads at a time
        served.call(go.set)
        while sent < size:
            sent += client.sock.send(bytes(min(1 << 20, size - sent)))
        assert client.reply().body == b"%d" % size


def test_a_body_that_comes_behind_another_request_is_bounded_too() -> None:
    go = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await go.wait()
        await respond(send, b"%d" % len(await read(receive) or b""))

    with listening(app) as served:
        client = served.connect()
        size = 16 << 20
        client.send(NEXT + head("POST", "/a", f"Content-Length: {size}"))
        thread = threading.Thread(target=client.send, args=[bytes(size)])
        thread.start()
        thread.join(0.3)
        assert thread.is_alive()
        served.call(go.set)
        assert client.reply().body == b"0"
        assert client.reply().body == b"%d" % size
        thread.join()


def test_a_body_that_breaks_its_rules_is_told_to_nobody_as_whole() -> None:
    heard: list[bytes | None] = []
    begun = threading.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        begun.set()
        heard.append(await read(receive))
        await respond(send, b"an answer to half a body")

    with listening(app) as served:
        client = served.connect().send(
            head("POST", "/a", "Transfer-Encoding: chunked"), b"3\r\nabc"
        )
        assert begun.wait(20)
        client.send(b"\r\nno chunk")
        assert client.reply().status == 400
        assert client.ended()
    assert heard == [None]


def test_an_answer_that_has_begun_is_broken_off_where_its_request_breaks_the_rules() -> None:
    heard: list[bytes | None] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"begun", "more_body": True})
        heard.append(await read(receive))

    with listening(app) as served:
        client = served.connect().send(head("POST", "/a", "Transfer-Encoding: chunked"))
        assert client.line() == b"HTTP/1.1 200 OK"
        while client.line():
            pass
        assert (client.line(), client.line()) == (b"5", b"begun")
        assert client.send(b"no chunk").ended()
    assert heard == [None]


def test_an_answer_that_is_whole_is_the_last_where_its_request_breaks_the_rules(
    echoing: Listening,
) -> None:
    client = echoing.connect().send(head("POST", "/early", "Transfer-Encoding: chunked"))
    assert client.reply().body == b"POST /early "
    assert client.send(b"no chunk" + NEXT).ended()


def test_an_early_answer_whose_body_stalls_does_not_hold_the_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connection, "LINGER_S", 0.1)
    with listening(echo, head_s=0.2) as served:
        client = served.connect().send(head("POST", "/early", "Content-Length: 10"))
        assert client.reply().status == 200
        assert client.send(b"x").ended()
