"""Several processes on one port: who answers, who is replaced, and that nobody is turned away."""

import os
import re
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import requests

from redis_server import redis_server
from serve.processes import (
    PATIENCE_S,
    STATIC,
    Started,
    at_terminal,
    changed,
    children,
    is_alive,
    refused,
    started,
    wait_for,
)

KEY = "sk-processes-0123456789"
HEADERS = {"Authorization": f"Bearer {KEY}"}
ENV = {"EMBLEM_API_KEY": KEY}
TWO = ("--processes", "2", "--no-limits")


class Traffic:
    """Clients that ask one after the other, each on a connection that it keeps, until told to end."""

    def __init__(self, server: Started, clients: int = 8) -> None:
        self.answered = 0
        self.failed: list[str] = []
        self._server = server
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._ask) for _ in range(clients)]
        for one in self._threads:
            one.start()

    def _ask(self) -> None:
        body = {"model": STATIC, "input": "a text"}
        with requests.Session() as session:
            while not self._over.is_set():
                try:
                    url = f"{self._server.root}/v1/embeddings"
                    answer = session.post(url, json=body, headers=HEADERS, timeout=PATIENCE_S)
                    said = "" if answer.status_code == 200 else answer.text
                except requests.RequestException as error:
                    said = repr(error)
                with self._lock:
                    if said:
                        self.failed.append(said)
                    else:
                        self.answered += 1

    def more(self, count: int = 50) -> None:
        """Wait until so many more were answered."""
        enough = self.answered + count
        wait_for(lambda: self.answered >= enough or self.failed)

    def end(self) -> None:
        self._over.set()
        for one in self._threads:
            one.join(PATIENCE_S)


@contextmanager
def traffic(server: Started) -> Iterator[Traffic]:
    """Have a server asked for as long as the block."""
    asking = Traffic(server)
    try:
        asking.more()
        yield asking
        asking.more()
    finally:
        asking.end()


def ready(server: Started) -> bool:
    try:
        return requests.get(f"{server.root}/ready", timeout=PATIENCE_S).status_code == 200
    except requests.ConnectionError:
        return False


def who_answers(server: Started) -> int:
    found = requests.get(f"{server.root}/ps", headers=HEADERS, timeout=PATIENCE_S).json()
    assert found["processes"] == 2
    return int(found["process"])


def requests_counted(server: Started) -> int:
    """Give how many requests for vectors were answered, as /metrics adds them up."""
    page = requests.get(f"{server.root}/metrics", headers=HEADERS, timeout=PATIENCE_S).text
    line = (
        rf'^emblem_requests_total\{{model="{STATIC}",route="/v1/embeddings",status="200"\}} (\S+)$'
    )
    found = re.search(line, page, re.MULTILINE)
    return int(float(found[1])) if found else 0


@pytest.fixture(scope="module")
def two(model_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Started]:
    from server import linked_home

    home = linked_home(tmp_path_factory.mktemp("two") / "home", model_home)
    with started(home, STATIC, *TWO, env=ENV) as server:
        server.until("Ready in")
        yield server
        assert server.stop() == 0
        assert "Traceback" not in server.said()


def test_each_of_two_processes_answers_and_says_which_it_is(two: Started) -> None:
    assert len(children(two.process.pid)) == 2
    seen: set[int] = set()
    wait_for(lambda: seen.add(who_answers(two)) or seen == {1, 2})


def test_a_newcomer_is_greeted_once(two: Started) -> None:
    said = two.said()
    assert said.count("Ready in") == 1
    assert said.count("For any OpenAI program") == 1


def test_renewing_every_process_turns_nobody_away(two: Started) -> None:
    before = children(two.process.pid)
    renewed = two.said().count("has been renewed")
    with traffic(two) as asking:
        two.process.send_signal(signal.SIGHUP)
        wait_for(lambda: two.said().count("has been renewed") > renewed or asking.failed)
    assert asking.failed == []
    after = children(two.process.pid)
    assert len(after) == 2
    assert not set(before) & set(after)


def test_metrics_are_those_of_all_processes_and_of_those_before(two: Started) -> None:
    with traffic(two):
        pass

    def all_are_counted() -> bool:
        return requests_counted(two) == two.said().count("POST /v1/embeddings 200")

    wait_for(all_are_counted)
    two.process.send_signal(signal.SIGHUP)
    renewed = two.said().count("has been renewed")
    wait_for(lambda: two.said().count("has been renewed") > renewed)
    wait_for(all_are_counted)


def test_a_process_that_dies_is_replaced_and_meanwhile_the_server_is_not_ready(
    two: Started,
) -> None:
    before = children(two.process.pid)
    os.kill(before[0], signal.SIGSTOP)  # so that nobody can miss that it is not there
    os.kill(before[0], signal.SIGKILL)
    wait_for(lambda: not ready(two))
    wait_for(lambda: ready(two))
    after = children(two.process.pid)
    assert len(after) == 2
    assert before[1] in after
    assert "process 1 of 2 has died and is replaced" in two.said() or (
        "process 2 of 2 has died and is replaced" in two.said()
    )


