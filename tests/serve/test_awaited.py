"""A gateway in front of another Emblem that is started after it."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest
import requests

from server import RunningServer, free_port, linked_home, running_server

MODEL = "wordllama-256"
KEY = "sk-" + "awaited" * 5
pytestmark = pytest.mark.slow

CONFIG = """
offline = true

[models.near]
source = "wordllama-256"

[models.far]
source = "wordllama-256"
upstream = "there"

[aliases.short]
model = "far"
dimensions = 128

[upstreams.there]
preset = "emblem"
base_url = "http://127.0.0.1:{port}/v1"
key_env = ["THERE_KEY"]
"""


def until(answers: Callable[[], requests.Response], status: int) -> requests.Response:
    """Ask until an answer has this status."""
    end = time.monotonic() + 60.0
    while True:
        try:
            answer = answers()
        except requests.ConnectionError:
            answer = None
        if answer is not None and answer.status_code == status:
            return answer
        assert time.monotonic() < end, answer and answer.text
        time.sleep(0.1)


def test_it_serves_what_there_is_and_the_rest_once_it_is_there(
    model_home: Path, tmp_path: Path
) -> None:
    port, own = free_port(), free_port()
    home = linked_home(tmp_path / "home", model_home)
    (home / "emblem.toml").write_text(CONFIG.format(port=port))
    root, ended = f"http://127.0.0.1:{own}", Event()
    headers = {"Authorization": f"Bearer {KEY}"}

    def ask(model: str) -> requests.Response:
        body = {"model": model, "input": ["a text"]}
        return requests.post(f"{root}/v1/embeddings", json=body, headers=headers, timeout=30)

    def gateway() -> RunningServer:
        env = {"EMBLEM_API_KEY": KEY, "THERE_KEY": KEY}
        with running_server(home, env=env, port=own) as server:  # which is ready with the other
            ended.wait(60)
            return server

    with ThreadPoolExecutor(1) as beside:
        running = beside.submit(gateway)
        try:
            near = until(lambda: ask("near"), 200)
            for name in ("far", "short", "far-query"):
                answer = ask(name)
                assert answer.status_code == 503
                assert answer.json()["error"]["code"] == "deployment_failed"
                assert 1 <= int(answer.headers["retry-after"]) <= 60
            ready = requests.get(f"{root}/ready", timeout=30)
            assert ready.status_code == 503
            assert "far is not known yet: [models.far] is served by another Emblem" in ready.text
            listed = requests.get(f"{root}/v1/models", headers=headers, timeout=30).json()["data"]
            assert "far" not in {one["id"] for one in listed}

            there = linked_home(tmp_path / "there", model_home)
            args = [MODEL, "--offline"]
            with running_server(there, env={"EMBLEM_API_KEY": KEY}, args=args, port=port):
                far = until(lambda: ask("far"), 200)
                assert far.headers["x-served-by"] == "there"
                assert far.headers["x-embedding-space"] == "wordllama-256@64b47a2d/256"
                assert far.json()["data"] == near.json()["data"]
                assert len(ask("short").json()["data"][0]["embedding"]) == 128
                assert until(lambda: requests.get(f"{root}/ready", timeout=30), 200)
        finally:
            ended.set()
        log = running.result(60).log.read_text()
    assert log.count("far is not served yet") == 1
    assert "  far: not there yet, and served once it is" in log
    assert "far is there, and is served" in log
    assert KEY not in log
