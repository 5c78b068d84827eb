"""A server with a model here and elsewhere: the same vectors whoever computes them, come what may."""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import requests

from server import RunningServer, linked_home, running_server

MODEL = "all-MiniLM-L6-v2"
KEY = "sk-" + "elsewhere" * 4
TEXTS = ["a short text", "Ein Satz über das Wetter.", "word " * 300]
pytestmark = pytest.mark.slow

CONFIG = """
cache_bytes = 0

[upstreams.far]
preset = "emblem"
base_url = "{base_url}"
key_env = ["FAR_KEY"]

[models."{model}"]
deployments = [{{ local = true }}, {{ upstream = "far" }}]

[models.other]
source = "{model}"
deployments = [{{ local = true }}, {{ upstream = "far", model = "wordllama-256" }}]
"""


@pytest.fixture
def far(model_home: Path, tmp_path: Path) -> Iterator[RunningServer]:
    home = linked_home(tmp_path / "far", model_home)
    args = [MODEL, "wordllama-256", "--offline"]
    with (
        contextlib.suppress(AssertionError),  # a test ends it
        running_server(home, env={"EMBLEM_API_KEY": KEY}, args=args) as running,
    ):
        yield running


def vectors(server: RunningServer, model: str = MODEL) -> tuple[np.ndarray, str]:
    answer = server.post({"model": model, "input": TEXTS})
    assert answer.status_code == 200, answer.text
    found = np.array([one["embedding"] for one in answer.json()["data"]])
    return found, answer.headers["x-served-by"]


def states(server: RunningServer) -> dict[str, dict[str, object]]:
    models = {one["id"]: one for one in server.get("/admin/models").json()["data"]}
    return {
        f"{model}/{one['name']}": one
        for model in (MODEL, "other")
        for one in models[model]["deployments"]
    }


def end(server: RunningServer) -> None:
    """Kill a server, and wait until its workers have noticed."""
    server.process.kill()
    server.process.wait()
    until = time.monotonic() + 30.0
    with contextlib.suppress(requests.ConnectionError):
        while time.monotonic() < until:
            server.session.get(f"{server.root}/health", timeout=5)
            time.sleep(0.05)
        pytest.fail("its workers go on")


def test_it_answers_from_both_places_and_goes_on_when_one_is_gone(
    far: RunningServer, model_home: Path, tmp_path: Path
) -> None:
    home = linked_home(tmp_path / "home", model_home)
    (home / "emblem.toml").write_text(CONFIG.format(base_url=far.base_url, model=MODEL))
    with running_server(home, env={"FAR_KEY": KEY, "EMBLEM_OFFLINE": "true"}) as server:
        found = [vectors(server) for _ in range(12)]
        assert {served for _, served in found} == {"local", "far"}
        for one, _ in found:
            np.testing.assert_allclose(one, found[0][0], atol=1e-5)

        shown = states(server)
        assert shown[f"{MODEL}/far"]["health"] == "serving"
        assert float(str(shown[f"{MODEL}/far"]["worst_cosine"])) > 0.99999
        assert shown["other/far"]["health"] == "quarantined"
        assert {vectors(server, "other")[1] for _ in range(6)} == {"local"}
        ready = server.get("/ready").json()
        assert ready == {"status": "ready", "degraded": ["other: far is quarantined"]}
        assert server.get("/admin/health").json()["status"] == "degraded"
        assert any((home / "spaces").iterdir())

        end(far)
        assert {vectors(server)[1] for _ in range(16)} == {"local"}
        assert states(server)[f"{MODEL}/far"]["health"] == "open"
        assert KEY not in server.log.read_text()
