"""Which of a repository's files are fetched: what is needed to run the model, and no more."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants

import tiny_layouts as tiny
from emblem.errors import ModelError, SourcesExhausted
from emblem.models import extras, layout
from emblem.models.catalog import Repository
from emblem.models.library import Library
from emblem.models.repository import chosen, deciding, needed
from models.small_source import COMMIT, SmallHub, serving

REPOSITORY = Repository("org/open")
DESCRIBING = [
    "1_Pooling/config.json",
    "config.json",
    "modules.json",
    "sentence_bert_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
]
GRAPHS = [
    "onnx/model.onnx",
    "onnx/model.onnx_data",
    "onnx/model_O4.onnx",
    "onnx/config.json",
    "openvino/openvino_model_qint8.xml",
    "openvino/openvino_model_qint8.bin",
    "model.onnx",
]
ALL = [*DESCRIBING, *GRAPHS, "README.md", "model.safetensors", "pytorch_model.bin"]


@pytest.fixture(autouse=True)
def no_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have torch not installed, wherever the tests run."""
    monkeypatch.setattr(extras, "torch_installed", lambda: False)


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """The files that decide about a model whose encoder is not built here."""
    tiny.write_settings("mpnet", tmp_path / "mpnet")
    return tmp_path / "mpnet"


@pytest.fixture
def ours(foreign: Path) -> Path:
    """The same of a model whose encoder is built here."""
    config = json.loads((foreign / "config.json").read_text())
    (foreign / "config.json").write_text(json.dumps({**config, "model_type": "bert"}))
    return foreign


def of(variant: str) -> Repository:
    return Repository("org/open", None, variant)


def test_only_files_that_a_model_is_made_of_are_chosen() -> None:
    wanted = ["0_Transformer/tokenizer.json", "config.json", "sentencepiece.bpe.model", "vocab.txt"]
    others = [
        "README.md",
        "modeling_custom.py",
        "pytorch_model.bin",
        "training_args.bin",
        "model_fp16.safetensors",
        "onnx/config.json",
        "1_Pooling/deep/config.json",
        ".gitattributes",
        ".hidden.json",
        "../up.json",
        "/etc/absolute.json",
        "..\\up.json",
    ]
    assert chosen([*others, *wanted]) == wanted


def test_shards_are_chosen_only_where_there_is_no_whole_file() -> None:
    shards = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    assert chosen(shards) == shards
    assert chosen([*shards, "model.safetensors"]) == ["model.safetensors"]


def test_a_few_small_files_decide_about_the_others() -> None:
    assert deciding("org/open", ALL) == ["1_Pooling/config.json", "config.json", "modules.json"]
    with pytest.raises(ModelError, match=r"org/open: no model\.safetensors; only pytorch_model\.b"):
        deciding("org/open", [*DESCRIBING, "pytorch_model.bin"])


def test_what_is_built_here_is_fetched_as_safetensors(ours: Path) -> None:
    assert needed(ALL, ours, REPOSITORY) == sorted([*DESCRIBING, "model.safetensors"])
    assert needed(ALL, ours, of("safetensors")) == sorted([*DESCRIBING, "model.safetensors"])


def test_without_safetensors_it_is_fetched_as_its_graph(ours: Path) -> None:
    there = [name for name in ALL if name != "model.safetensors"]
    graph = ["onnx/model.onnx", "onnx/model.onnx_data"]
    assert needed(there, ours, REPOSITORY) == sorted([*DESCRIBING, *graph])


def test_what_is_not_built_here_is_fetched_as_its_graph_and_not_twice(foreign: Path) -> None:
    graph = ["onnx/model.onnx", "onnx/model.onnx_data"]
    assert needed(ALL, foreign, REPOSITORY) == sorted([*DESCRIBING, *graph])


@pytest.mark.parametrize(
    ("variant", "files"),
    [
        ("O4", ["onnx/model_O4.onnx"]),
        ("onnx", ["onnx/model.onnx", "onnx/model.onnx_data"]),
        ("qint8", ["openvino/openvino_model_qint8.bin", "openvino/openvino_model_qint8.xml"]),
    ],
)
def test_a_variant_is_fetched_alone(variant: str, files: list[str], ours: Path) -> None:
    assert needed(ALL, ours, of(variant)) == sorted([*DESCRIBING, *files])


def test_a_variant_that_is_not_there_is_answered_with_those_that_are(ours: Path) -> None:
    with pytest.raises(
        ModelError,
        match=r"^org/open: there is no variant int3; there are: safetensors, qint8, onnx, O4$",
    ):
        needed(ALL, ours, of("int3"))


def test_numbers_that_are_missing_beside_a_graph_are_named(ours: Path) -> None:
    there = [name for name in ALL if not name.endswith("qint8.bin")]
    with pytest.raises(ModelError, match=r"^org/open: openvino/openvino_model_qint8\.xml is there"):
        needed(there, ours, of("qint8"))


