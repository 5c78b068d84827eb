"""A folder of these tests as a ``Model``, and the library's own vectors of its texts."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from emblem.backends.torch import TorchBackend
from emblem.core.tokenize import TextTokenizer
from emblem.engine import Engine
from emblem.model import Model, Modules, Pooling, Prompts, Tokenization
from emblem.models import tokenizer
from emblem.space import Space
from emblem.types import EmbedRequest, Kind, Overflow, Vectors
from emblem.wrappers.checked import Checked
from with_torch.families import Family


def understood(family: Family, folder: Path) -> Model:
    """Say of a folder what its layout says."""
    width = family.dense[-1] if family.dense else {"qwen3": 64}.get(family.name, 48)
    longest = family.max_seq_length
    return Model(
        name=family.name,
        space=Space(family.name, "0" * 64, "1" * 64, width, normalised=family.normalise),
        tokenization=Tokenization(folder / "tokenizer.json", longest, strip=False),
        weights=(folder / "model.safetensors",),
        encoder=Modules(folder, width, longest),
        pooling=Pooling(),
        normalise=family.normalise,
        prompts=Prompts(family.prompts.get("query"), family.prompts.get("document")),
        languages=(),
        licence="",
    )


def reader(model: Model) -> TextTokenizer:
    own = model.tokenization
    return TextTokenizer(tokenizer.load(own), max_length=own.max_length, strip=own.strip)


def backend(model: Model, **options: Any) -> TorchBackend:
    return TorchBackend(model, reader(model), **{"device": "cpu", "threads": 2, **options})


def embed(
    model: Model, texts: Sequence[str], kind: Kind | None, opened: TorchBackend | None = None
) -> Vectors:
    """Embed all texts as one request, as a server does."""

    async def work() -> Vectors:
        engine = Checked(Engine(model, reader(model), opened or backend(model)))
        try:
            request = EmbedRequest(tuple(texts), kind, overflow=Overflow.TRUNCATE)
            return (await engine.embed(request)).vectors
        finally:
            await engine.aclose()

    return asyncio.run(work())


def theirs(folder: Path, texts: Sequence[str], kind: Kind | None) -> Vectors:
    """Give what the library gives each text alone: (n, width) float32."""
    from sentence_transformers import SentenceTransformer

    library = SentenceTransformer(
        str(folder), device="cpu", local_files_only=True, model_kwargs={"dtype": "float32"}
    )
    encode = {None: library.encode, Kind.QUERY: library.encode_query}
    encode[Kind.DOCUMENT] = library.encode_document
    alone = [encode[kind](text, show_progress_bar=False) for text in texts]
    return np.stack(alone).astype(np.float32)
