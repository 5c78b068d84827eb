"""Other people's servers as upstreams, each in an environment of its own, over the real MiniLM."""

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import requests

from emblem.config import Settings
from emblem.errors import DeploymentFailed, EmblemError, InvalidRequest
from emblem.opening import open_model
from emblem.space import Space
from emblem.types import EmbedRequest, EmbedResult
from emblem.upstreams.opening import Provider, open_upstream
from emblem.upstreams.presets import preset
from emblem.wrappers.checked import Checked
from server import free_port, linked_home, running_server
from system import ROOT, absent

pytestmark = pytest.mark.slow

MODEL = "all-MiniLM-L6-v2"
KEY = "sk-of-the-proxy-alone"
START_S = 180.0
TEXTS = tuple(
    f"{word} number {at} of the museum, where engines are kept in a garden"
    for at in range(40)
    for word in ("The room", "Der Raum", "La salle", "一个房间", "Комната")
)


@dataclass(frozen=True, slots=True)
class Other:
    """A server that answers, the provider that it is for Emblem, and what it calls the model."""

    provider: Provider
    model: str


def environment(name: str, program: str) -> Path:
    """Give a program of an environment that ``make test-slow`` makes, or skip the test."""
    found = ROOT / f".venv-bench-{name}" / "bin" / program
    if not found.exists():
        absent(f"{found.relative_to(ROOT)} is not there; make test-slow installs it")
    return found


@contextmanager
def started(command: Sequence[str], folder: Path, url: str) -> Iterator[None]:
    """Run a server until the block ends."""
    quiet = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "HF_HUB_OFFLINE": "1", "DO_NOT_TRACK": "1"}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, **quiet},
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        until = time.monotonic() + START_S
        while process.poll() is None and time.monotonic() < until:
            try:
                requests.get(url, timeout=5)
                break
            except requests.ConnectionError:
                time.sleep(0.2)
        else:
            pytest.fail((folder / "log").read_text(errors="replace")[-2000:])
        yield
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@contextmanager
def litellm(folder: Path, model_home: Path) -> Iterator[Other]:
    """Start LiteLLM's proxy before a real Emblem."""
    program, port = environment("litellm", "litellm"), free_port()
    home = linked_home(folder / "home", model_home)
    with running_server(home, args=[MODEL, "--offline"]) as emblem:
        (folder / "config.yaml").write_text(
            f"""
model_list:
  - model_name: house
    litellm_params:
      model: openai/{MODEL}
      api_base: {emblem.base_url}
      api_key: {emblem.key}
    model_info:
      mode: embedding
general_settings:
  master_key: {KEY}
"""
        )
        command = [str(program), "--config", "config.yaml", "--host", "127.0.0.1"]
        command += ["--port", str(port), "--telemetry", "False"]
        address = f"http://127.0.0.1:{port}/v1"
        with started(command, folder, f"http://127.0.0.1:{port}/health/liveliness"):
            yield Other(Provider("litellm", preset("litellm"), address, keys=(KEY,)), "house")


@contextmanager
def infinity(folder: Path, minilm: Path) -> Iterator[Other]:
    """Start infinity with the same weights."""
    program, port = environment("infinity", "python"), free_port()
    run = "from infinity_emb.cli import cli; cli()"
    command = [str(program), "-c", run, "v2", "--model-id", str(minilm), "--served-model-name"]
    command += [MODEL, "--engine", "torch", "--device", "cpu", "--dtype", "float32"]
    command += ["--no-bettertransformer", "--host", "127.0.0.1", "--port", str(port)]
    with started(command, folder, f"http://127.0.0.1:{port}/health"):
        address = f"http://127.0.0.1:{port}"
        yield Other(Provider("infinity", preset("infinity"), address), MODEL)


@pytest.fixture(scope="module", params=["litellm", "infinity"])
def other(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    model_home: Path,
    minilm_folder: Path,
) -> Iterator[Other]:
    folder = tmp_path_factory.mktemp(request.param)
    serving = (
        litellm(folder, model_home)
        if request.param == "litellm"
        else infinity(folder, minilm_folder.resolve())
    )
    with serving as one:
        yield one


@pytest.fixture(scope="module")
def due(minilm_folder: Path) -> EmbedResult:
    """What the model itself gives."""

    async def run() -> EmbedResult:
        engine = open_model(minilm_folder, MODEL, Settings())
        try:
            return await engine.embed(EmbedRequest(TEXTS))
        finally:
            await engine.aclose()

    return asyncio.run(run())


def ask(other: Other, request: EmbedRequest, model: str | None = None) -> EmbedResult:
    async def run() -> EmbedResult:
        space = Space.declared("test/minilm", 384, normalised=True)
        upstream = open_upstream(other.provider, model or other.model, space)
        try:
            return await Checked(upstream).embed(request)
        finally:
            await upstream.aclose()

    return asyncio.run(run())


def test_it_gives_the_vectors_of_the_model_itself(other: Other, due: EmbedResult) -> None:
    result = ask(other, EmbedRequest(TEXTS))
    cosines = np.einsum("nd,nd->n", result.vectors, due.vectors)
    assert cosines.min() >= 0.9999
    assert result.served_by == other.provider.name
    # infinity counts characters and calls them tokens: only the sum of what it says is passed on
    assert result.tokens.sum() > 0


def test_a_model_that_it_does_not_have_is_an_error(other: Other) -> None:
    if other.provider.name == "infinity":
        pytest.skip("with one model it takes any name for it; the proof by known texts is for that")
    with pytest.raises(EmblemError) as caught:
        ask(other, EmbedRequest(("a",)), model="no-such-model")
    assert isinstance(caught.value, DeploymentFailed | InvalidRequest)
    assert KEY not in str(caught.value)


def test_a_key_that_it_does_not_know_is_refused_and_not_shown(other: Other) -> None:
    if not other.provider.keys:
        pytest.skip("it asks for no key")
    wrong = "sk-wrong-0123456789abcdef"
    provider = Provider("litellm", other.provider.preset, other.provider.base_url, keys=(wrong,))
    with pytest.raises(EmblemError) as caught:
        ask(Other(provider, other.model), EmbedRequest(("a",)))
    assert wrong not in f"{caught.value} {caught.value!r}"


def test_its_health_check_finds_emblem_well(other: Other) -> None:
    if other.provider.name != "litellm":
        pytest.skip("it looks at nobody's health")
    root = other.provider.base_url.removesuffix("/v1")
    found = requests.get(f"{root}/health", headers={"Authorization": f"Bearer {KEY}"}, timeout=60)
    assert found.status_code == 200
    assert (found.json()["healthy_count"], found.json()["unhealthy_count"]) == (1, 0), found.text


@pytest.mark.parametrize("said", [{}, {"encoding_format": None}, {"encoding_format": "float"}])
def test_its_clients_get_numbers_from_emblem_whatever_form_they_leave_to_it(
    other: Other, due: EmbedResult, said: dict[str, object]
) -> None:
    if other.provider.name != "litellm":
        pytest.skip("it has the model itself")
    headers = {"Authorization": f"Bearer {KEY}"}
    body = {"model": other.model, "input": TEXTS[:2], **said}
    address = f"{other.provider.base_url}/embeddings"
    answer = requests.post(address, json=body, headers=headers, timeout=60)
    assert answer.status_code == 200, answer.text
    given = np.array([one["embedding"] for one in answer.json()["data"]], np.float32)
    np.testing.assert_allclose(given, due.vectors[:2], atol=1e-5)
