"""How connections end: clients that leave or stall, too many of them, and a server that stops."""

import asyncio
import contextlib
import json
import logging
import socket
import threading

import pytest
from starlette.types import Receive, Scope, Send

from emblem.http1 import connection
from http1.listening import PATIENCE_S, Listening, echo, head, listening, posted, read, respond

NEXT = head("GET", "/next")


class Gate:
    """An application that says what begins, and answers once it may; it notes who has left."""

    def __init__(self) -> None:
        self.begun = threading.Semaphore(0)
        self.go = asyncio.Event()
        self.paths: list[str] = []
        self.left: list[str] = []
        self.noticed = threading.Semaphore(0)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.paths.append(scope["path"])
        body = await read(receive)
        gone = asyncio.ensure_future(self._gone(receive))
        go = asyncio.ensure_future(self.go.wait())
        self.begun.release()
        await asyncio.wait([gone, go], return_when="FIRST_COMPLETED")
        if gone.done():
            self.left.append(scope["path"])
            self.noticed.release()
        gone.cancel()
        go.cancel()
        await respond(send, scope["path"].encode() + (body or b""))

    async def _gone(self, receive: Receive) -> None:
        assert await receive() == {"type": "http.disconnect"}

    def wait(self) -> None:
        assert self.begun.acquire(timeout=PATIENCE_S)


def empty(served: Listening) -> None:
    """Wait until there is no connection."""
    served.run(asyncio.wait_for(served.listener._gone.wait(), PATIENCE_S))


@pytest.mark.parametrize("reset", [False, True])
def test_an_application_hears_at_once_that_its_client_has_left(reset: bool) -> None:
    gate = Gate()
    with listening(gate) as served:
        client = served.connect().send(head("GET", "/a"))
        gate.wait()
        if reset:
            client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client.close()
        assert gate.noticed.acquire(timeout=PATIENCE_S)
        empty(served)
    assert gate.left == ["/a"]


def test_a_client_that_ends_its_side_has_left() -> None:
    gate = Gate()
    with listening(gate) as served:
        client = served.connect().send(head("GET", "/a"))
        gate.wait()
        client.sock.shutdown(socket.SHUT_WR)
        assert client.ended()
        assert gate.noticed.acquire(timeout=PATIENCE_S)


def test_what_waits_behind_a_request_whose_client_has_left_is_never_begun() -> None:
    gate = Gate()
    with listening(gate) as served:
        client = served.connect().send(head("GET", "/a") + head("GET", "/b") + head("GET", "/c"))
        gate.wait()
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client.close()
        served.call(gate.go.set)  # with several waiting, nobody listens for its end
        empty(served)
    assert "/c" not in gate.paths


def test_a_connection_that_falls_silent_is_closed() -> None:
    with listening(echo, head_s=0.2) as served:
        silent = [served.connect().send(sent) for sent in (b"", b"GET /a", NEXT[:-2])]
        kept = served.connect().send(NEXT)
        assert kept.reply().status == 200
        assert all(one.ended() for one in [*silent, kept])


def test_a_head_that_trickles_is_closed() -> None:
    def trickle() -> None:
        with contextlib.suppress(OSError):
            while not over.wait(0.02):
                client.send(b"G")

    over = threading.Event()
    with listening(echo, head_s=0.3) as served:
        client = served.connect().send(b"GET /")
        thread = threading.Thread(target=trickle)
        thread.start()
        assert client.ended()
        over.set()
        thread.join()


def test_a_long_answer_is_no_silence() -> None:
    gate = Gate()
    with listening(gate, head_s=0.2) as served:
        client = served.connect().send(head("GET", "/a"))
        gate.wait()
        served.run(asyncio.sleep(0.8))
        served.call(gate.go.set)
        assert client.reply().body == b"/a"
        assert client.send(head("GET", "/b")).reply().body == b"/b"


def test_one_connection_too_many_is_told_to_come_again() -> None:
    with listening(echo, most=2) as served:
        first, second = served.connect(), served.connect()
        assert first.send(NEXT).reply().status == second.send(NEXT).reply().status == 200
        third = served.connect()
        reply = third.send(NEXT).reply()
        assert (reply.status, reply.headers["retry-after"]) == (503, "1")
        assert json.loads(reply.body)["error"]["code"] == "server_overloaded"
        assert third.ended()
        assert first.send(NEXT).reply().status == second.send(NEXT).reply().status == 200
        first.close()
        third.close()
        while len(served.call(lambda: list(served.listener._connections))) > 1:
            pass
        assert served.connect().send(NEXT).reply().status == 200


