"""The torch extra against sentence-transformers itself, which is given one text at a time."""

import asyncio
from pathlib import Path
from random import Random

import pytest
from tokenizers import Tokenizer

from agreement import disagreements, embed
from emblem.config import Settings
from emblem.model import Modules
from emblem.models import layout
from emblem.opening import open_engine
from emblem.types import EmbedRequest, Kind, Overflow, Vectors
from golden_texts import few
from tiny_models import ROTARY_MODELS, TINY_MODELS, WORDS, TinyModel
from tiny_models import write as write_tiny
from with_torch.families import FAMILIES, Family
from with_torch.opening import theirs, understood

pytestmark = [pytest.mark.slow, pytest.mark.torch]

by_family = pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)


def of_length(tokens: int, family: Family, folder: Path, chance: Random) -> str:
    """Make a text of so many tokens, special ones included. A comma is one in every family."""
    read = Tokenizer.from_file(str(folder / "tokenizer.json")).encode
    text = ""
    while len(read(longer := f"{text} {chance.choice(WORDS)}".strip()).ids) <= tokens:
        text = longer
    return text + "," * (tokens - len(read(text).ids))


def around_boundaries(family: Family, folder: Path) -> list[str]:
    """Make texts of every length up to twice a window of attention, and around the model's own."""
    chance = Random(family.name)
    longest = family.max_seq_length
    lengths = [*range(3, 20), *range(longest - 6, longest + 3), 2 * longest]
    texts = [of_length(length, family, folder, chance) for length in lengths]
    chance.shuffle(texts)
    return texts


@pytest.mark.parametrize("model", TINY_MODELS, ids=lambda model: model.name)
def test_a_model_that_needs_no_torch_has_the_same_vectors_with_it(
    model: TinyModel, tmp_path: Path
) -> None:
    folder = write_tiny(model, tmp_path / model.name)
    texts = [text for text in few(5) if text.strip()]
    for kind in (None, *Kind):
        (expected,) = embed(folder, texts, kind=kind)
        (ours,) = embed_with_torch(folder, texts, kind)
        assert disagreements(ours, expected, texts) == []


def test_the_real_model_has_the_same_vectors_with_torch(minilm_folder: Path) -> None:
    texts = [text for text in few(11, 40) if text.strip()]
    (expected,) = embed(minilm_folder, texts)
    (ours,) = embed_with_torch(minilm_folder, texts, None)
    assert disagreements(ours, expected, texts) == []


def embed_with_torch(folder: Path, texts: list[str], kind: Kind | None) -> list[Vectors]:
    """Embed as a model of whose settings one is ``backend = "torch"``."""

    async def work() -> list[Vectors]:
        embedder = open_engine(layout.read(folder, folder.name, backend="torch"), Settings())
        try:
            request = EmbedRequest(tuple(texts), kind, overflow=Overflow.TRUNCATE)
            return [(await embedder.embed(request)).vectors]
        finally:
            await embedder.aclose()

    return asyncio.run(work())


AS_TRANSFORMERS_5 = [
    model
    for model in (*TINY_MODELS, *ROTARY_MODELS)
    # It has no NomicBERT under old names, and puts a lowercase of its own into what it saves.
    if (model.family != "nomic_bert" or model.new_names) and not model.lowercase
]


@pytest.mark.parametrize(
    "model", [*AS_TRANSFORMERS_5, *FAMILIES], ids=lambda model: f"{model.name}"
)
def test_a_folder_that_the_library_saved_is_opened(
    model: TinyModel | Family, folders: dict[str, Path], tmp_path: Path
) -> None:
    from sentence_transformers import SentenceTransformer

    if isinstance(model, TinyModel):
        first = write_tiny(model, tmp_path / "first")
    else:
        first = folders[model.name]
    saved = tmp_path / "saved"
    SentenceTransformer(str(first), device="cpu", local_files_only=True).save(
        str(saved), create_model_card=False
    )
    texts = ["a river and the garden", "<mask> [MASK] </s> [SEP] query"]
    (before,), (after,) = embed(first, texts), embed(saved, texts)
    assert disagreements(after, before, texts) == []


@by_family
@pytest.mark.parametrize("kind", [None, Kind.QUERY, Kind.DOCUMENT])
def test_texts_of_many_lengths_at_once_have_the_vectors_that_the_library_gives_them_alone(
    family: Family, kind: Kind | None, folders: dict[str, Path]
) -> None:
    folder = folders[family.name]
    texts = around_boundaries(family, folder) + few(len(family.name), 25)
    texts = [text for text in texts if text.strip()]
    assert isinstance(understood(folder).encoder, Modules)
    (ours,) = embed(folder, texts, kind=kind)
    assert disagreements(ours, theirs(folder, texts, kind), texts) == []
