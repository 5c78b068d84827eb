"""What a quantised model is called, and what is known of it under that name."""

import shutil
from pathlib import Path

import pytest

from emblem import serving
from emblem.cli.quantize import _called, _quantised
from emblem.cli.quantize_texts import built_in, spread
from emblem.config import ModelSettings, Settings
from emblem.errors import ConfigError, ModelError
from emblem.models import quantised
from tiny_models import TINY_MODELS, write

TEXTS = spread(built_in(), 20)
MEAN, CLS = TINY_MODELS[:2]


def settings_of(home: Path, **models: ModelSettings) -> Settings:
    return Settings(home=str(home), threads=1, sources=(), models=models)


def called(folder: Path, name: str | None) -> str:
    settings = settings_of(folder.parent / "h")
    return _called(name, str(folder), serving.model(str(folder), settings), settings)


@pytest.mark.parametrize(
    ("folder", "name", "given"),
    [
        ("support", None, "support:int8"),
        ("support", "swift", "swift:int8"),
        ("support", "swift:int8", "swift:int8"),
        ("my model", "swift", "swift:int8"),
        ("all-MiniLM-L6-v2", "swift", "swift:int8"),
    ],
)
def test_a_folder_gives_its_last_part_unless_a_name_is_given(
    tmp_path: Path, folder: str, name: str | None, given: str
) -> None:
    assert called(write(MEAN, tmp_path / folder), name) == given


@pytest.mark.parametrize(
    ("folder", "name", "said"),
    [
        ("mod:el", None, "'mod:el' can be no name"),
        ("my model", None, "'my model' can be no name"),
        ("all-MiniLM-L6-v2", None, "is a model of the catalogue, and not what is quantised; give"),
        ("all-minilm", None, "is a model of the catalogue, and not what is quantised; give"),
        ("text-embedding-3-small", None, "stands for something else; give it another name with"),
        ("m", "", "--name '': can be no name"),
        ("m", ":int8", "--name '': can be no name"),
        ("m", "a:b", "--name 'a:b': can be no name"),
        ("m", "org/name", "--name 'org/name': can be no name"),
        ("m", "../../x", "--name '../../x': can be no name"),
        ("m", "bge-m3", "--name 'bge-m3': is a model of the catalogue, and not what is quantised"),
        ("m", "int8", "--name 'int8': stands for something else"),
        ("m", "cl100k_base", "--name 'cl100k_base': stands for something else"),
        ("m", "text-embedding-3-small:int8", "--name 'text-embedding-3-small': stands for some"),
    ],
)
def test_a_name_that_is_none_or_means_something_else_is_refused(
    tmp_path: Path, folder: str, name: str | None, said: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        called(write(MEAN, tmp_path / folder), name)
    assert said in str(caught.value)
    assert "--name NAME" in str(caught.value)


def test_a_copy_of_a_catalogue_model_may_have_its_name(tmp_path: Path, minilm_folder: Path) -> None:
    for name in ("all-MiniLM-L6-v2", "copy"):
        copy = shutil.copytree(minilm_folder, tmp_path / name)
        assert called(copy, None) == f"{name}:int8"
    assert called(copy, "all-minilm") == "all-MiniLM-L6-v2:int8"


def test_what_emblem_toml_names_is_called_so_unless_that_means_another(tmp_path: Path) -> None:
    folder = write(MEAN, tmp_path / "m")
    own = ModelSettings(source=str(folder))
    settings = settings_of(tmp_path / "h", **{"mine": own, "org/name": own, "bge-m3": own})
    before = serving.model("mine", settings)
    assert _called(None, "mine", before, settings) == "mine:int8"
    for other in ("org/name", "bge-m3"):
        with pytest.raises(
            ConfigError, match=f"'{other}' (can be no name|is a model of the catalogue)"
        ):
            _called(None, other, before, settings)


def test_two_folders_of_one_name_do_not_replace_each_other(tmp_path: Path) -> None:
    first, second = write(MEAN, tmp_path / "a" / "model"), write(CLS, tmp_path / "b" / "model")
    settings = settings_of(tmp_path / "h")
    made = _quantised(str(first), None, TEXTS, [], settings)
    with pytest.raises(ModelError, match=r"model:int8 is here and was made from model@.*--name"):
        _quantised(str(second), None, TEXTS, [], settings)
    assert quantised.source_of(Path(made.folder)) == made.source
    again = _quantised(str(first), None, TEXTS, ["value"], settings)
    assert (again.folder, len(again.kept)) == (made.folder, 2)
    other = _quantised(str(second), "second", TEXTS, [], settings)
    assert (other.name, other.folder == made.folder) == ("second:int8", False)


def test_a_name_of_the_catalogue_alone_tells_nothing_of_what_was_quantised(
    tmp_path: Path,
) -> None:
    settings = settings_of(tmp_path / "h")
    made = _quantised(str(write(CLS, tmp_path / "m")), None, TEXTS, [], settings)
    # As an older Emblem could have called it.
    library, name = serving.open_library(settings), "multilingual-e5-small:int8"
    library.keep(name, None, made.source, lambda into: copied(Path(made.folder), into))
    model = serving.model(name, settings)
    assert model.quantised is not None
    assert (model.licence, model.languages) == ("", ())
    assert not model.prompts  # and those of multilingual-e5-small are needed


def copied(folder: Path, into: Path) -> None:
    shutil.copytree(folder, into, dirs_exist_ok=True, ignore=shutil.ignore_patterns("manifest*"))