def test_a_stop_ends_idle_connections_and_waits_for_answers() -> None:
    gate = Gate()
    with listening(gate) as served:
        idle = served.connect()
        busy = served.connect().send(head("GET", "/a"))
        gate.wait()
        stopping = served.start(served.stop())
        assert idle.ended()
        assert not stopping.done()
        served.call(gate.go.set)
        reply = busy.reply()
        assert (reply.body, reply.headers["connection"]) == (b"/a", "close")
        assert busy.ended()
        busy.close()
        stopping.result(PATIENCE_S)


def test_a_stop_waits_for_a_body_that_is_coming() -> None:
    gate = Gate()
    with listening(gate) as served:
        served.call(gate.go.set)
        client = served.connect().send(head("POST", "/a", "Content-Length: 300000"))
        while not gate.paths:
            pass
        stopping = served.start(served.stop())
        served.call(lambda: None)
        for _ in range(3):
            client.send(b"x" * 100_000)
            served.call(lambda: None)
        reply = client.reply()
        assert (reply.body, reply.headers["connection"]) == (b"/a" + b"x" * 300_000, "close")
        assert client.ended()
        client.close()
        stopping.result(PATIENCE_S)


def test_a_stop_waits_for_requests_that_wait_for_others() -> None:
    gate = Gate()
    with listening(gate) as served:
        client = served.connect()
        client.send(
            head("GET", "/a") + posted("/b", b"x") + head("POST", "/c", "Content-Length: 4")
        )
        gate.wait()
        stopping = served.start(served.stop())
        served.call(lambda: None)
        client.send(b"bo", b"dy" + head("GET", "/more"))
        served.call(gate.go.set)
        replies = [client.reply() for _ in range(3)]
        assert [one.body for one in replies] == [b"/a", b"/bx", b"/cbody"]
        assert replies[-1].headers["connection"] == "close"
        assert client.ended()
        client.close()
        stopping.result(PATIENCE_S)


def test_a_stop_lets_a_client_read_what_it_was_sent() -> None:
    with listening(echo) as served:
        client = served.connect(receives=4096).send(posted("/a", bytes(9_000_000)))
        assert client.line() == b"HTTP/1.1 200 OK"
        stopping = served.start(served.stop())
        while client.line():
            pass
        assert client.rest() == b"POST /a " + bytes(9_000_000)
        client.close()
        stopping.result(PATIENCE_S)


def test_a_stop_waits_for_what_is_done_after_an_answer() -> None:
    go, after = asyncio.Event(), []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await respond(send, b"")
        await go.wait()
        after.append("bookkeeping")

    with listening(app) as served:
        assert served.connect().send(NEXT).reply().status == 200
        stopping = served.start(served.stop())
        served.run(asyncio.sleep(0.05))
        assert not stopping.done()
        served.call(go.set)
        stopping.result(PATIENCE_S)
    assert after == ["bookkeeping"]


def test_a_connection_that_comes_as_the_server_stops_does_not_keep_it() -> None:
    with listening(echo) as served:

        async def stop() -> None:
            loop = served.listener.loop
            late = connection.Connection(served.listener)
            stopping = asyncio.ensure_future(served.stop())
            await asyncio.sleep(0)
            ours, theirs = socket.socketpair()
            await loop.connect_accepted_socket(lambda: late, ours)
            await stopping
            await served.listener._gone.wait()
            theirs.close()

        served.run(stop())


def test_a_client_that_is_not_listened_to_any_more_does_not_keep_a_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connection, "LINGER_S", 0.1)
    with listening(echo) as served:
        client = served.connect().send(b"garbage\r\n")
        assert client.reply().status == 400
        empty(served)  # though the client has not closed


def test_clients_that_leave_are_no_event_for_the_log(caplog: pytest.LogCaptureFixture) -> None:
    gate = Gate()
    caplog.set_level(logging.WARNING)
    with listening(gate) as served:
        for sent in (b"", b"GET", NEXT, NEXT * 3, b"garbage", posted("/early", bytes(9))[:-1]):
            for _ in range(5):
                client = served.connect().send(sent)
                client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                client.close()
        served.call(gate.go.set)
        empty(served)
    assert not caplog.records
