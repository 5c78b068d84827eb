"""Folders opened by hand, and the library's own vectors of texts. See ``families`` on imports."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from emblem.core.tokenize import TextTokenizer
from emblem.model import Model
from emblem.models import layout, tokenizer
from emblem.types import Kind, Row, Vectors


def understood(folder: Path) -> Model:
    return layout.read(folder, folder.name)


def reader(model: Model) -> TextTokenizer:
    own = model.tokenization
    return TextTokenizer(tokenizer.load(own), max_length=own.max_length, strip=own.strip)


def backend(folder: Path, **options: Any) -> Any:
    from emblem.backends.torch import TorchBackend

    model = understood(folder)
    return TorchBackend(model, reader(model), **{"device": "cpu", "threads": 2, **options})


def row(*lengths: int, vocabulary: int = 90) -> Row:
    """Make a row of sequences with those lengths, of ids that depend on nothing else."""
    ids = np.arange(sum(lengths), dtype=np.int32) * 7 % vocabulary
    return Row(ids, np.array(lengths, dtype=np.int32), np.zeros(len(lengths), np.int32))


def theirs(folder: Path, texts: Sequence[str], kind: Kind | None = None) -> Vectors:
    """Give what the library gives each text alone: (n, width) float32."""
    import torch
    from sentence_transformers import SentenceTransformer

    torch.set_num_threads(1)  # for one short text after another, two would wait for each other
    library = SentenceTransformer(
        str(folder), device="cpu", local_files_only=True, model_kwargs={"dtype": "float32"}
    )
    encode = {None: library.encode, Kind.QUERY: library.encode_query}
    encode[Kind.DOCUMENT] = library.encode_document
    alone = [encode[kind](text, show_progress_bar=False) for text in texts]
    return np.stack(alone).astype(np.float32)
