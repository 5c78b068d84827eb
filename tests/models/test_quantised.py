"""Folders that ``emblem quantize`` makes: what is in them, and what is refused of them."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from emblem import opening
from emblem.config import Settings
from emblem.errors import EmblemError, ModelError
from emblem.model import Loss, Model, Quantised
from emblem.models import layout, quantised, safetensors
from emblem.models.identity import identify, name_of
from emblem.models.library import QUANTIZE, Library
from emblem.models.quantised import Rounded
from emblem.models.safetensors import Stored, Weights
from tiny_models import TINY_MODELS, TinyModel, write

TINY = TINY_MODELS[0]  # with prompts of its own
LAYERS = tuple(
    f"encoder.layer.{number}.{name}"
    for number in range(TINY.layers)
    for name in (
        *(f"attention.self.{part}" for part in ("query", "key", "value")),
        *("attention.output.dense", "intermediate.dense", "output.dense"),
    )
)
TEXTS = ("the river and the museum", "a search engine", "little light")
SETTINGS = Settings(threads=1)
SPACE = "tiny@0123abcd-4567cdef/32"
LOSS = {"mean": 0.998, "worst": 0.98, "rank": 0.997, "texts": 20}


def make(into: Path, source: Path, kept: tuple[str, ...] = ()) -> Model:
    """Quantise a folder of the tiny model into another."""
    before = layout.read(source, "tiny")
    file = before.weights[0].with_name(quantised.FILE)
    made = Quantised(file, 16, kept, str(before.space), Loss(0.998, 0.98, 0.997, 20), "1.0")
    model = replace(before, quantised=made, licence="MIT", languages=("en",), shortening=False)
    tensors = Rounded(Weights(before.weights), tuple(one for one in LAYERS if one not in kept))
    vectors = opening.embed_with(model, tensors, TEXTS, SETTINGS)
    into.mkdir()
    quantised.fill(into, source, model, tensors, TEXTS, vectors)
    return before


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write(TINY, tmp_path_factory.mktemp("source") / "tiny")
    (folder / "LICENSE").write_text("as you like")
    (folder / "train.py").write_text("raise SystemExit")
    return folder


@pytest.fixture
def folder(tmp_path: Path, source: Path) -> Path:
    make(tmp_path / "made", source, LAYERS[:2])
    return tmp_path / "made"


def test_a_quantised_folder_is_read_as_a_model_in_a_space_of_its_own(
    folder: Path, source: Path
) -> None:
    before, model = layout.read(source, "tiny"), layout.read(folder, "tiny:int8")
    assert model.quantised is not None
    assert (model.quantised.group, model.quantised.kept) == (16, LAYERS[:2])
    assert model.quantised.source == str(before.space)
    assert model.quantised.loss == Loss(0.998, 0.98, 0.997, 20)
    assert model.space.weights == safetensors.digest(model.weights) != before.space.weights
    assert model.space.recipe != before.space.recipe
    assert not model.space.known_recipe
    assert (model.encoder, model.pooling) == (before.encoder, before.pooling)


def test_what_was_known_of_a_model_is_carried_over(folder: Path, source: Path) -> None:
    model = layout.read(folder, "tiny:int8")
    assert (model.licence, model.languages, model.shortening) == ("MIT", ("en",), False)
    assert model.prompts == layout.read(source, "tiny").prompts
    assert (folder / "LICENSE").read_text() == "as you like"
    assert not (folder / "train.py").exists()


def test_the_scheme_belongs_to_the_space(folder: Path) -> None:
    before = layout.read(folder, "tiny").space
    edit(folder, kept=[LAYERS[0]])
    after = layout.read(folder, "tiny", backend="openvino").space
    assert (before.weights, before.width) == (after.weights, after.width)
    assert before.recipe != after.recipe


def test_its_tensors_are_int8_with_scales_and_the_others_as_they_were(
    folder: Path, source: Path
) -> None:
    made, plain = Weights([folder / "model.safetensors"]), Weights([source / "model.safetensors"])
    for name in plain:
        layer = name.removesuffix(".weight")
        if layer in LAYERS[2:]:
            assert made.dtype(name) == "I8"
            near = made.whole(name) * made[f"{layer}.weight_scale"]
            assert np.abs(near - plain[name]).max() <= made[f"{layer}.weight_scale"].max() * 0.5001
        else:
            assert np.array_equal(made[name], plain[name])
    assert len(made) == len(plain) + len(LAYERS[2:])


def test_a_checkpoint_in_half_precision_is_rounded_too(tmp_path: Path) -> None:
    half = write(TinyModel("half", "bert", half=True, prefix="bert."), tmp_path / "half")
    weights = Weights([half / "model.safetensors"])
    tensors = Rounded(weights, ("bert.encoder.layer.0.output.dense",))
    kinds = {name: one.dtype for name, one in tensors.stored().items()}
    assert kinds["bert.encoder.layer.0.output.dense.weight"] == "I8"
    assert kinds["bert.encoder.layer.0.output.dense.weight_scale"] == "F32"
    assert kinds["bert.encoder.layer.0.output.dense.bias"] == "F16"
    assert len(tensors) == len(weights) + 1
    assert set(tensors) == set(kinds)


def test_a_written_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    arrays = {
        "a": np.arange(6, dtype=np.float32).reshape(2, 3),
        "b": np.array([[1], [-128]], np.int8),
    }
    safetensors.write(tmp_path / "x", {name: Stored.of(one) for name, one in arrays.items()})
    found = Weights([tmp_path / "x"], eight_bits=True)
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype
        assert np.array_equal(found[name], array)


def test_int8_is_read_only_where_the_folder_says_what_it_stands_for(folder: Path) -> None:
    (folder / quantised.FILE).unlink()
    with pytest.raises(ModelError, match=r"tensor .* is I8; F32, F16, BF16 and F64 are read"):
        opening.open_model(folder, "tiny", SETTINGS)


def edit(folder: Path, **fields: object) -> None:
    file = folder / quantised.FILE
    said = {**json.loads(file.read_text()), **fields}
    file.write_text(json.dumps({key: value for key, value in said.items() if value is not None}))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"format": 2}, "format 2 and scheme .* are not understood"),
        ({"scheme": "int4"}, "scheme 'int4' are not understood, only 1 and 'int8 weights"),
        ({"group": 0}, "group: is 0, not a multiple of 16"),
        ({"group": 24}, "group: is 24, not a multiple of 16"),
        ({"group": 64}, "group: is 64, which does not divide the 32 numbers"),
        ({"group": "16"}, r"is not what emblem quantize writes: .*group"),
        ({"loss": None}, "is not what emblem quantize writes: .*loss"),
        ({"loss": LOSS | {"mean": -1e9}}, "loss: mean -1000000000.0 and rank 0.997 are not what"),
        ({"loss": LOSS | {"rank": 0.9}}, "loss: mean 0.998 and rank 0.9 .* 0.995 and 0.995 at l"),
        ({"more": 1}, "is not what emblem quantize writes: .*more"),
        ({"kept": [LAYERS[5]]}, f"kept: {LAYERS[5]} is no layer that stayed as it was"),
        ({"kept": ["nothing"]}, "kept: nothing is no layer that stayed as it was"),
    ],
)
def test_what_is_not_understood_of_a_folder_is_named(
    folder: Path, fields: dict[str, object], said: str
) -> None:
    edit(folder, **fields)
    with pytest.raises(ModelError, match=said) as caught:
        layout.read(folder, "tiny")
    assert str(folder / quantised.FILE) in str(caught.value)


def test_a_file_that_is_no_json_is_named(folder: Path) -> None:
    (folder / quantised.FILE).write_bytes(b"\xff{")
    with pytest.raises(ModelError, match=r"quantization\.json: is not what emblem quantize writes"):
        layout.read(folder, "tiny")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda own: own.pop(f"{LAYERS[3]}.weight_scale"), f"{LAYERS[3]} has int8 weights or scal"),
        (
            lambda own: [
                own.pop(name) for name in [*own] if own[name].dtype == "I8" or "_scale" in name
            ],
            "nothing has int8",
        ),
    ],
)
def test_tensors_that_are_not_what_is_said_are_named(
    folder: Path, change: Callable[[dict[str, Stored]], object], said: str
) -> None:
    weights = Weights([folder / "model.safetensors"])
    tensors = {name: weights.stored(name) for name in weights}
    tensors = {name: replace(one, data=one.data.copy()) for name, one in tensors.items()}
    change(tensors)
    safetensors.write(folder / "model.safetensors", tensors)
    with pytest.raises(ModelError, match=said):
        layout.read(folder, "tiny")


def test_a_model_whose_vectors_are_not_those_it_came_with_does_not_open(folder: Path) -> None:
    asyncio.run(opening.open_model(folder, "tiny", SETTINGS).aclose())
    file = folder / quantised.FILE
    said = json.loads(file.read_text())
    said["canaries"][0]["vector"], said["canaries"][1]["vector"] = (
        said["canaries"][1]["vector"],
        said["canaries"][0]["vector"],
    )
    file.write_text(json.dumps(said))
    with pytest.raises(ModelError, match="canaries: the vectors of 3 texts are not those"):
        opening.open_model(folder, "tiny", SETTINGS)


@pytest.mark.parametrize("canaries", [[], [{"text": "a", "vector": "AAAAAA=="}]])
def test_canaries_of_another_width_are_refused(folder: Path, canaries: list[object]) -> None:
    edit(folder, canaries=canaries)
    with pytest.raises(ModelError, match="canaries: are not vectors of 32 numbers"):
        opening.open_model(folder, "tiny", SETTINGS)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"variant": "onnx"}, "there is no variant onnx; there is: int8"),
        ({"backend": "torch"}, 'which backend = "torch" rules out'),
    ],
)
def test_it_is_run_in_one_way_only(folder: Path, options: dict[str, str], said: str) -> None:
    layout.read(folder, "tiny", variant="int8", backend="openvino")
    with pytest.raises(ModelError, match=said):
        layout.read(folder, "tiny", **options)


# -- names and places ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reference", "name"),
    [
        ("minilm-of-mine:int8", "minilm-of-mine:int8"),
        ("all-minilm:int8", "all-MiniLM-L6-v2:int8"),
        ("org/name:int8", "org/name:int8"),
    ],
)
def test_what_is_made_here_is_called_by_its_source_and_int8(reference: str, name: str) -> None:
    assert name_of(reference) == name
    assert identify(reference).variant == "int8"


@pytest.mark.parametrize("reference", ["mine:int4", "mine:int8@main", "a..b:int8", "a--b:int8"])
def test_no_other_name_stands_for_what_is_nowhere(reference: str) -> None:
    with pytest.raises(ModelError, match="is no model that Emblem knows"):
        identify(reference)


def test_what_is_made_is_kept_whole_found_listed_and_removed(tmp_path: Path, source: Path) -> None:
    library = Library(tmp_path / "home", sources=())
    name = "mine:int8"
    with pytest.raises(ModelError, match=r"mine:int8 is not here.*run: emblem quantize mine$"):
        library.fetch(name)
    (tmp_path / "made").mkdir()

    def fill(into: Path) -> None:
        (into / "file").write_text("content")

    folder = library.keep(name, "abc", SPACE, fill)
    assert library.find(name) == library.fetch(name) == folder
    (found,) = library.all_installed()
    assert (found.name, found.manifest.source, found.manifest.revision) == (name, QUANTIZE, "abc")
    library.keep(name, None, SPACE, fill)  # again, in its place
    (folder / "file").write_text("damaged")
    with pytest.raises(ModelError, match="not here, or not whole"):
        library.fetch(name)
    library.remove(name)
    assert library.installed() == []


def test_what_fails_to_be_made_leaves_what_was_there_before(tmp_path: Path) -> None:
    library = Library(tmp_path / "home", sources=())
    folder = library.keep(
        "mine:int8", None, SPACE, lambda into: void((into / "file").write_text("first"))
    )

    def fail(into: Path) -> None:
        (into / "file").write_text("half")
        raise ModelError("not what it must be")

    with pytest.raises(ModelError, match="not what it must be"):
        library.keep("mine:int8", None, SPACE, fail)
    assert (folder / "file").read_text() == "first"
    assert [one.name for one in folder.parent.iterdir() if not one.name.startswith(".")] == [
        folder.name
    ]
    assert not list(folder.parent.glob(".partial*"))


def void(_: object) -> None:
    """Drop a value."""


def test_a_model_that_was_pulled_is_not_replaced(tmp_path: Path) -> None:
    library = Library(tmp_path / "home", sources=())
    folder = library.keep(
        "org/name:int8", None, SPACE, lambda into: void((into / "f").write_text("x"))
    )
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, "source": "hub"}))
    with pytest.raises(EmblemError, match="is here and was pulled; give the new one another name"):
        library.keep("org/name:int8", None, SPACE, lambda into: void((into / "f").write_text("y")))
    assert (folder / "f").read_text() == "x"


def test_what_was_made_from_one_model_is_replaced_only_by_what_is_made_from_it(
    tmp_path: Path, folder: Path
) -> None:
    library = Library(tmp_path / "home", sources=())
    said = (folder / quantised.FILE).read_text()
    source = json.loads(said)["source"]

    def fill(into: Path) -> None:
        (into / quantised.FILE).write_text(said)

    kept = library.keep("mine:int8", None, source, fill)
    library.keep("mine:int8", None, source.replace("tiny", "renamed") + "+truncate", fill)
    refusal = r"mine:int8 is here and was made from tiny@.*, not tiny@0123abcd.*--name.*emblem rm"
    with pytest.raises(ModelError, match=refusal):
        library.keep("mine:int8", None, SPACE, lambda _: pytest.fail("was begun"))
    with pytest.raises(ModelError, match=refusal):
        library.check_free("mine:int8", SPACE)
    (kept / quantised.FILE).write_text("damaged")  # and so nothing that anybody could use
    library.check_free("mine:int8", SPACE)
    library.remove("mine:int8")
    library.check_free("mine:int8", SPACE)
