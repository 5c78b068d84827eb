"""A text has the same bytes from an engine, alone and in whatever is asked for at the same time."""

import asyncio
from pathlib import Path
from random import Random

import pytest

from emblem.backends import graphs
from emblem.backends.openvino import OpenVINOBackend
from emblem.core.tokenize import TextTokenizer
from emblem.engine.engine import Engine
from emblem.model import Bert, Model
from emblem.models import layout, tokenizer
from emblem.models.quantised import Rounded
from emblem.models.safetensors import Weights
from emblem.types import EmbedRequest, Lane, Overflow

pytestmark = pytest.mark.anyio

WORDS = (
    "river sand mill grain flour bread valley road antidisestablishmentarianism 漢字 émigré 12 !"
)
COUNTS = [1, 1, 2, 3, 5, 7, 8, 13, 14, 15, 16, 17, 30, 31, 33, 62, 63, 64, 100, 128, 250, 400]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def texts() -> list[str]:
    dice = Random(5)
    words = WORDS.split()
    return [" ".join(dice.choice(words) for _ in range(count)) for count in COUNTS]


def minilm(folder: Path) -> tuple[Model, Bert]:
    model = layout.read(folder, "all-MiniLM-L6-v2", overflow=Overflow.MEAN)
    assert isinstance(model.encoder, Bert)
    return model, model.encoder


async def answers(engine: Engine, asked: list[list[str]]) -> list[list[bytes]]:
    """Ask for all at once, as what runs in the background, for which there is room."""
    requests = [EmbedRequest(tuple(some), lane=Lane.BULK) for some in asked]
    results = await asyncio.gather(*(engine.embed(request) for request in requests))
    return [[vector.tobytes() for vector in result.vectors] for result in results]


@pytest.mark.parametrize(("group", "rounds"), [(0, 2), (128, 4)], ids=["float32", "int8"])
async def test_a_text_has_the_same_bytes_whatever_is_asked_for_at_the_same_time(
    minilm_folder: Path, group: int, rounds: int
) -> None:
    model, encoder = minilm(minilm_folder)
    weights = Weights(model.weights)
    tensors = Rounded(weights, graphs.build(encoder, weights).linears) if group else weights
    backend = OpenVINOBackend(encoder, tensors, threads=2, streams=2, group=group)
    own = model.tokenization
    reader = TextTokenizer(tokenizer.load(own), max_length=own.max_length, strip=own.strip)
    engine = Engine(model, reader, backend)
    known = texts()
    alone = {text: (await answers(engine, [[text]]))[0][0] for text in known}
    assert len(set(alone.values())) == len(alone)
    dice = Random(7)
    for _ in range(rounds):
        asked = [dice.choices(known, k=dice.randint(1, 14)) for _ in range(5)]
        for some, found in zip(asked, await answers(engine, asked), strict=True):
            for text, vector in zip(some, found, strict=True):
                assert vector == alone[text], f"{text[:40]}, {len(text.split())} words"
    await engine.aclose()
