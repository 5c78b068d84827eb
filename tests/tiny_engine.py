"""An engine over the fake backend, and what it must give, worked out one text at a time."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from math import ceil
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from emblem.backends.fake import FakeBackend, states
from emblem.core.tokenize import TextTokenizer
from emblem.engine import Engine, QueueLimits
from emblem.model import Model, Pooling, Tokenization
from emblem.offer import Prompts
from emblem.space import Space
from emblem.types import Row

WIDTH = 8
MAX_LENGTH = 12  # ten tokens of text
WORDS = 2000  # w0, w1, …
FIRST_WORD = 4
PLENTY = QueueLimits(interactive_s=1e9, bulk_s=1e9, max_bytes=1 << 60)
PATIENCE_S = 30.0  # nothing waits so long unless it waits for ever


def tokenizer() -> Tokenizer:
    """Make a tokenizer with a token for each word, and [CLS] and [SEP] around a text."""
    names = ["[CLS]", "[SEP]", "[UNK]", "ask:", *(f"w{n}" for n in range(WORDS))]
    made = Tokenizer(models.WordLevel({name: n for n, name in enumerate(names)}, "[UNK]"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 0), ("[SEP]", 1)]
    )
    made.add_special_tokens(["[CLS]", "[SEP]", "[UNK]"])
    return made


def model(name: str = "tiny", width: int = WIDTH, prompts: Prompts | None = None) -> Model:
    """Describe a model that reads twelve tokens at once and gives unit vectors."""
    return Model(
        name=name,
        space=Space(name, "a" * 64, "b" * 64, width, normalised=True),
        tokenization=Tokenization(Path("tokenizer.json"), MAX_LENGTH),
        weights=(),
        encoder=None,
        pooling=Pooling(),
        normalise=True,
        prompts=prompts or Prompts(),
        languages=("en",),
        licence="none",
    )


@asynccontextmanager
async def tiny_engine(
    backend: FakeBackend | None = None,
    *,
    limits: QueueLimits = PLENTY,
    clock: Callable[[], float] | None = None,
    reader: TextTokenizer | None = None,
) -> AsyncIterator[Engine]:
    """Open an engine for as long as the block runs. Who waits for ever in it fails."""
    backend = backend or FakeBackend(WIDTH)
    described = model(prompts=Prompts(query="ask: "))
    reader = reader or TextTokenizer(tokenizer(), max_length=MAX_LENGTH)
    clocks = () if clock is None else (clock,)
    engine = Engine(described, reader, backend, limits, *clocks)
    try:
        async with asyncio.timeout(PATIENCE_S):
            yield engine
    finally:
        backend.release()
        await engine.aclose()


async def until(condition: Callable[[], object]) -> None:
    """Let others run until something is true."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110 - nothing sets an event for it
            await asyncio.sleep(0)


def words(*numbers: int) -> str:
    """Spell a text of those words."""
    return " ".join(f"w{n}" for n in numbers)


def ids_of(text: str) -> list[int]:
    """Give the token ids of a text, without special tokens."""
    return [3 if word == "ask:" else FIRST_WORD + int(word[1:]) for word in text.split()]


def vector_of(text: str, *, prompt: str = "", truncate: bool = False) -> np.ndarray:
    """Work out the vector of a text on its own: (width,)."""
    before, ids = ids_of(prompt), ids_of(text)
    room = MAX_LENGTH - 2 - len(before)
    parts = max(1, ceil(len(ids) / room))
    bounds = [len(ids) * part // parts for part in range(parts + 1)]
    windows = [ids[bounds[part] : bounds[part + 1]] for part in range(parts)]
    if truncate:
        windows = [ids[:room]]
    total = np.zeros(WIDTH)
    for window in windows:
        row = np.array([0, *before, *window, 1], np.int32)
        mean = states(Row(row, np.array([len(row)], np.int32)), WIDTH).astype(np.float64).mean(0)
        total += len(window) * mean / np.linalg.norm(mean)
    return total / np.linalg.norm(total)
