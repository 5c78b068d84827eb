"""Real servers for the examples, one for each configuration that the pages show."""

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from docs.examples import Environment, ServerFor, Surroundings
from emblem.models.library import Library
from server import RunningServer, linked_home, running_server
from system import NODE_MODULES

MODEL = "all-MiniLM-L6-v2"

# tiktoken looks for its ranks under this name, and downloads them where it does not find them.
TIKTOKEN_RANKS = "9b5ad71b2ce5302211f9c61530b329a4922fc6a4"


@pytest.fixture(scope="session")
def server_for(model_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerFor]:
    """Give the server with these settings, started when it is first asked for."""
    servers: dict[str, RunningServer] = {}
    with ExitStack() as stack:

        def server(config: str) -> RunningServer:
            if config not in servers:
                home = linked_home(tmp_path_factory.mktemp("docs") / "home", model_home)
                (home / "emblem.toml").write_text(config, "utf-8")
                servers[config] = stack.enter_context(running_server(home))
            return servers[config]

        yield server


@pytest.fixture(scope="session")
def base_environment(model_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """Give a user's environment: ``emblem`` on the path, and nothing that needs a network."""
    ranks = Library(model_home).cl100k(fetch=False)
    assert ranks is not None
    tiktoken_cache = tmp_path_factory.mktemp("tiktoken")
    shutil.copyfile(ranks, tiktoken_cache / TIKTOKEN_RANKS)
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("EMBLEM_", "OPENAI_"))
    }
    return {
        **inherited,
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "COLUMNS": "200",
        "TIKTOKEN_CACHE_DIR": str(tiktoken_cache),
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
    }


@pytest.fixture(scope="session")
def surroundings(base_environment: Environment) -> Surroundings:
    """Give the environment of an example: the variables that the pages use, with real values."""

    def environment(server: RunningServer) -> Environment:
        return {
            **base_environment,
            "OPENAI_BASE_URL": server.base_url,
            "OPENAI_API_KEY": server.key,
            "EMBED_BASE": server.root,
            "EMBED_MODEL": MODEL,
            "EMBED_KEY": server.key,
            "EMBLEM_HOME": str(server.log.parent),
            "EMBLEM_PORT": str(server.port),
        }

    return environment


@pytest.fixture
def folder(tmp_path: Path, minilm_folder: Path) -> Path:
    """Give the folder in which an example runs; it has a model, and node's packages."""
    (tmp_path / "my-model").symlink_to(minilm_folder, target_is_directory=True)
    (tmp_path / "node_modules").symlink_to(NODE_MODULES, target_is_directory=True)
    return tmp_path
