"""Emblem against vectors of sentence-transformers and WordLlama, kept in ``tests/golden``.

``scripts/make_golden.py`` made them; ``golden/made_with.json`` says with which versions.
"""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer

from agreement import disagreements, embed
from emblem.types import Kind, Overflow
from tiny_models import ROTARY_MODELS, TINY_MODELS, TinyModel, write

GOLDEN = Path(__file__).parent / "golden"
TINY = {model.name: model for model in (*TINY_MODELS, *ROTARY_MODELS)}
KEPT = {"tiny": TINY_MODELS, "rotary": ROTARY_MODELS}
FILES = {model.name: file for file, models in KEPT.items() for model in models}
CASES = [(name, kind) for name in FILES for kind in (None, *map(Kind, TINY[name].prompts))]


def texts_of(name: str) -> list[str]:
    texts: list[str] = json.loads((GOLDEN / f"{name}.json").read_text("ascii"))
    return texts


@pytest.fixture(scope="module")
def tiny_folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny")
    for model in TINY.values():
        write(model, folder / model.name)
    return folder


def test_the_real_model_agrees_on_texts_of_every_kind(minilm_folder: Path) -> None:
    texts = texts_of("minilm")
    assert len(texts) >= 500
    with np.load(GOLDEN / "minilm.npz") as golden:
        theirs = golden["vectors"]
    (ours,) = embed(minilm_folder, texts)
    assert disagreements(ours, theirs, texts) == []


def test_the_real_model_agrees_on_texts_that_come_alone(minilm_folder: Path) -> None:
    texts = texts_of("minilm")[::10]
    with np.load(GOLDEN / "minilm.npz") as golden:
        theirs = golden["vectors"][::10]
    ours = np.concatenate(embed(minilm_folder, *([text] for text in texts)))
    assert disagreements(ours, theirs, texts) == []


@pytest.mark.parametrize("name", sorted(TINY))
def test_a_tiny_model_is_the_one_that_the_golden_vectors_are_of(
    name: str, tiny_folders: Path
) -> None:
    weights = (tiny_folders / name / "model.safetensors").read_bytes()
    with np.load(GOLDEN / f"{FILES[name]}.npz") as golden:
        assert hashlib.sha256(weights).hexdigest() == str(golden[f"{name}/sha256"])


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_every_family_and_pooling_agrees(name: str, kind: Kind | None, tiny_folders: Path) -> None:
    texts = texts_of(FILES[name])
    with np.load(GOLDEN / f"{FILES[name]}.npz") as golden:
        theirs = golden[f"{name}/{kind or 'plain'}"]
    (ours,) = embed(tiny_folders / name, texts, kind=kind)
    assert disagreements(ours, theirs, texts) == []


def test_the_static_model_agrees(wordllama_folder: Path) -> None:
    texts = texts_of("wordllama")
    with np.load(GOLDEN / "wordllama.npz") as golden:
        theirs = golden["vectors"]
    (ours,) = embed(wordllama_folder, texts)
    assert disagreements(ours, theirs, texts) == []


@pytest.mark.parametrize("name", ["modernbert-long", "nomic-long"])
def test_a_text_gets_the_same_vector_alone_and_in_company(name: str, tiny_folders: Path) -> None:
    texts = [text for text in texts_of("rotary") if text.strip()]
    (together,) = embed(tiny_folders / name, texts)
    alone = np.concatenate(embed(tiny_folders / name, *([text] for text in texts)))
    sizes = np.linalg.norm(alone, axis=1, keepdims=True)
    np.testing.assert_allclose(together / sizes, alone / sizes, atol=1e-6)


@pytest.mark.parametrize("tokens", [36, 70, 71, 72, 200])
@pytest.mark.parametrize(
    ("name", "kind"),
    [("bert-mean", None), ("xlmr-mean", Kind.QUERY), ("modernbert-mean", Kind.QUERY)],
)
def test_a_long_text_gets_the_weighted_mean_of_its_windows(
    name: str, kind: Kind | None, tokens: int, tiny_folders: Path
) -> None:
    ids = tuple(20 + place * 7 % 60 for place in range(tokens))
    room = TINY[name].max_seq_length - 2 - (prompt_tokens(tiny_folders / name, TINY[name], kind))
    parts = -(-tokens // room)
    bounds = [part * tokens // parts for part in range(parts + 1)]
    windows = [ids[bounds[part] : bounds[part + 1]] for part in range(parts)]
    whole, each = embed(tiny_folders / name, [ids], windows, kind=kind, overflow=Overflow.MEAN)
    weights = np.array([len(window) for window in windows], np.float64)
    mean = (each.astype(np.float64) * weights[:, None]).sum(axis=0) / weights.sum()
    np.testing.assert_allclose(whole[0], mean / np.linalg.norm(mean), atol=1e-5)


def prompt_tokens(folder: Path, model: TinyModel, kind: Kind | None) -> int:
    prompt = model.prompts[kind] if kind else ""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    return len(tokenizer.encode(prompt, add_special_tokens=False).ids)
