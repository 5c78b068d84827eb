"""Emblem against sentence-transformers itself, run by another Python; see ``make test-slow``.

``EMBLEM_TORCH_PYTHON`` names a Python that has sentence-transformers and tokenizers.
"""

import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import pytest

from agreement import disagreements, embed
from emblem.types import Kind, Vectors
from golden_texts import few, many
from tiny_models import TinyModel, write

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).parents[1] / "scripts" / "make_golden.py"
FAMILIES = ("bert", "roberta", "xlm-roberta", "modernbert", "nomic_bert")
MODES = ("cls", "mean", "max", "mean_sqrt_len_tokens", "weightedmean", "lasttoken")
PROMPTS = {"query": "find the passage for: ", "document": "text: "}


@pytest.fixture(scope="session")
def torch_python() -> str:
    """The Python to compare with. Without one there is nothing to run, and in CI that fails."""
    python = os.environ.get("EMBLEM_TORCH_PYTHON", "")
    if not python or not Path(python).exists():
        message = "EMBLEM_TORCH_PYTHON names no Python with sentence-transformers"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return python


def theirs(
    python: str, scratch: Path, jobs: list[tuple[Path, list[str], Kind | None]]
) -> list[Vectors]:
    """Encode with sentence-transformers, one process for all jobs."""
    outs = [scratch / f"{index}.npy" for index in range(len(jobs))]
    written = [
        {"folder": str(folder), "texts": texts, "prompt": kind, "out": str(out)}
        for (folder, texts, kind), out in zip(jobs, outs, strict=True)
    ]
    (scratch / "jobs.json").write_text(json.dumps(written), encoding="ascii")
    subprocess.run(
        [python, str(SCRIPT), "encode", str(scratch / "jobs.json")],
        check=True,
        timeout=900,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )
    return [np.load(out) for out in outs]


def random_model(chance: Random, family: str, modes: tuple[str, ...]) -> TinyModel:
    """Make up a model of a family with those poolings."""
    heads = chance.choice((1, 2, 4))
    return TinyModel(
        name=f"{family}-{'-'.join(modes)}-{chance.randrange(10_000)}",
        family=family,
        modes=modes,
        normalise=chance.random() < 0.5,
        prompts=PROMPTS,
        include_prompt=chance.random() < 0.5,
        max_seq_length=chance.choice((41, 48, 61)),
        hidden=heads * chance.choice((8, 12)),
        heads=heads,
        layers=chance.choice((1, 3)),
        intermediate=chance.choice((30, 64)),
        activation=chance.choice(("gelu", "relu", "gelu_new")),
        config=random_config(chance, family),
        lowercase=chance.random() < 0.3,
        half=chance.random() < 0.3,
        legacy=len(modes) == 1 and chance.random() < 0.5,
    )


def random_config(chance: Random, family: str) -> dict[str, object]:
    """Make up what only some families have in their configuration."""
    if family == "modernbert":
        return {
            "local_attention": chance.randrange(2, 40),
            "global_attn_every_n_layers": chance.choice((1, 2, 3)),
            "global_rope_theta": chance.choice((160000.0, 80000.0)),
            "attention_bias": chance.random() < 0.5,
        }
    if family == "nomic_bert":
        return {"rotary_emb_base": chance.choice((1000, 10000.0))}
    return {}


@pytest.mark.parametrize("family", FAMILIES)
def test_random_models_agree_on_random_texts_under_every_pooling(
    family: str, torch_python: str, tmp_path: Path
) -> None:
    chance = Random(family)
    models = [random_model(chance, family, (mode,)) for mode in MODES]
    models += [random_model(chance, family, tuple(chance.sample(MODES, 2))) for _ in range(2)]
    jobs: list[tuple[Path, list[str], Kind | None]] = []
    for model in models:
        folder = write(model, tmp_path / model.name)
        texts = few(chance.randrange(10_000), 60)
        jobs += [(folder, texts, kind) for kind in (None, Kind.QUERY, Kind.DOCUMENT)]
    found = theirs(torch_python, tmp_path, jobs)
    problems = [
        f"{folder.name} as {kind}: {problem}"
        for (folder, texts, kind), expected in zip(jobs, found, strict=True)
        for problem in disagreements(embed(folder, texts, kind=kind)[0], expected, texts)
    ]
    assert problems == []


def test_the_real_model_agrees_on_texts_that_no_golden_file_has(
    torch_python: str, tmp_path: Path, minilm_folder: Path
) -> None:
    texts = many(7)
    (expected,) = theirs(torch_python, tmp_path, [(minilm_folder, texts, None)])
    assert disagreements(embed(minilm_folder, texts)[0], expected, texts) == []


def test_a_model_from_before_the_renaming_of_layer_norms_agrees(
    torch_python: str, tmp_path: Path
) -> None:
    model = replace(random_model(Random(1), "bert", ("mean",)), old_names=True, prefix="bert.")
    folder = write(model, tmp_path / "old")
    texts = few(3)
    (expected,) = theirs(torch_python, tmp_path, [(folder, texts, None)])
    assert disagreements(embed(folder, texts)[0], expected, texts) == []
