"""One real server for all the clients, and what runs their programs."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from emblem.models.library import Library
from server import RunningServer, linked_home, running_server
from system import CLIENTS_PYTHON, require, require_clients, require_node_modules

HERE = Path(__file__).parent
MODEL = "all-MiniLM-L6-v2"

# tiktoken looks for its ranks under this name, and downloads them where it does not find them.
TIKTOKEN_RANKS = "9b5ad71b2ce5302211f9c61530b329a4922fc6a4"

Run = Callable[..., Any]
Plain = Callable[..., npt.NDArray[np.float32]]


@pytest.fixture(scope="session")
def texts() -> list[str]:
    """Scripts, accents, emoji beyond the first plane, code, and more than the model reads at once."""
    return [
        "The quick brown fox jumps over the lazy dog.",
        "Größe, naïve café, Ærøskøbing",
        "今日は良い天気ですね 🌸👩🏽‍🚀",
        "def unit(v): return v / np.linalg.norm(v)",
        "x",
        "A long text goes on and on about rivers, hills and weather. " * 40,
    ]


@pytest.fixture(scope="session")
def server(model_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """Serve the default model with a key, as a user would."""
    home = linked_home(tmp_path_factory.mktemp("compat") / "home", model_home)
    with running_server(home) as running:
        yield running


@pytest.fixture(scope="session")
def plain(server: RunningServer) -> Plain:
    """Embed by plain HTTP, asking for floats: what every client is compared with."""

    def embed(inputs: Any, model: str = MODEL, **fields: Any) -> npt.NDArray[np.float32]:
        body = {"model": model, "input": inputs, "encoding_format": "float", **fields}
        answer = server.post(body)
        assert answer.status_code == 200, answer.text
        data = answer.json()["data"]
        assert [item["index"] for item in data] == list(range(len(data)))
        return np.array([item["embedding"] for item in data], np.float32)

    return embed


@pytest.fixture(scope="session")
def client_environment(
    server: RunningServer, model_home: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str]:
    """Give the variables that clients and users' scripts read, and nothing that needs a network."""
    ranks = Library(model_home).cl100k(fetch=False)
    assert ranks is not None
    tiktoken_cache = tmp_path_factory.mktemp("tiktoken")
    shutil.copyfile(ranks, tiktoken_cache / TIKTOKEN_RANKS)
    return {
        **os.environ,
        "OPENAI_BASE_URL": server.base_url,
        "OPENAI_API_KEY": server.key,
        "EMBED_BASE": server.root,
        "EMBED_MODEL": MODEL,
        "EMBED_KEY": server.key,
        "TIKTOKEN_CACHE_DIR": str(tiktoken_cache),
        "HAYSTACK_TELEMETRY_ENABLED": "False",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
    }


@pytest.fixture(scope="session")
def run_command(client_environment: dict[str, str]) -> Callable[..., str]:
    """Run a command in the clients' environment and give what it prints."""

    def run(command: list[str], stdin: str = "", **variables: str) -> str:
        done = subprocess.run(
            command,
            input=stdin,
            env=client_environment | variables,
            capture_output=True,
            text=True,
            timeout=180,
        )
        assert done.returncode == 0, f"{command} ended with {done.returncode}:\n{done.stderr}"
        return done.stdout

    return run


@pytest.fixture(scope="session")
def run_python_client(run_command: Callable[..., str]) -> Run:
    """Run a program of clients/ with JSON in and JSON out."""

    def run(program: str, **asked: Any) -> Any:
        require_clients()
        path = HERE / "clients" / f"{program}.py"
        return json.loads(run_command([str(CLIENTS_PYTHON), str(path)], json.dumps(asked)))

    return run


@pytest.fixture(scope="session")
def run_node_client(run_command: Callable[..., str]) -> Run:
    """Run a program of node/ with JSON in and JSON out."""

    def run(program: str, **asked: Any) -> Any:
        require_node_modules()
        path = HERE / "node" / f"{program}.mjs"
        return json.loads(run_command(["node", str(path)], json.dumps(asked)))

    return run


@pytest.fixture(scope="session")
def run_java(run_command: Callable[..., str]) -> Callable[[str], str]:
    """Run the Java program straight from its source with one argument."""

    def run(argument: str) -> str:
        require("javac")
        return run_command(["java", str(HERE / "java" / "Embed.java"), argument])

    return run
