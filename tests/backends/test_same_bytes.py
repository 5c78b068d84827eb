"""The same sequence gives the same bytes, whatever shares its row and however many threads run it."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from math import inf
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emblem.backends import graphs
from emblem.backends.openvino import OpenVINOBackend, OpenVINOStream
from emblem.core.head import Head
from emblem.core.pack import Line, Waiting
from emblem.core.quantise import group_of
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
    # As wide as TinyBERT: no number here is a power of two, and no head fills a vector unit.
    "bert-312": Bert("bert", 1, 12, 312, 1200, LONGEST, 0, 1e-12, "gelu"),
    "roberta": Bert("roberta", 2, 4, 64, 96, LONGEST + 2, 2, 1e-5, "gelu"),
    "modernbert": ModernBert(4, 64, 96, LONGEST, (False, True, True), 20, 1e4, 1.6e5, 1e-5, "gelu"),
    "nomic_bert": NomicBert(2, 4, 64, 96, LONGEST, 1000.0, 1e-12),
}
HEAD = Head(Pooling(), normalise=True)

# What a vector unit does not fill, what it just fills, what is beyond it, and what a row holds.
EDGES = [1, 2, 15, 16, 17, 31, 32, 33, 48, 63, 64, 65, 96, 127, 128, 129, 200, 255, 256, 257, 511]


def lengths_up_to(longest: int) -> st.SearchStrategy[int]:
    return st.one_of(
        st.integers(1, 40),
        st.sampled_from([length for length in (*EDGES, longest) if length <= longest]),
        st.integers(1, longest),
    )


@dataclass(frozen=True)
class Encoding:
    """A backend of two streams, whose rows run alone on two threads or beside others on one each."""

    backend: OpenVINOBackend
    streams: tuple[OpenVINOStream, OpenVINOStream]
    vocabulary: int

    @classmethod
    def of(
        cls, encoder: Encoder, weights: Weights, vocabulary: int, *, eight_bits: bool
    ) -> "Encoding":
        linears = graphs.build(encoder, weights).linears
        widths = [weights.shape(f"{name}.weight")[1] for name in linears]
        group = group_of(widths, 128) if eight_bits else 0
        assert bool(group) == eight_bits
        tensors = Rounded(weights, linears) if eight_bits else weights
        backend = OpenVINOBackend(encoder, tensors, threads=2, streams=2, group=group)
        return cls(backend, (backend.stream(), backend.stream()), vocabulary)

    def sequences(self, lengths: list[int], seed: int) -> list[np.ndarray]:
        dice = np.random.default_rng(seed)
        return [dice.integers(5, self.vocabulary, n).astype(np.int32) for n in lengths]

    def rows(self, lengths: list[int]) -> list[list[int]]:
        """Give the sequences of each row as an engine forms them, of requests of three."""
        line = Line()
        first: dict[Waiting, int] = {}
        for start in range(0, len(lengths), 3):
            some = lengths[start : start + 3]
            waiting = Waiting.of(some, inf, str(start % 2))
            first[waiting] = start
            line.add(waiting)
        rows = []
        while parts := line.take(self.backend.row_tokens, now=0.0).parts:
            rows.append([first[part.waiting] + index for part in parts for index in part.indices])
        return rows

    def found(self, sequences: list[np.ndarray], stream: int = 0) -> list[bytes]:
        """Run a row: each sequence's states and vector, as bytes."""
        lengths = np.array([len(one) for one in sequences], np.int32)
        row = Row(np.concatenate(sequences), lengths)
        states = self.streams[stream].run(row)
        vectors = HEAD.vectors(states, row)
        ends = np.cumsum([0, *lengths])
        return [
            states[start:end].tobytes() + vector.tobytes()
            for (start, end), vector in zip(pairwise(ends), vectors, strict=True)
        ]

    def beside(self, sequences: list[np.ndarray]) -> list[bytes]:
        """Do the same as if another row was running."""
        with self.backend._execution.turn():  # not left to luck
            return self.found(sequences)

    def agree(self, lengths: list[int], seed: int) -> None:
        """Run sequences in rows, alone and beside one another, and each of them alone."""
        sequences = self.sequences(lengths, seed)
        alone = [self.found([one])[0] for one in sequences]
        for one, expected in zip(sequences, alone, strict=True):
            assert self.beside([one]) == [expected], f"{len(one)} tokens, on fewer threads"
        rows = self.rows(lengths)
        assert sorted(index for row in rows for index in row) == list(range(len(lengths)))
        with ThreadPoolExecutor(2) as threads:
            at_once = [
                threads.submit(self._run_rows, stream, sequences, order)
                for stream, order in enumerate((rows, rows[::-1]))
            ]
            results = [result for each in at_once for result in each.result()]
        results += [(row, self.beside([sequences[n] for n in row])) for row in rows]
        results += [(row, self.found([sequences[n] for n in row])) for row in rows]
        for row, got in results:
            for index, bits in zip(row, got, strict=True):
                assert bits == alone[index], f"{lengths[index]} among {[lengths[n] for n in row]}"

    def _run_rows(
        self, stream: int, sequences: list[np.ndarray], rows: list[list[int]]
    ) -> list[tuple[list[int], list[bytes]]]:
        return [(row, self.found([sequences[n] for n in row], stream)) for row in rows]


