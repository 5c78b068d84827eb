"""Models of every family that is computed here, quantised in this process: sound and damaged."""

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from emblem import opening
from emblem.cli.quantize import _quantised
from emblem.cli.quantize_texts import built_in, spread
from emblem.config import Settings
from emblem.errors import ModelError
from emblem.models import safetensors
from emblem.models.safetensors import Stored, Weights
from emblem.types import EmbedRequest, Vectors
from tiny_models import ROTARY_MODELS, TINY_MODELS, TinyModel, write

TEXTS = spread(built_in(), 24)
ASKED = ("the river and the museum", "a search engine", "little light")
FAMILIES = {
    one.name: one
    for one in (*TINY_MODELS, *ROTARY_MODELS)
    if one.name
    in {
        *("bert-mean", "bert-max", "roberta-mean", "roberta-weighted", "xlmr-sqrt"),
        *("modernbert-mean", "modernbert-biased", "nomic-5", "nomic-long"),
    }
}
Change = Callable[[str, Stored], Stored]


def rewrite(file: Path, change: Change) -> None:
    """Write the tensors of a file anew, each as ``change`` gives it."""
    weights = Weights([file])
    tensors = {name: change(name, weights.stored(name)) for name in weights}
    safetensors.write(file.with_name("new"), tensors)
    file.with_name("new").replace(file)


def shuffled(_: str, one: Stored) -> Stored:
    """Give int8 weights in another order."""
    if one.dtype != "I8":
        return one
    data = one.data.copy()
    np.random.default_rng(0).shuffle(data)
    return Stored(one.dtype, one.shape, data)


def vectors(folder: Path, settings: Settings) -> Vectors:
    """Open a folder and embed three texts."""

    async def embed() -> Vectors:
        embedder = opening.open_model(folder, "m", settings)
        try:
            return (await embedder.embed(EmbedRequest(ASKED))).vectors
        finally:
            await embedder.aclose()

    return asyncio.run(embed())


def cosines(one: Vectors, other: Vectors) -> np.ndarray:
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    return np.einsum("ij,ij->i", one, other) / lengths


def quantise(folder: Path, home: Path) -> tuple[Path, Settings]:
    settings = Settings(home=str(home), threads=1, sources=())
    report = _quantised(str(folder), None, TEXTS, [], settings)
    assert report.ok, report
    return Path(report.folder), settings


@pytest.mark.parametrize("model", FAMILIES.values(), ids=FAMILIES)
def test_every_family_is_quantised_and_opens_unless_it_is_damaged(
    model: TinyModel, tmp_path: Path
) -> None:
    source = write(model, tmp_path / model.name)
    made, settings = quantise(source, tmp_path / "h")
    before, after = vectors(source, settings), vectors(made, settings)
    assert cosines(before, after).min() > 0.99
    assert not np.array_equal(before, after)
    if not model.normalise:
        assert np.linalg.norm(after, axis=1).min() > 1.5  # so the canaries are not compared as is
    bad = shutil.copytree(made, tmp_path / "bad")
    rewrite(bad / "model.safetensors", shuffled)
    with pytest.raises(ModelError, match=r"canaries: the vectors of 10 texts are not those"):
        opening.open_model(bad, "m", settings)


def test_a_sound_model_opens_however_short_its_vectors_are(tmp_path: Path) -> None:
    def shortened(name: str, one: Stored) -> Stored:
        if not name.startswith("encoder.layer.1.output.LayerNorm"):
            return one
        return Stored.of(one.data.view("<f4").reshape(one.shape) * np.float32(0.01))

    source = write(TinyModel("short", "bert", normalise=False), tmp_path / "short")
    rewrite(source / "model.safetensors", shortened)
    made, settings = quantise(source, tmp_path / "h")
    after = vectors(made, settings)
    assert np.linalg.norm(after, axis=1).max() < 0.5
    assert cosines(vectors(source, settings), after).min() > 0.99
