"""The admin API of a real server: a key is made, used, found in the usage, changed and revoked."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from server import RunningServer, linked_home, running_server

PATIENCE_S = 10.0


@pytest.fixture(scope="module")
def server(model_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    home = linked_home(tmp_path_factory.mktemp("admin") / "home", model_home)
    with running_server(home, args=["wordllama-256"]) as running:
        yield running


def ask(server: RunningServer, method: str, path: str, body: Any = None) -> requests.Response:
    return server.session.request(
        method, server.root + path, json=body, headers=server.headers, timeout=30
    )


def embed(server: RunningServer, key: str) -> int:
    body = {"model": "wordllama-256", "input": "a text"}
    headers = {"Authorization": f"Bearer {key}"}
    return server.session.post(
        f"{server.base_url}/embeddings", json=body, headers=headers, timeout=30
    ).status_code


def soon(is_so: Callable[[], bool]) -> bool:
    """Wait until something is so, as it is to be before long."""
    end = time.monotonic() + PATIENCE_S
    while not (done := is_so()) and time.monotonic() < end:
        time.sleep(0.05)
    return done


def test_a_key_is_made_used_counted_changed_rotated_and_revoked(server: RunningServer) -> None:
    made = ask(
        server, "POST", "/admin/keys", {"name": "laptop", "requests_per_minute": 6000}
    ).json()
    path = f"/admin/keys/{made['id']}"
    assert embed(server, made["key"]) == 200

    def used() -> bool:
        found = ask(server, "GET", f"/admin/usage?by=key,model&key={made['id']}").json()
        return bool(
            found["total"]["requests"] == 1 and found["data"][0]["names"]["key"] == "laptop"
        )

    assert soon(used)
    (record,) = ask(server, "GET", f"/admin/usage/records?key={made['id']}").json()["data"]
    assert (record["model"], record["status"], record["inputs"]) == ("wordllama-256", 200, 1)

    ask(server, "PATCH", path, {"models": ["nothing"]})
    assert soon(lambda: embed(server, made["key"]) == 404)
    ask(server, "PATCH", path, {"models": None, "requests_per_minute": None})
    new = ask(server, "POST", f"{path}/rotate", {"overlap": "0"}).json()["key"]
    assert soon(lambda: embed(server, new) == 200)
    assert soon(lambda: embed(server, made["key"]) == 401)
    assert ask(server, "DELETE", path).json()["state"] == "revoked"
    assert soon(lambda: embed(server, new) == 401)

    lines = ask(server, "GET", f"/admin/audit?subject={made['id']}").json()["data"]
    assert [one["what"].removeprefix("key.") for one in lines] == [
        "revoke", "rotate", "change", "change", "create",
    ]  # fmt: skip
    assert {(one["who"], one["source"]) for one in lines} == {("EMBLEM_API_KEY", "127.0.0.1")}


def test_the_server_says_what_it_serves_and_how_it_is(server: RunningServer) -> None:
    health = ask(server, "GET", "/admin/health").json()
    assert (health["status"], health["database"]["problem"]) == ("ok", None)
    assert health["database"]["name"].endswith("emblem.db")
    (model,) = ask(server, "GET", "/admin/models").json()["data"]
    assert (model["id"], model["running"]["state"]) == ("wordllama-256", "loaded")
    embed(server, server.key)
    live = ask(server, "GET", "/admin/live").json()
    assert live["models"][0]["name"] == "wordllama-256"
    assert live["uptime_s"] > 0


def test_a_key_of_another_role_is_refused_there_too(server: RunningServer) -> None:
    made = ask(server, "POST", "/admin/keys", {"name": "reader", "role": "read"}).json()
    headers = {"Authorization": f"Bearer {made['key']}"}
    answer = server.session.get(f"{server.root}/admin/keys", headers=headers, timeout=30)
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "permission_denied")