@pytest.fixture(scope="module", params=[False, True], ids=["float32", "int8"])
def eight_bits(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


# Of 312 no group can be made that eight bits need.
CASES = [
    (name, bits)
    for name in sorted(TINY)
    for bits in (False, True)
    if name != "bert-312" or not bits
]


@pytest.fixture(
    scope="module", params=CASES, ids=lambda case: f"{case[0]}-{'int8' if case[1] else 'float32'}"
)
def tiny(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Encoding:
    name, eight_bits = request.param
    encoder = TINY[name]
    written = TinyModel(
        "same",
        "xlm-roberta" if encoder.family == "roberta" else encoder.family,
        hidden=encoder.hidden,
        heads=encoder.heads,
        layers=encoder.layers,
        intermediate=encoder.intermediate,
        positions=encoder.positions,
    )
    folder = write(written, tmp_path_factory.mktemp("same") / name)
    weights = Weights((folder / "model.safetensors",))
    return Encoding.of(encoder, weights, VOCABULARY, eight_bits=eight_bits)


@given(lengths=st.lists(lengths_up_to(LONGEST - 4), min_size=1, max_size=8), seed=st.integers(0, 9))
@settings(max_examples=5, deadline=None)
def test_a_sequence_of_any_family_has_the_same_bytes_in_every_row(
    tiny: Encoding, lengths: list[int], seed: int
) -> None:
    tiny.agree(lengths, seed)


@pytest.mark.parametrize("lengths", [[1, 1], [1, 2, 3], [100, 5, 11, 7, 1, 4]])
def test_a_token_has_the_same_bytes_alone_as_beside_others(
    tiny: Encoding, lengths: list[int]
) -> None:
    tiny.agree(lengths, 3)


@pytest.fixture(scope="module")
def minilm(minilm_folder: Path, eight_bits: bool) -> Encoding:
    model = layout.read(minilm_folder, "all-MiniLM-L6-v2", overflow=Overflow.MEAN)
    assert isinstance(model.encoder, Bert)
    return Encoding.of(model.encoder, Weights(model.weights), 28_000, eight_bits=eight_bits)


@given(lengths=st.lists(lengths_up_to(512), min_size=1, max_size=6), seed=st.integers(0, 9))
@settings(max_examples=3, deadline=None)
def test_a_sequence_of_minilm_has_the_same_bytes_in_every_row(
    minilm: Encoding, lengths: list[int], seed: int
) -> None:
    minilm.agree(lengths, seed)


@pytest.mark.parametrize("lengths", [[48, 47, 448], [448, 31, 35]])
def test_a_row_longer_than_any_that_is_formed_gives_the_same_bytes_too(
    minilm: Encoding, lengths: list[int]
) -> None:
    sequences = minilm.sequences(lengths, 2)
    assert minilm.found(sequences) == [minilm.found([one])[0] for one in sequences]


@pytest.mark.slow
def test_a_sequence_of_minilm_of_every_length_that_shares_a_row_has_the_same_bytes_in_every_row(
    minilm: Encoding,
) -> None:
    order = np.random.default_rng(1).permutation([*range(1, 129), *range(129, 513, 17)]).tolist()
    for start in range(0, len(order), 16):
        minilm.agree(order[start : start + 16], start)
    for seed in range(4):
        minilm.agree([1 + (7 * n + seed) % 40 for n in range(60)], seed)
