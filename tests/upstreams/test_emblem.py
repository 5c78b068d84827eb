"""Emblem as another Emblem's upstream: the same vectors, in the same space, with what is long."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from emblem.config import Settings
from emblem.errors import DeploymentFailed, InvalidInput
from emblem.opening import open_model, open_upstream
from emblem.ports import Embedder
from emblem.types import EmbedRequest, EmbedResult, Overflow
from server import RunningServer, linked_home, running_server

MODEL = "all-MiniLM-L6-v2"
LONG = "word " * 400
TEXTS = (*(f"text {n}" for n in range(210)), LONG, "short", LONG)


@pytest.fixture(scope="module")
def server(model_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    home = linked_home(tmp_path_factory.mktemp("upstream") / "home", model_home)
    with running_server(home, args=[MODEL, "--offline"]) as running:
        yield running


def ask(server: RunningServer, *requests: EmbedRequest) -> tuple[Embedder, list[EmbedResult]]:
    async def run() -> tuple[Embedder, list[EmbedResult]]:
        upstream = await open_upstream(server.base_url, MODEL, server.key)
        try:
            return upstream, [await upstream.embed(request) for request in requests]
        finally:
            await upstream.aclose()

    return asyncio.run(run())


def test_it_gives_the_vectors_and_the_space_of_the_model_itself(
    server: RunningServer, minilm_folder: Path
) -> None:
    upstream, (result,) = ask(server, EmbedRequest(TEXTS))

    async def local() -> tuple[Embedder, EmbedResult]:
        engine = open_model(minilm_folder, MODEL, Settings())
        try:
            return engine, await engine.embed(EmbedRequest(TEXTS))
        finally:
            await engine.aclose()

    engine, due = asyncio.run(local())
    np.testing.assert_allclose(result.vectors, due.vectors, atol=2e-6)
    assert result.overflowed == due.overflowed == (210, 212)
    assert result.tokens.sum() == due.tokens.sum()
    assert str(upstream.space) == str(engine.space)


def test_the_rule_for_long_texts_and_the_width_can_be_chosen(server: RunningServer) -> None:
    _, (mean, cut, narrow) = ask(
        server,
        EmbedRequest((LONG + "end",)),
        EmbedRequest((LONG + "end",), overflow=Overflow.TRUNCATE),
        EmbedRequest(("a",), dimensions=128),
    )
    assert not np.allclose(mean.vectors, cut.vectors)
    assert narrow.vectors.shape == (1, 128)


def test_texts_that_it_refuses_are_named(server: RunningServer) -> None:
    texts = ("a",) * 150 + ("",) + ("b",) * 10
    with pytest.raises(InvalidInput) as caught:
        ask(server, EmbedRequest(texts))
    assert caught.value.problems == ((150, "is an empty string"),)


def test_a_key_that_it_does_not_know_is_not_shown(server: RunningServer) -> None:
    async def run() -> None:
        await open_upstream(server.base_url, MODEL, "sk-" + "x" * 40)

    with pytest.raises(DeploymentFailed, match="refused the API key") as caught:
        asyncio.run(run())
    assert "x" * 10 not in str(caught.value)
