"""Several models in one server, in less memory than all of them would take."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from serve.processes import run as command
from server import RunningServer, linked_home, running_server
from tiny_models import TINY_MODELS, write

MIB = 1 << 20
MINILM, STATIC = "all-MiniLM-L6-v2", "wordllama-256"
TEXTS = ["a museum of garden engines", "the river and the light house"]
TINY = TINY_MODELS[:3]


@pytest.fixture(scope="module")
def home(model_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("several")
    home = linked_home(folder / "home", model_home)
    tables = [f'[models.{name}]\nload = "use"' for name in (MINILM, STATIC)]
    for model in TINY:
        write(model, folder / model.name)
        tables.append(f'[models.{model.name}]\nsource = "{folder / model.name}"\nload = "use"')
    (home / "emblem.toml").write_text("\n".join(tables))
    return home


@contextmanager
def serving(home: Path, budget_mib: int) -> Iterator[RunningServer]:
    settings = {
        "EMBLEM_MAX_MODEL_BYTES": str(budget_mib * MIB),
        "EMBLEM_CACHE_BYTES": "0",  # what is remembered needs no model in memory
    }
    with running_server(home, env=settings) as server:
        yield server


def vectors(server: RunningServer, model: str) -> np.ndarray:
    answer = server.post({"model": model, "input": TEXTS})
    assert answer.status_code == 200, answer.text
    return np.array([one["embedding"] for one in answer.json()["data"]])


def running(server: RunningServer) -> dict[str, Any]:
    answer = server.get("/ps")
    assert answer.status_code == 200
    return answer.json()


def states(server: RunningServer) -> dict[str, str]:
    return {one["name"]: one["state"] for one in running(server)["models"]}


def test_models_take_turns_in_a_small_budget_and_every_vector_is_right(home: Path) -> None:
    names = [MINILM, STATIC, *(model.name for model in TINY)]
    with serving(home, 4096) as server:
        assert set(states(server).values()) == {"unloaded"}
        assert server.session.get(f"{server.root}/ready", timeout=30).status_code == 200
        right = {name: vectors(server, name) for name in names}
        assert set(states(server).values()) == {"loaded"}
    with serving(home, 400) as server:  # all together would take about 690
        seen = []
        for turn in range(4):
            for name in names if turn % 2 else reversed(names):
                np.testing.assert_allclose(vectors(server, name), right[name], atol=1e-6)
                found = running(server)
                assert found["loaded_bytes"] <= found["max_model_bytes"] == 400 * MIB
                assert states(server)[name] == "loaded"
                assert "unloaded" in states(server).values()
            seen.append(running(server)["resident_bytes"])
        # What is closed is given back: more rounds take no more memory than the first did.
        assert seen[-1] < 1.3 * seen[0] + 50 * MIB


def test_models_that_are_asked_for_at_once_are_all_answered(home: Path) -> None:
    names = [MINILM, STATIC, TINY[0].name] * 4
    with serving(home, 400) as server:
        got: dict[int, int] = {}

        def ask(number: int) -> None:
            answer = server.post({"model": names[number], "input": TEXTS})
            got[number] = answer.status_code

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(len(names))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
        assert got == dict.fromkeys(range(len(names)), 200)


def test_a_model_that_fits_nowhere_says_how_much_it_takes(home: Path) -> None:
    with serving(home, 100) as server:
        answer = server.post({"model": MINILM, "input": TEXTS})
        assert answer.status_code == 503
        assert "(max_model_bytes = 104857600)" in answer.json()["error"]["message"]
        assert vectors(server, STATIC).shape == (2, 256)


def test_emblem_ps_lists_what_a_server_holds(home: Path) -> None:
    with serving(home, 4096) as server:
        vectors(server, STATIC)
        url = ("--base-url", server.base_url)
        listed = command(home, "ps", *url, env={"OPENAI_API_KEY": server.key})
        assert (listed.returncode, "Loaded: 84.8 MB of 4.3 GB" in listed.stderr) == (0, True)
        (line,) = (line for line in listed.stdout.splitlines() if STATIC in line)
        assert line.split()[1] == "loaded"
        told = command(home, "ps", *url, "--json", env={"OPENAI_API_KEY": server.key})
        assert {one["name"] for one in json.loads(told.stdout)["models"]} == set(states(server))
        port = ("--port", str(server.port))
        assert command(home, "ps", *port, env={"EMBLEM_API_KEY": server.key}).returncode == 0
        wrong = command(home, "ps", *url, env={"OPENAI_API_KEY": "sk-wrong"})
        assert (wrong.returncode, wrong.stdout) == (2, "")
        assert "refuses the key in OPENAI_API_KEY" in wrong.stderr
        assert "wants a key: set EMBLEM_API_KEY or" in command(home, "ps", *port).stderr
        # The key of one's own server goes to no other.
        kept = command(home, "ps", *url, env={"EMBLEM_API_KEY": server.key})
        assert "wants a key: set OPENAI_API_KEY;" in kept.stderr
        other = command(home, "ps", "--base-url", f"{server.root}/health")
        assert "wants a key" in other.stderr


def test_emblem_ps_says_where_no_server_is(home: Path) -> None:
    nobody = command(home, "ps", "--port", "9")
    assert (nobody.returncode, nobody.stdout) == (2, "")
    assert nobody.stderr.startswith("emblem: no server answers at http://127.0.0.1:9/ps")
    assert len(nobody.stderr.splitlines()) == 1
    nothing = command(home, "ps", "--base-url", "example")
    assert "it must be like http://127.0.0.1:8080/v1" in nothing.stderr
