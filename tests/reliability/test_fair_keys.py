"""Two keys beside one another: one puts in as much as it likes, and the other does not wait for it."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from emblem.accounts import Terms
from emblem.config import Settings
from emblem.ledger.opening import open_ledger
from server import RunningServer, linked_home, running_server

TEXTS = 150
FLOOD = 6


def body(number: int) -> dict[str, object]:
    texts = [f"{number} {n} river museum engine garden number light house" for n in range(TEXTS)]
    return {"model": "all-MiniLM-L6-v2", "input": texts, "priority": "bulk"}


@pytest.fixture
def two_keys(tmp_path: Path, model_home: Path) -> "tuple[Path, str]":
    home = linked_home(tmp_path / "home", model_home)
    ledger = open_ledger(Settings(home=str(home)))
    _, secret = ledger.keys.issue(Terms("other"), now=time.time())
    ledger.close()
    return home, secret


def ps(server: RunningServer) -> dict[str, object]:
    return next(
        one for one in server.get("/ps").json()["models"] if one["name"] == "all-MiniLM-L6-v2"
    )


def test_a_key_with_one_bulk_request_does_not_wait_for_all_those_of_another(
    two_keys: tuple[Path, str],
) -> None:
    home, other = two_keys
    ended: list[str] = []
    lock = threading.Lock()

    def send(name: str, key: str, number: int) -> int:
        answer = requests.post(
            f"{server.base_url}/embeddings",
            json=body(number),
            headers={"Authorization": f"Bearer {key}"},
            timeout=120,
        )
        with lock:
            ended.append(name)
        assert answer.status_code == 200
        return int(answer.json()["usage"]["total_tokens"])

    with running_server(home) as server, ThreadPoolExecutor(FLOOD) as pool:
        floods = [pool.submit(send, "flood", server.key, n) for n in range(FLOOD)]
        while ps(server)["queue"]["bulk"]["requests"] < FLOOD - 1:
            assert not any(flood.done() for flood in floods), "too fast to tell"
        before = ps(server)["tokens"]
        own = send("other", other, FLOOD)
        ran = ps(server)["tokens"] - before
        assert [flood.result() for flood in floods] == [own] * FLOOD
    # Beside it the other key got as much: the rest of what ran, and one more request.
    assert ended.index("other") <= 2
    # Its own, as much of the other key's, and what ran before it came and after its answer.
    assert ran < 0.6 * (1 + FLOOD) * own
