"""The port of metrics: scraped without a key, on the event loop that the values belong to."""

import asyncio
import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from emblem.errors import ConfigError
from emblem.observe import port
from emblem.observe.metrics import Page
from emblem.observe.port import check_port, metrics_port
from server import free_port


class Scraped:
    """Says who asked and in which thread; or never answers."""

    def __init__(self, *, stuck: bool = False) -> None:
        self._stuck = stuck
        self.threads: list[int] = []

    async def page(self, accept: str) -> Page:
        self.threads.append(threading.get_ident())
        if self._stuck:
            await asyncio.get_running_loop().create_future()
        return Page("text/plain; version=x", f"for {accept}\n".encode())


@contextmanager
def loop_in_a_thread() -> Iterator[tuple[asyncio.AbstractEventLoop, threading.Thread]]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield loop, thread
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def get(number: int, path: str, host: str = "127.0.0.1") -> tuple[int, str, bytes]:
    client = http.client.HTTPConnection(host, number, timeout=30)
    client.request("GET", path, headers={"Accept": "anything"})
    answer = client.getresponse()
    found = answer.status, answer.headers.get("Content-Type", ""), answer.read()
    client.close()
    return found


def test_metrics_are_answered_without_a_key_and_read_on_the_loop() -> None:
    scraped = Scraped()
    with (
        loop_in_a_thread() as (loop, thread),
        metrics_port(scraped, "127.0.0.1", 0, loop) as number,
    ):
        for path in ("/metrics", "/", "/metrics?name[]=x"):
            assert get(number, path) == (200, "text/plain; version=x", b"for anything\n")
        assert set(scraped.threads) == {thread.ident}
        assert get(number, "/v1/models")[0] == 404


def test_a_loop_that_does_not_answer_is_not_waited_for_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(port, "ANSWER_S", 0.05)
    with (
        loop_in_a_thread() as (loop, _),
        metrics_port(Scraped(stuck=True), "127.0.0.1", 0, loop) as number,
    ):
        assert get(number, "/metrics")[0] == 503


def test_the_port_is_free_again_afterwards() -> None:
    number = free_port()
    with loop_in_a_thread() as (loop, _):
        for _ in range(2):
            with metrics_port(Scraped(), "127.0.0.1", number, loop) as given:
                assert given == number
                assert get(number, "/metrics")[0] == 200


def test_a_port_that_is_taken_is_one_line_that_names_the_flags() -> None:
    with (
        loop_in_a_thread() as (loop, _),
        metrics_port(Scraped(), "127.0.0.1", 0, loop) as number,
        pytest.raises(ConfigError, match=f":{number} for metrics: .* --metrics-port"),
    ):
        check_port("127.0.0.1", number)


def test_several_processes_may_have_the_port_together() -> None:
    with (
        loop_in_a_thread() as (loop, _),
        metrics_port(Scraped(), "127.0.0.1", 0, loop) as number,
        metrics_port(Scraped(), "127.0.0.1", number, loop) as same,
    ):
        assert same == number
        assert get(number, "/metrics")[0] == 200


def test_a_host_that_is_none_is_one_line() -> None:
    with (
        loop_in_a_thread() as (loop, _),
        pytest.raises(ConfigError, match="--metrics-host"),
        metrics_port(Scraped(), "no such host", 0, loop),
    ):
        pass
