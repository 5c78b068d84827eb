"""Real models are proven: a copy elsewhere serves, and what only looks like one does not."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from emblem.config import Settings
from emblem.opening import open_model
from emblem.ports import Embedder
from emblem.space import Space
from emblem.types import EmbedRequest, EmbedResult, Health, Overflow
from emblem.upstreams.opening import open_upstream, preset
from emblem.upstreams.provider import Provider
from emblem.wrappers.around import Around
from emblem.wrappers.checked import Checked
from emblem.wrappers.pool import Member, Pool
from emblem.wrappers.proven import Demands, Proven
from emblem.wrappers.references import FileReferences
from server import RunningServer, linked_home, running_server

MODEL = "all-MiniLM-L6-v2"
TEXTS = ("a short text", "Ein Satz über das Wetter.", "word " * 400)


class Cutting(Around):
    """The same weights, but what is too long is cut."""

    async def embed(self, request: EmbedRequest) -> EmbedResult:
        return await self._embedder.embed(replace(request, overflow=Overflow.TRUNCATE))


@pytest.fixture(scope="module")
def server(model_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    home = linked_home(tmp_path_factory.mktemp("elsewhere") / "home", model_home)
    with running_server(home, args=[MODEL, "wordllama-256", "--offline"]) as running:
        yield running


@asynccontextmanager
async def local(folder: Path, name: str = MODEL) -> AsyncIterator[Embedder]:
    engine = await asyncio.to_thread(open_model, folder, name, Settings())
    try:
        yield engine
    finally:
        await engine.aclose()


def elsewhere(server: RunningServer, model: str, space: Space, dialect: str) -> Embedder:
    """Open a model of another server, taken by its word to be in a space."""
    provider = Provider("far", preset(dialect), server.base_url, keys=(server.key,))
    return Checked(open_upstream(provider, model, space))


def test_a_copy_of_the_model_elsewhere_stands_by_and_other_models_and_rules_do_not(
    server: RunningServer, minilm_folder: Path, tmp_path: Path
) -> None:
    async def go() -> None:
        references = FileReferences(tmp_path / "spaces")
        async with AsyncExitStack() as stack:
            engine = await stack.enter_async_context(local(minilm_folder))
            space = engine.space
            copy = elsewhere(server, MODEL, space, "openai-compatible")
            narrow = elsewhere(server, "wordllama-256", space, "openai-compatible")
            here = Proven(engine, references, "here", space)
            others = {
                name: Proven(one, references, name, space, Demands(founds=False))
                for name, one in (("copy", copy), ("cuts", Cutting(engine)), ("narrow", narrow))
            }
            for one in (copy, narrow):
                stack.push_async_callback(one.aclose)
            await here.prove()
            for one in others.values():
                await one.prove()

            states = {name: one.deployments()[0] for name, one in others.items()}
            assert here.problem() is None
            assert (states["copy"].health, states["copy"].problem) == (Health.SERVING, None)
            assert states["copy"].worst_cosine is not None
            assert states["copy"].worst_cosine > 0.99999
            assert states["cuts"].health is Health.QUARANTINED
            assert "short texts agree" in str(states["cuts"].problem)
            assert states["narrow"].health is Health.QUARANTINED

            both = Pool(space, [Member("here", here), Member("copy", others["copy"])])
            results = [await both.embed(EmbedRequest(TEXTS)) for _ in range(8)]
            for result in results:
                np.testing.assert_allclose(result.vectors, results[0].vectors, atol=1e-5)

    asyncio.run(go())


@pytest.mark.slow
def test_a_copy_of_eight_bits_is_none(
    model_home: Path, minilm_folder: Path, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "models").mkdir()
    (home / "models" / MODEL).symlink_to(minilm_folder, target_is_directory=True)
    (home / "files").symlink_to(model_home / "files", target_is_directory=True)
    environ = {name: one for name, one in os.environ.items() if not name.startswith("EMBLEM_")}
    made = subprocess.run(
        [sys.executable, "-m", "emblem", "quantize", MODEL],
        env={**environ, "EMBLEM_HOME": str(home), "EMBLEM_OFFLINE": "true"},
        capture_output=True,
        timeout=600,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    (eight_bits,) = (path.parent for path in home.rglob("quantization.json"))

    async def go() -> None:
        references = FileReferences(tmp_path / "spaces")
        async with (
            local(minilm_folder) as whole,
            local(eight_bits, f"{MODEL}:int8") as eighth,
        ):
            here = Proven(whole, references, "here")
            rounded = Proven(eighth, references, "rounded", whole.space)
            await here.prove()
            await rounded.prove()
            (state,) = rounded.deployments()
            assert state.health is Health.QUARANTINED
            assert state.worst_cosine is not None
            assert 0.9 < state.worst_cosine < 0.999

    asyncio.run(go())
