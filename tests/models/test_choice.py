"""What runs a model, decided from what it has."""

from dataclasses import replace

import pytest

from emblem.errors import ModelError
from emblem.models import graph_files
from emblem.models.choice import Choice, Engine, Found, choose

NAMES = (
    "README.md",
    "config.json",
    "model.safetensors",
    "onnx/model.onnx",
    "onnx/model.onnx_data",
    "onnx/model.onnx_data_1",
    "onnx/model_quantized.onnx",
    "onnx/model_quantized.onnx.data",
    "onnx/model_qint8_avx512.onnx",
    "onnx/decoder_model.onnx",
    "onnx/deep/model.onnx",
    "model_O4.onnx",
    "openvino/openvino_model.xml",
    "openvino/openvino_model.bin",
    "openvino/openvino_model_quantized.xml",
    "openvino/openvino_model_quantized.bin",
)
GRAPHS = graph_files.variants(NAMES)
OURS = Found("here", graphs=GRAPHS)
FOREIGN = replace(OURS, unknown="its family is not ours")
BEYOND = replace(OURS, beyond="a module is not ours")


def test_every_graph_has_the_name_that_its_file_says() -> None:
    assert dict(GRAPHS) == {
        "openvino": "openvino/openvino_model.xml",
        "quantized": "openvino/openvino_model_quantized.xml",
        "onnx": "onnx/model.onnx",
        "qint8_avx512": "onnx/model_qint8_avx512.onnx",
        "O4": "model_O4.onnx",
    }


def test_a_graph_comes_with_the_files_that_its_numbers_are_in() -> None:
    assert graph_files.parts("onnx/model.onnx", NAMES) == [
        "onnx/model.onnx",
        "onnx/model.onnx_data",
        "onnx/model.onnx_data_1",
    ]
    assert graph_files.parts("onnx/model_quantized.onnx", NAMES) == [
        "onnx/model_quantized.onnx",
        "onnx/model_quantized.onnx.data",
    ]
    assert graph_files.parts("openvino/openvino_model.xml", NAMES) == [
        "openvino/openvino_model.xml",
        "openvino/openvino_model.bin",
    ]


@pytest.mark.parametrize(
    ("names", "given"),
    [
        (["onnx/model.onnx", "openvino/openvino_model.xml"], "openvino/openvino_model.xml"),
        (["model.onnx", "onnx/model.onnx", "onnx/model_O4.onnx"], "onnx/model.onnx"),
        (["model.onnx", "onnx/model_O4.onnx"], "model.onnx"),
        (["onnx/model_O4.onnx"], "onnx/model_O4.onnx"),
        (["onnx/model_O4.onnx", "onnx/model_O3.onnx"], None),
        ([], None),
    ],
)
def test_the_plain_graph_is_the_usual_one_or_the_only_one(
    names: list[str], given: str | None
) -> None:
    assert graph_files.usual(graph_files.variants(names)) == given


@pytest.mark.parametrize("library", [False, True])
@pytest.mark.parametrize(
    ("found", "variant", "backend", "given"),
    [
        (OURS, "", "", Choice(Engine.NATIVE)),
        (OURS, "", "openvino", Choice(Engine.NATIVE)),
        (OURS, "safetensors", "", Choice(Engine.NATIVE)),
        (OURS, "onnx", "", Choice(Engine.GRAPH, "onnx/model.onnx")),
        (OURS, "O4", "openvino", Choice(Engine.GRAPH, "model_O4.onnx")),
        (FOREIGN, "", "", Choice(Engine.GRAPH, "openvino/openvino_model.xml")),
        (FOREIGN, "quantized", "", Choice(Engine.GRAPH, "openvino/openvino_model_quantized.xml")),
        (replace(OURS, safetensors=False), "", "", Choice(Engine.GRAPH, GRAPHS["openvino"])),
    ],
)
def test_what_fits_best_needs_no_library(
    found: Found, variant: str, backend: str, given: Choice, library: bool
) -> None:
    assert choose(replace(found, library=library), variant, backend) == given


@pytest.mark.parametrize(
    ("found", "variant", "backend"),
    [
        (OURS, "", "torch"),
        (FOREIGN, "safetensors", "torch"),
        (FOREIGN, "safetensors", ""),
        (replace(FOREIGN, graphs={}), "", ""),
        (BEYOND, "", ""),
        (BEYOND, "safetensors", ""),
    ],
)
def test_the_library_runs_what_nothing_else_can_and_what_it_is_asked_to(
    found: Found, variant: str, backend: str
) -> None:
    assert choose(replace(found, library=True), variant, backend) == Choice(Engine.LIBRARY)
    with pytest.raises(ModelError, match=r"emblem\[torch\]|is not ours"):
        choose(found, variant, backend)


@pytest.mark.parametrize(
    ("found", "variant", "backend", "why"),
    [
        (OURS, "int3", "", "here: there is no variant int3; there are: safetensors, openvino, qua"),
        (Found("here", safetensors=False), "int3", "", "variant int3; there is none at all"),
        (OURS, "onnx", "torch", 'here: backend = "torch" runs safetensors, and the variant onnx'),
        (OURS, "", "torch", r"the backend torch needs an optional part: pip install 'emblem\[tor"),
        (replace(OURS, safetensors=False), "", "torch", "no model.safetensors, which the backend"),
        (BEYOND, "onnx", "", "a module is not ours; so the variant onnx cannot be run"),
        (replace(BEYOND, library=True), "", "openvino", 'not ours, which backend = "openvino" rul'),
        (replace(FOREIGN, graphs={"O3": "a", "O4": "b"}), "", "", "not ours, or name one of its"),
        (
            replace(FOREIGN, safetensors=False, graphs={"O3": "a", "O4": "b"}, library=True),
            "",
            "",
            "no model.safetensors; name one of its variants: O3, O4",
        ),
    ],
)
def test_what_cannot_be_run_is_told_every_way_out(
    found: Found, variant: str, backend: str, why: str
) -> None:
    with pytest.raises(ModelError, match=why):
        choose(found, variant, backend)
