"""The engine over the real model: a vector depends on its text, whatever runs beside it."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from emblem.config import Settings
from emblem.errors import InvalidInput
from emblem.opening import open_model
from emblem.ports import Embedder
from emblem.types import EmbedRequest, Lane, Overflow, Vectors
from golden_texts import few

pytestmark = pytest.mark.anyio

TEXTS = tuple(text for text in few(7) if text.strip())


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def minilm(minilm_folder: Path) -> AsyncIterator[Embedder]:
    embedder = open_model(
        minilm_folder, "all-MiniLM-L6-v2", Settings(threads=2, streams=2, interactive_queue_s=1e6)
    )
    yield embedder
    await embedder.aclose()


async def vectors_of(embedder: Embedder, *texts: str, **options) -> Vectors:
    return (await embedder.embed(EmbedRequest(texts, **options))).vectors


async def test_a_text_has_the_same_bytes_alone_in_a_batch_and_beside_strangers(
    minilm: Embedder,
) -> None:
    alone = np.concatenate([await vectors_of(minilm, text) for text in TEXTS])
    together = await vectors_of(minilm, *TEXTS)
    np.testing.assert_array_equal(together, alone)
    beside = await asyncio.gather(
        *(
            vectors_of(minilm, text, lane=lane)
            for text, lane in zip(TEXTS, [*Lane] * len(TEXTS), strict=False)
        ),
        vectors_of(minilm, *reversed(TEXTS)),
    )
    np.testing.assert_array_equal(beside[-1][::-1], alone)
    np.testing.assert_array_equal(np.concatenate(beside[:-1]), alone)


async def test_a_long_text_is_the_weighted_mean_of_its_windows(minilm: Embedder) -> None:
    words = ["river", "garden", "museum", "number", "light", "house", "window"] * 100
    parts = [words[700 * part // 3 : 700 * (part + 1) // 3] for part in range(3)]
    (whole,) = await vectors_of(minilm, " ".join(words))
    windows = await vectors_of(minilm, *(" ".join(part) for part in parts))
    mean = np.average(windows.astype(np.float64), axis=0, weights=[len(part) for part in parts])
    np.testing.assert_allclose(whole, mean / np.linalg.norm(mean), atol=1e-6)


async def test_usage_of_a_long_text_is_all_of_it_or_what_is_left(minilm: Embedder) -> None:
    long = "river " * 700
    whole = await minilm.embed(EmbedRequest((long, "river")))
    cut = await minilm.embed(EmbedRequest((long, "river"), overflow=Overflow.TRUNCATE))
    assert whole.tokens.tolist() == [702, 3]
    assert cut.tokens.tolist() == [256, 3]
    assert whole.overflowed == cut.overflowed == (0,)
    with pytest.raises(InvalidInput, match="is 702 tokens and the model reads 256"):
        await minilm.embed(EmbedRequest((long, "river"), overflow=Overflow.ERROR))


async def test_fewer_dimensions_are_the_first_ones_made_unit_again(minilm: Embedder) -> None:
    full = await vectors_of(minilm, *TEXTS)
    short = await vectors_of(minilm, *TEXTS, dimensions=100)
    expected = full[:, :100] / np.linalg.norm(full[:, :100], axis=1, keepdims=True)
    np.testing.assert_allclose(short, expected, atol=2e-6)
