"""An application that is called when its client goes, and need not ask in a task of its own."""

import asyncio
import gc
import threading
from collections.abc import Callable

import pytest
from starlette.types import Receive, Scope, Send

from emblem.http1.exchange import Exchange
from http1.listening import PATIENCE_S, Client, Listening, echo, head, listening, read, respond

NEXT = head("GET", "/next")


class Listener:
    """Hears of clients that go, and says so; it answers once it may, if it is to answer at all."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.begun = threading.Semaphore(0)
        self.struck = threading.Semaphore(0)
        self.strikes: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/next":
            await echo(scope, receive, send)
            return
        await read(receive)
        unhear = self.hears(scope)
        self.begun.release()
        await self.go.wait()
        if scope["path"].startswith("/unhears"):
            unhear()
        await respond(send, scope["path"].encode())

    def hears(self, scope: Scope) -> Callable[[], None]:
        def strike() -> None:
            self.strikes.append(scope["path"])
            self.struck.release()
            if scope["path"] == "/ends":
                self.go.set()

        unhear: Callable[[], None] = scope["emblem.gone"](strike)
        return unhear

    def wait(self) -> None:
        assert self.begun.acquire(timeout=PATIENCE_S)

    def hear(self) -> None:
        assert self.struck.acquire(timeout=PATIENCE_S)


def leave(client: Client, how: str) -> None:
    if how == "resets":
        client.sock.setsockopt(1, 13, b"\1\0\0\0\0\0\0\0")  # SO_LINGER
    client.close()


def settled(served: Listening) -> None:
    """Wait until there is no connection."""
    served.run(asyncio.wait_for(served.listener._gone.wait(), PATIENCE_S))


@pytest.mark.parametrize("how", ["closes", "resets"])
def test_who_listens_is_called_once_when_the_client_goes(how: str) -> None:
    app = Listener()
    with listening(app) as served:
        client = served.connect().send(head("GET", "/ends"))
        app.wait()
        leave(client, how)
        app.hear()
        settled(served)
    assert app.strikes == ["/ends"]


def test_nobody_is_called_whose_answer_is_complete() -> None:
    app = Listener()
    with listening(app) as served:
        client = served.connect().send(head("GET", "/a"))
        app.wait()
        served.call(app.go.set)
        assert client.reply().body == b"/a"
        client.close()
        settled(served)
    assert app.strikes == []


def test_nobody_is_called_who_listens_no_more() -> None:
    class Stays(Listener):
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            await read(receive)
            self.hears(scope)()
            self.begun.release()
            assert await receive() == {"type": "http.disconnect"}
            self.struck.release()

    app = Stays()
    with listening(app) as served:
        client = served.connect().send(head("GET", "/a"))
        app.wait()
        client.close()
        app.hear()
        settled(served)
    assert app.strikes == []


def test_who_listens_to_a_client_that_has_gone_is_called_at_once() -> None:
    class Late(Listener):
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            await read(receive)
            self.begun.release()
            assert await receive() == {"type": "http.disconnect"}
            self.hears(scope)()
            self.hears(scope)

    app = Late()
    with listening(app) as served:
        client = served.connect().send(head("GET", "/a"))
        app.wait()
        client.close()
        app.hear()
        app.hear()
        settled(served)
    assert app.strikes == ["/a", "/a"]


def test_who_listens_after_the_end_of_his_answer_is_not_called() -> None:
    class After(Listener):
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            await echo(scope, receive, send)
            if scope["path"] == "/a":
                self.hears(scope)
                await self.go.wait()

    app = After()
    with listening(app) as served:
        client = served.connect().send(head("GET", "/a"))
        assert client.reply().body == b"GET /a "
        assert client.send(NEXT).reply().body == b"GET /next "
        client.close()
        settled(served)
        served.call(app.go.set)
    assert app.strikes == []


def test_one_at_a_time_listens() -> None:
    class Twice(Listener):
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            first = self.hears(scope)
            with pytest.raises(RuntimeError, match="one at a time"):
                self.hears(scope)
            first()
            self.hears(scope)()
            await respond(send, b"both")

    with listening(Twice()) as served:
        assert served.connect().send(head("GET", "/a")).reply().body == b"both"


def test_of_requests_on_one_connection_each_hears_of_its_own_time() -> None:
    """The first has its answer when the client goes; the second is in work, the third waits."""
    app = Listener()
    with listening(app) as served:
        client = served.connect().send(head("GET", "/a") + head("GET", "/b"))
        app.wait()
        served.call(app.go.set)
        assert client.reply().body == b"/a"
        assert client.reply().body == b"/b"
        served.call(app.go.clear)
        client.send(head("GET", "/ends"))
        app.wait()
        app.wait()
        client.close()
        app.hear()
        settled(served)
    assert app.strikes == ["/ends"]


def test_what_waits_behind_a_request_that_is_left_hears_nothing() -> None:
    app = Listener()
    with listening(app) as served:
        client = served.connect().send(head("GET", "/ends"))
        app.wait()
        client.send(head("GET", "/b"))  # with one that waits, nothing more is read
        leave(client, "resets")
        served.call(app.go.set)
        settled(served)
    assert "/b" not in app.strikes


def test_listening_leaves_nothing_for_the_search_for_garbage() -> None:
    app = Listener()
    with listening(app) as served:
        gc.collect()
        gc.disable()
        try:
            client = served.connect().send(head("GET", "/unhears"))
            app.wait()
            served.call(app.go.set)
            assert client.reply().body == b"/unhears"
            assert client.send(head("GET", "/a")).reply().body == b"/a"
            served.call(app.go.clear)
            client.send(head("GET", "/ends"))
            client.close()
            app.hear()
            settled(served)
            served.run(asyncio.sleep(0))
            left = sum(isinstance(one, Exchange) for one in gc.get_objects())
        finally:
            gc.enable()
    assert left == 0
