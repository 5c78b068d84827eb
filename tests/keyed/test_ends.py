"""What is in the ledger after a server has ended: told to, and killed under load."""

import os
import signal
import sqlite3
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import requests

from emblem.accounts import Key, Page, Quota, Terms, Use, Window
from emblem.ledger.address import SQLITE_FILE
from emblem.ledger.books import SqlLedger
from keyed.desk import MODEL, opened, wait_for
from serve.processes import Started, started

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="it reads /proc")

A_DAY = Quota(tokens_per_day=1_000_000)
CLIENTS = 4


class Crowd:
    """Clients that ask until they are told to stop or nobody answers, and note their answers.

    ``answered`` has the request's id, when its answer came, and its tokens.
    """

    def __init__(self, server: Started, secret: str) -> None:
        self.answered: list[tuple[str, float, int]] = []
        self._server = server
        self._secret = secret
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(CLIENTS)]

    def _ask(self) -> None:
        body = {"model": MODEL, "input": "three more words"}
        headers = {"Authorization": f"Bearer {self._secret}"}
        with requests.Session() as session:
            while not self._stop.is_set():
                address = f"{self._server.root}/v1/embeddings"
                try:
                    answer = session.post(address, json=body, headers=headers, timeout=10)
                except requests.RequestException:
                    return
                if answer.status_code == 200:
                    tokens = answer.json()["usage"]["prompt_tokens"]
                    name = answer.headers["x-request-id"]
                    self.answered.append((name, time.monotonic(), tokens))

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Have them ask while the block runs."""
        for thread in self._threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in self._threads:
                thread.join(30)


def recorded(ledger: SqlLedger, key: Key) -> list[Use]:
    found = ledger.usage.records(Window(key=key.id), Page(1_000_000))
    return [one for one in found if one.status == 200]


def test_a_server_that_is_told_to_stop_has_recorded_all_and_goes_on_counting(home: Path) -> None:
    with opened(home) as ledger:
        key, secret = ledger.keys.issue(Terms("ada", quota=A_DAY), now=time.time())
        with started(home, MODEL) as server:
            server.until("Ready in")
            crowd = Crowd(server, secret)
            with crowd.asking():
                wait_for(lambda: len(crowd.answered) > 100)
                assert server.stop() == 0
        uses = recorded(ledger, key)
        names = {one.id for one in uses}
        assert len(names) == len(uses)
        assert {name for name, _, _ in crowd.answered} <= names
        assert len(uses) - len(crowd.answered) <= CLIENTS  # whose answer the end has cut off
        now = ledger.keys.get(key.id)
        assert now is not None
        assert now.last_used is not None
        with started(home, MODEL) as server:
            server.until("Ready in")
            answer = server.ask(MODEL, secret)
            left = int(answer.headers["x-ratelimit-remaining-tokens"])
            spent = sum(one.tokens for one in uses) + answer.json()["usage"]["prompt_tokens"]
            assert left == 1_000_000 - spent
            assert server.stop() == 0


def test_a_server_that_is_killed_under_load_has_lost_the_last_second_at_most(home: Path) -> None:
    with opened(home) as ledger:
        key, secret = ledger.keys.issue(Terms("ada", quota=A_DAY), now=time.time())
        with started(home, MODEL) as server:
            server.until("Ready in")
            crowd = Crowd(server, secret)
            with crowd.asking():
                began = time.monotonic()
                wait_for(lambda: time.monotonic() - began > 2 and len(crowd.answered) > 100)
                worker = server.worker()
                killed = time.monotonic()
                server.process.kill()  # it would put another worker in the place of a dead one
                os.kill(worker, signal.SIGKILL)
                assert server.end() == -signal.SIGKILL
        with closing(sqlite3.connect(home / SQLITE_FILE)) as database:
            assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        names = [one.id for one in recorded(ledger, key)]
        assert len(set(names)) == len(names)
        assert {name for name, at, _ in crowd.answered if at < killed - 1} <= set(names)
        missing = {name for name, _, _ in crowd.answered} - set(names)
        last = {name for name, at, _ in crowd.answered if at >= killed - 1}
        assert missing <= last
        assert len(names) <= len(crowd.answered) + CLIENTS