def test_a_process_that_hangs_makes_the_server_unready_and_is_replaced(home: Path) -> None:
    soon = changed(
        home, worker__MOVES_S=0.05, board__SILENT_S=1.0, board__HUNG_S=4.0, processes__HUNG_S=4.0
    )
    with started(home, STATIC, *TWO, env=ENV, program=soon) as server:
        server.until("Ready in")
        before = sorted(children(server.process.pid))
        os.kill(before[0], signal.SIGSTOP)

        def said() -> str:
            with suppress(requests.RequestException):  # it may have been taken by who hangs
                return requests.get(f"{server.root}/ready", timeout=1).text
            return ""

        wait_for(lambda: "process 1 of 2 has not moved for" in said())
        server.until("process 1 of 2 has not moved for 4 s and is killed")
        server.until("process 1 of 2 has died and is replaced")
        wait_for(lambda: ready(server))
        after = children(server.process.pid)
        assert before[0] not in after
        assert before[1] in after
        assert server.stop() == 0


def test_a_process_that_dies_while_another_is_renewed_is_replaced_meanwhile(home: Path) -> None:
    with started(home, STATIC, *TWO, env=ENV) as server:
        server.until("Ready in")
        before = sorted(children(server.process.pid))
        server.process.send_signal(signal.SIGHUP)
        wait_for(lambda: len(children(server.process.pid)) > 2)
        (new,) = set(children(server.process.pid)) - set(before)
        os.kill(new, signal.SIGSTOP)  # so that it does not answer yet
        os.kill(before[1], signal.SIGKILL)
        server.until("process 2 of 2 has died and is replaced")
        os.kill(new, signal.SIGCONT)
        server.until("every process has been renewed")
        wait_for(lambda: ready(server))
        assert len(children(server.process.pid)) == 2
        assert server.stop() == 0


def test_one_process_is_renewed_without_turning_anybody_away(home: Path) -> None:
    with started(home, STATIC, env=ENV) as server:
        server.until("Ready in")
        (before,) = children(server.process.pid)
        with traffic(server) as asking:
            server.process.send_signal(signal.SIGHUP)
            server.until("has been renewed")
        assert asking.failed == []
        assert not is_alive(before)
        assert server.stop() == 0
        assert "Traceback" not in server.said()


@pytest.mark.parametrize("closed", [False, True])
def test_a_hangup_renews_at_a_terminal_that_is_there_and_ends_where_it_was_closed(
    home: Path, closed: bool
) -> None:
    with at_terminal(home, STATIC, env=ENV) as server:
        server.until("Ready in")
        if closed:
            server.hang_up()
        server.process.send_signal(signal.SIGHUP)
        if closed:
            assert server.end() == 0
        else:
            server.until("has been renewed")
            assert server.stop() == 0


def test_several_processes_are_refused_for_a_model_that_computes(home: Path) -> None:
    line = refused(home, "all-MiniLM-L6-v2", STATIC, *TWO, env=ENV)
    assert "all-MiniLM-L6-v2" in line
    assert "wordllama-256" not in line
    assert "streams" in line


def test_several_processes_are_refused_where_each_would_count_limits_for_itself(
    home: Path,
) -> None:
    line = refused(home, STATIC, "--processes", "2", env=ENV)
    assert "needs Redis" in line
    assert "limits = false" in line


def test_two_processes_count_the_limits_of_a_key_together(home: Path) -> None:
    from serve.processes import run

    done = run(home, "keys", "create", "few", "--rpm", "10", "--json")
    assert done.returncode == 0, done.stderr
    secret = re.search(r"sk-[A-Za-z0-9_-]{20,}", done.stdout)
    assert secret is not None
    with redis_server() as redis:
        env = {**ENV, "EMBLEM_REDIS": redis.url}
        with started(home, STATIC, "--processes", "2", env=env) as server:
            server.until("Ready in")
            answers = [server.ask(STATIC, secret[0]).status_code for _ in range(30)]
            assert 10 <= answers.count(200) <= 12  # a second or two flow in meanwhile
            assert answers.count(429) == 30 - answers.count(200)
            assert server.stop() == 0


def test_a_server_can_be_stopped_while_it_renews(home: Path) -> None:
    with started(home, STATIC, *TWO, env=ENV) as server:
        server.until("Ready in")
        server.process.send_signal(signal.SIGHUP)
        wait_for(lambda: len(children(server.process.pid)) > 2)
        assert server.stop() == 0
        assert children(server.process.pid) == []
        said = server.said()
        assert "renewed" not in said
        assert "Traceback" not in said


def test_what_does_not_start_again_replaces_nothing(home: Path) -> None:
    with started(home, STATIC, *TWO, env=ENV) as server:
        server.until("Ready in")
        before = children(server.process.pid)
        (home / "models").unlink()  # so that a new process has no model to open
        server.process.send_signal(signal.SIGHUP)
        server.until("nothing more is renewed: process 1 does not start again")
        assert children(server.process.pid) == before
        assert server.ask(STATIC, KEY).status_code == 200
        assert server.stop() == 0
