"""How a server ends: told to, with work at hand, and killed."""

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import requests

from serve.processes import (
    PATIENCE_S,
    STATIC,
    Started,
    children,
    is_alive,
    is_free,
    started,
    wait_for,
)

KEY = "sk-stop-0123456789abcdef"
ENV = {"EMBLEM_API_KEY": KEY}
MINILM = "all-MiniLM-L6-v2"
SOME = [f"{n}: " + "a museum of garden engines " * 10 for n in range(60)]
MANY = [f"{n}: " + "a museum of garden engines " * 20 for n in range(2048)]


class Asking:
    """A request in a thread of its own."""

    def __init__(self, server: Started, texts: list[str]) -> None:
        self.answer: requests.Response | requests.RequestException | None = None
        self._thread = threading.Thread(target=self._ask, args=(server, texts))
        self._thread.start()
        server.compute(0.3)

    def _ask(self, server: Started, texts: list[str]) -> None:
        try:
            self.answer = server.ask(MINILM, KEY, texts)
        except requests.RequestException as error:
            self.answer = error

    def end(self) -> "requests.Response | requests.RequestException | None":
        self._thread.join(PATIENCE_S)
        return self.answer


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_what_runs_is_finished_and_nothing_new_begun(home: Path, stop: signal.Signals) -> None:
    with started(home, MINILM, env=ENV) as server:
        server.until("Ready in")
        asking = Asking(server, SOME)
        server.process.send_signal(stop)
        wait_for(lambda: is_free(server.port))
        assert server.process.poll() is None
        answer = asking.end()
        assert isinstance(answer, requests.Response)
        assert len(answer.json()["data"]) == len(SOME)
        assert server.end() == 0
        assert "Traceback" not in server.said()


def test_what_runs_longer_than_the_deadline_is_cut_off(home: Path) -> None:
    with started(home, MINILM, "--shutdown-timeout-s", "1", env=ENV) as server:
        server.until("Ready in")
        asking = Asking(server, MANY)
        worker = server.worker()
        assert server.stop() == 0
        assert isinstance(asking.end(), requests.ConnectionError)
        assert not is_alive(worker)
        assert "Traceback" not in server.said()


def test_interrupting_twice_cuts_off_what_runs(home: Path) -> None:
    with started(home, MINILM, "--shutdown-timeout-s", "600", env=ENV) as server:
        server.until("Ready in")
        asking = Asking(server, MANY)
        worker = server.worker()
        server.process.send_signal(signal.SIGINT)
        server.until("what runs is finished first, for up to 600 s; Ctrl-C once more cuts it off")
        server.process.send_signal(signal.SIGINT)
        assert server.end() == 0
        assert isinstance(asking.end(), requests.ConnectionError)
        assert not is_alive(worker)
        assert "Traceback" not in server.said()


def test_interrupting_at_the_terminal_ends_every_process_with_0(home: Path) -> None:
    with started(home, STATIC, env=ENV) as server:
        server.until("Ready in")
        os.killpg(server.process.pid, signal.SIGINT)
        assert server.end() == 0
        said = server.said()
        assert "Unexpected" not in said
        assert "Traceback" not in said


def test_connections_that_only_wait_hold_up_no_stop(home: Path) -> None:
    with started(home, STATIC, env=ENV) as server, requests.Session() as client:
        server.until("Ready in")
        assert client.get(f"{server.root}/health", timeout=PATIENCE_S).status_code == 200
        assert server.stop() == 0
        assert "Killing" not in server.said()


def greeting(server: Started) -> None:
    server.until("Try it:")


MOMENTS: dict[str, Callable[[Started], object]] = {
    "as soon as there is a worker": Started.worker,
    "while the worker opens the models": lambda server: server.compute(0.2),
    "as it says that it is ready": greeting,
}


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_every_process_can_be_told_to_stop_at_any_moment_of_the_start(
    home: Path, moment: str, stop: signal.Signals
) -> None:
    """Ctrl-C reaches all of a terminal's processes, and systemd sends SIGTERM to each."""
    with started(home, MINILM, env=ENV) as server:
        MOMENTS[moment](server)
        os.killpg(server.process.pid, stop)
        assert server.end() == 0
        assert "Killing" not in server.said()
        assert "Traceback" not in server.said()


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_server_that_starts_can_be_stopped_at_any_moment(home: Path, moment: str) -> None:
    with started(home, MINILM, env=ENV) as server:
        MOMENTS[moment](server)
        assert server.stop() == 0
        said = server.said()
        assert "Killing" not in said
        assert "Traceback" not in said


def test_a_worker_that_is_killed_is_replaced(home: Path) -> None:
    with started(home, STATIC, env=ENV) as server:
        server.until("Ready in")
        before = server.worker()
        os.kill(before, signal.SIGKILL)
        wait_for(lambda: children(server.process.pid) not in ([], [before]))
        # Whoever asks meanwhile waits, and is answered by the next one.
        assert server.ask(STATIC, KEY).status_code == 200
        assert "process 1 of 1 has died and is replaced" in server.said()
        assert server.stop() == 0


def test_a_worker_that_dies_again_and_again_ends_the_server_with_1(home: Path) -> None:
    with started(home, STATIC, env=ENV) as server:
        server.until("Ready in")
        while server.process.poll() is None:
            for worker in children(server.process.pid):
                os.kill(worker, signal.SIGKILL)
            wait_for(lambda: children(server.process.pid) or server.process.poll() is not None)
        assert server.end() == 1
        assert is_free(server.port)


def test_the_worker_follows_a_parent_that_is_killed(home: Path) -> None:
    with started(home, MINILM, "--shutdown-timeout-s", "1", env=ENV) as server:
        server.until("Ready in")
        worker = server.worker()
        asking = Asking(server, MANY)
        server.process.kill()
        wait_for(lambda: not is_alive(worker))
        assert isinstance(asking.end(), requests.ConnectionError)
        assert is_free(server.port)
    with started(home, STATIC, env=ENV, port=server.port) as again:
        again.until("Ready in")
