"""The same sequence gives the same bytes, whatever shares its row and however many threads run it."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emblem.backends import graphs
from emblem.backends.openvino import OpenVINOBackend
from emblem.core.head import Head
from emblem.model import Bert, Encoder, ModernBert, NomicBert, Pooling
from emblem.models import layout
from emblem.models.quantised import Rounded
from emblem.models.safetensors import Weights
from emblem.types import Overflow, Row
from tiny_models import TinyModel, write

VOCABULARY = 50
LONGEST = 300
TINY: dict[str, Encoder] = {
    "bert": Bert("bert", 2, 4, 64, 96, LONGEST, 0, 1e-12, "gelu"),
    "roberta": Bert("roberta", 2, 4, 64, 96, LONGEST + 2, 2, 1e-5, "gelu"),
    "modernbert": ModernBert(4, 64, 96, LONGEST, (False, True, True), 20, 1e4, 1.6e5, 1e-5, "gelu"),
    "nomic_bert": NomicBert(2, 4, 64, 96, LONGEST, 1000.0, 1e-12),
}
HEAD = Head(Pooling(), normalise=True)
GROUP = 32

# What a vector unit does not fill, what it just fills, and what is beyond it.
LENGTHS = st.one_of(
    st.integers(1, 40),
    st.sampled_from([16, 32, 48, 63, 64, 65, 127, 128, 129, 200, 255, 256]),
    st.integers(1, LONGEST - 4),
)
Run = Callable[[list[np.ndarray]], list[bytes]]


def weights_of(encoder: Encoder, folder: Path) -> Weights:
    tiny = TinyModel(
        "same",
        "xlm-roberta" if encoder.family == "roberta" else encoder.family,
        hidden=64,
        heads=4,
        layers=encoder.layers,
        intermediate=96,
        positions=encoder.positions,
    )
    write(tiny, folder)
    return Weights((folder / "model.safetensors",))


def runner(encoder: Encoder, weights: Weights, *, group: int, threads: int) -> Run:
    """Give each sequence's states and vector, as bytes."""
    tensors = Rounded(weights, graphs.build(encoder, weights).linears) if group else weights
    backend = OpenVINOBackend(encoder, tensors, threads=threads, group=group)
    stream = backend.stream()

    def run(sequences: list[np.ndarray]) -> list[bytes]:
        lengths = np.array([len(one) for one in sequences], np.int32)
        row = Row(np.concatenate(sequences), lengths)
        states = stream.run(row)
        vectors = HEAD.vectors(states, row)
        ends = np.cumsum([0, *lengths])
        return [
            states[start:end].tobytes() + vector.tobytes()
            for (start, end), vector in zip(pairwise(ends), vectors, strict=True)
        ]

    return run


def ids(length: int, seed: int, vocabulary: int) -> np.ndarray:
    return np.random.default_rng([length, seed]).integers(5, vocabulary, length).astype(np.int32)


def agree(run: Run, other: Run, lengths: list[int], seed: int, vocabulary: int) -> None:
    """Run sequences together, in another order, and each alone with ``other``."""
    sequences = [ids(length, seed + place, vocabulary) for place, length in enumerate(lengths)]
    together = run(sequences)
    assert run(sequences[::-1])[::-1] == together
    for sequence, found in zip(sequences, together, strict=True):
        assert other([sequence]) == [found], f"{len(sequence)} tokens among {lengths}"


@pytest.fixture(scope="module", params=[0, GROUP], ids=["float32", "int8"])
def group(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture(scope="module", params=sorted(TINY))
def tiny(
    request: pytest.FixtureRequest, group: int, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Run, Run]:
    """A small encoder on one thread and on two."""
    encoder = TINY[request.param]
    weights = weights_of(encoder, tmp_path_factory.mktemp("same") / request.param)
    one, two = (runner(encoder, weights, group=group, threads=n) for n in (1, 2))
    return one, two


@given(lengths=st.lists(LENGTHS, min_size=1, max_size=8), seed=st.integers(0, 999))
@settings(max_examples=20, deadline=None)
def test_a_sequence_of_any_family_has_the_same_bytes_in_every_row(
    tiny: tuple[Run, Run], lengths: list[int], seed: int
) -> None:
    agree(*tiny, lengths, seed, VOCABULARY)


@pytest.fixture(scope="module")
def minilm(minilm_folder: Path, group: int) -> tuple[Run, Run]:
    model = layout.read(minilm_folder, "all-MiniLM-L6-v2", overflow=Overflow.MEAN)
    assert isinstance(model.encoder, Bert)
    one, two = (
        runner(model.encoder, Weights(model.weights), group=4 * group, threads=n) for n in (1, 2)
    )
    return one, two


@given(lengths=st.lists(LENGTHS, min_size=1, max_size=6), seed=st.integers(0, 999))
@settings(max_examples=15, deadline=None)
def test_a_sequence_of_minilm_has_the_same_bytes_in_every_row(
    minilm: tuple[Run, Run], lengths: list[int], seed: int
) -> None:
    agree(*minilm, lengths, seed, 28_000)