def test_an_encoder_that_nothing_here_runs_is_not_downloaded(
    foreign: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = [*DESCRIBING, "model.safetensors"]
    with pytest.raises(ModelError, match=r'^org/open/config\.json: model_type: is "mpnet".*torch'):
        needed(there, foreign, REPOSITORY)
    monkeypatch.setattr(extras, "torch_installed", lambda: True)
    assert needed(there, foreign, REPOSITORY) == sorted(there)


def test_layers_come_with_their_weights_whatever_runs_the_encoder(foreign: Path) -> None:
    tiny.write_modules(foreign, ["Transformer", "Pooling", "Dense"])
    tiny.write_dense(tiny.TinyDense(8), foreign / "2_Dense", tiny.HIDDEN)
    layer = ["2_Dense/config.json", "2_Dense/model.safetensors"]
    graph = ["onnx/model.onnx", "onnx/model.onnx_data"]
    assert needed([*ALL, *layer], foreign, REPOSITORY) == sorted([*DESCRIBING, *graph, *layer])
    with pytest.raises(ModelError, match=r"^org/open/2_Dense: no model\.safetensors, and a layer"):
        needed([*ALL, layer[0], "2_Dense/pytorch_model.bin"], foreign, REPOSITORY)


def test_an_encoder_in_a_folder_of_its_own_leaves_the_layers_weights(foreign: Path) -> None:
    tiny.write_modules(foreign, ["Transformer", "Pooling"], "0_Transformer")
    (foreign / "config.json").rename(foreign / "0_Transformer" / "config.json")
    own = ["0_Transformer/config.json", "0_Transformer/model.safetensors"]
    given = needed(["modules.json", *own, "onnx/model.onnx"], foreign, REPOSITORY)
    assert given == ["0_Transformer/config.json", "modules.json", "onnx/model.onnx"]


def test_a_static_model_is_its_safetensors(tmp_path: Path) -> None:
    folder = tiny.write_static(tiny.STATICS[0], tmp_path / "m2v")
    names = ["config.json", "modules.json", "tokenizer.json", "model.safetensors", "model.onnx"]
    assert needed(names, folder, REPOSITORY) == sorted(names[:-1])
    with pytest.raises(ModelError, match=r"^org/open: there is no variant onnx; there is: safeten"):
        needed(names, folder, of("onnx"))


# -- with a hub -------------------------------------------------------------------------------


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SmallHub]:
    """A hub with a DistilBERT: two graphs, and weights that nothing here reads."""
    folder = tiny.write_graph("distilbert", tmp_path / "distilbert")
    (folder / "model.safetensors").write_bytes(bytes(1000))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub-cache"))
    with serving(SmallHub(files_of(folder), "org/open")) as hub:
        template = hub.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "ENDPOINT", hub.url)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        yield hub


def files_of(folder: Path) -> dict[str, bytes]:
    found = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def test_a_model_with_a_graph_is_pulled_and_understood(tmp_path: Path, hub: SmallHub) -> None:
    folder = Library(tmp_path / "home", ("hub",)).fetch("org/open")
    assert layout.read(folder, "m").weights == (folder / "onnx" / "model.onnx",)
    assert not any("safetensors" in path or "quantized" in path for path in hub.requests)
    gets = [path for path in hub.requests if path.startswith("GET") and "config.json" in path]
    assert all(hub.requests[path] == 1 for path in gets)


def test_a_variant_is_pulled_beside_the_plain_model(tmp_path: Path, hub: SmallHub) -> None:
    library = Library(tmp_path / "home", ("hub",))
    plain, quantized = library.fetch("org/open"), library.fetch("org/open:quantized")
    assert plain != quantized
    read = layout.read(quantized, "q", variant="quantized")
    assert read.weights == (quantized / "onnx" / "model_quantized.onnx",)
    assert not (quantized / "onnx" / "model.onnx").exists()
    assert read.space.identity != layout.read(plain, "p").space.identity
    assert layout.read(quantized, "q").space == read.space  # there is no other to choose from


def test_a_variant_that_the_hub_lacks_costs_no_download(tmp_path: Path, hub: SmallHub) -> None:
    with pytest.raises(ModelError, match=r"no variant O4; there are: safetensors, onnx, quantized"):
        Library(tmp_path / "home", ("hub",)).fetch("org/open:O4")
    assert not any(".onnx" in path for path in hub.requests)


def test_a_part_of_a_repository_in_the_cache_gives_the_variant_that_was_asked_for(
    tmp_path: Path, hub: SmallHub
) -> None:
    cached = tmp_path / "hub-cache" / "models--org--open"
    for name, content in hub.files.items():
        if "safetensors" not in name and name != "onnx/model.onnx":
            file = cached / "snapshots" / COMMIT / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text(COMMIT)
    missing = cached / ".no_exist" / COMMIT
    missing.mkdir(parents=True)
    for kind in ("config_sentence_transformers", "special_tokens_map", "added_tokens"):
        (missing / f"{kind}.json").touch()
    library = Library(tmp_path / "home", ("cache",))
    folder = library.fetch("org/open:quantized")
    assert (folder / "onnx" / "model_quantized.onnx").is_file()
    with pytest.raises(SourcesExhausted, match="which of its weights fit best, a part of a repos"):
        library.fetch("org/open")
    with pytest.raises(
        SourcesExhausted, match=r"cache: .*there is no variant onnx; there are: quan"
    ):
        library.fetch("org/open:onnx")
