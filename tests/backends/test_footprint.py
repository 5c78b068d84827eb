"""What a model takes in memory: predicted before it is loaded, and given back once it is closed."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from emblem.backends.footprint import predicted_bytes
from emblem.errors import ModelError
from emblem.model import Graph, Model, Modules, Sizes
from emblem.models import layout, sizes
from tiny_models import TINY_MODELS, write

MIB = 1 << 20
MEASURE = Path(__file__).with_name("memory_of_a_model.py")


@pytest.fixture
def tiny(tmp_path: Path) -> Model:
    return layout.read(write(TINY_MODELS[0], tmp_path / "tiny"), "tiny")


def graph(tiny: Model, file: Path, *others: Path) -> Model:
    return replace(tiny, encoder=Graph(file, 32, 64), weights=(file, *others))


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(
    ("name", "streams"), [("all-MiniLM-L6-v2", 1), ("all-MiniLM-L6-v2", 2), ("wordllama-256", 1)]
)
def test_a_model_takes_no_more_than_predicted_and_gives_it_back(
    name: str, streams: int, model_home: Path, tmp_path: Path
) -> None:
    first = write(TINY_MODELS[0], tmp_path / "first")
    done = subprocess.run(
        [sys.executable, str(MEASURE), str(streams), str(first), str(model_home / "models" / name)],
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=True,
    )
    found = json.loads(done.stdout)
    assert found["used"] <= found["predicted"] < 3 * found["used"]
    assert found["left"] < found["used"] / 2


def test_numbers_that_are_multiplied_are_kept_three_times_and_tables_once(tiny: Model) -> None:
    few = Sizes(0, 0, quantised=False, tokenizer_bytes=0, unigram=False)
    million = replace(few, numbers=1_000_000)
    nothing = predicted_bytes(tiny, few, streams=1)
    assert predicted_bytes(tiny, million, streams=1) - nothing == 12_000_000
    looked_up = replace(million, tables=1_000_000)
    assert predicted_bytes(tiny, looked_up, streams=1) - nothing == 4_000_000
    rounded_here = replace(million, whole=1_000_000)
    assert predicted_bytes(tiny, rounded_here, streams=1) - nothing == 3_000_000
    eight_bits = replace(million, quantised=True)
    assert predicted_bytes(tiny, eight_bits, streams=1) - nothing == 15_000_000
    assert predicted_bytes(tiny, few, streams=3) > predicted_bytes(tiny, few, streams=2)
    side_by_side = predicted_bytes(tiny, few, streams=2)
    assert side_by_side > nothing
    assert predicted_bytes(tiny, million, streams=2) - side_by_side == 20_000_000
    assert predicted_bytes(tiny, looked_up, streams=2) - side_by_side == 4_000_000


def test_torch_is_counted_with_its_library(tiny: Model) -> None:
    million = Sizes(1_000_000, 0, quantised=False, tokenizer_bytes=0, unigram=False)
    whole = replace(tiny, encoder=Modules(Path("folder"), 32, 64))
    assert predicted_bytes(whole, million, streams=1) > 400 * MIB + 6_000_000


def test_a_vocabulary_of_unigrams_takes_more(tiny: Model) -> None:
    one = Sizes(0, 0, quantised=False, tokenizer_bytes=1_000_000, unigram=False)
    more = predicted_bytes(tiny, replace(one, unigram=True), streams=1)
    assert more - predicted_bytes(tiny, one, streams=1) == 22_000_000


def test_the_tensors_of_a_folder_are_counted_without_reading_them(tiny: Model) -> None:
    found = sizes.read(tiny)
    assert found.tables == 32 * 369  # of words, places and kinds
    assert found.numbers == 31040
    assert found.tokenizer_bytes == tiny.tokenization.file.stat().st_size
    assert not found.unigram


def test_the_kind_of_a_tokenizer_is_seen(tmp_path: Path) -> None:
    (spelled,) = (one for one in TINY_MODELS if one.name == "xlmr-mean")
    assert sizes.read(layout.read(write(spelled, tmp_path / "xlmr"), "xlmr")).unigram


@pytest.mark.parametrize(
    ("name", "content", "numbers", "quantised"),
    [
        ("model.onnx", b"x" * 4000, 1000, False),
        ("model_fp16.onnx", b"x" * 4000, 2000, False),
        ("model_O4.onnx", b"x" * 4000, 2000, False),
        ("any.onnx", b"x" * 1987 + b"MatMulInteger", 2000, True),
        ("any.onnx", b"x" * 1984 + b"DequantizeLinear", 2000, True),
        ("any.onnx", b"x" * 1989 + b"MatMulNBits", 4000, True),
        ("empty.onnx", b"", 0, False),
    ],
)
def test_the_numbers_of_onnx_are_told_from_bytes_and_operators(
    tiny: Model, tmp_path: Path, name: str, content: bytes, numbers: int, quantised: bool
) -> None:
    file = tmp_path / name
    file.write_bytes(content)
    found = sizes.read(graph(tiny, file))
    assert (found.numbers, found.quantised) == (numbers, quantised)


def test_the_numbers_of_an_openvino_graph_are_those_of_its_constants(
    tiny: Model, tmp_path: Path
) -> None:
    file = tmp_path / "model.xml"
    constant = '<data element_type="{}" shape="10" offset="0" size="{}" />'
    file.write_text(constant.format("f16", 200) + constant.format("f32", 400))
    assert sizes.read(graph(tiny, file)).numbers == 200
    file.write_text(constant.format("u8", 200))
    assert sizes.read(graph(tiny, file)) == Sizes(
        200, 0, quantised=True, tokenizer_bytes=sizes.read(tiny).tokenizer_bytes, unigram=False
    )


def test_a_file_that_is_gone_is_one_line(tiny: Model, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"gone\.onnx: cannot be read: No such file"):
        sizes.read(graph(tiny, tmp_path / "gone.onnx"))
