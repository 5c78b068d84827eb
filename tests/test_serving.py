"""What a configuration serves: names that collide, hints, spaces that a name keeps."""

import logging
import shutil
from pathlib import Path

import pytest

from emblem.config import ModelSettings, Settings
from emblem.errors import ConfigError, SpaceChanged, UnknownModel
from emblem.ledger.sqlite import SqliteLedger
from emblem.names import Names
from emblem.serving import Plan, bind_spaces, check_spaces, hint, plan
from emblem.types import Overflow
from server import linked_home
from tiny_models import TinyModel, write


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, model_home: Path) -> Path:
    return linked_home(tmp_path_factory.mktemp("serving") / "home", model_home)


def settings(home: Path, **given: object) -> Settings:
    return Settings(home=str(home), offline=True, **given)


def tiny(folder: Path, name: str = "tiny", **given: object) -> Path:
    """Make a small model whose folder has that name."""
    return write(TinyModel(name, "bert", **given), folder / name)


def test_two_models_of_one_name_are_refused_and_the_same_one_twice_is_not(
    tmp_path: Path, home: Path
) -> None:
    """Otherwise the second would be answered by the first."""
    one, other = tiny(tmp_path / "a"), tiny(tmp_path / "b", layers=1)
    with pytest.raises(ConfigError, match="two models would be served as `tiny`"):
        plan(settings(home, serve=(str(one), str(other))))
    with pytest.raises(ConfigError, match="two models would be served as `tiny`"):
        plan(settings(home, serve=(str(other),), models={"tiny": ModelSettings(source=str(one))}))
    twice = plan(settings(home, serve=(str(one), f"{one}/")))
    assert [served.name for served in twice.served] == ["tiny"]


def test_a_configured_name_may_be_asked_for_again_by_that_name(tmp_path: Path, home: Path) -> None:
    one = tiny(tmp_path)
    made = plan(settings(home, serve=("mine",), models={"mine": ModelSettings(source=str(one))}))
    assert [served.name for served in made.served] == ["mine"]


@pytest.mark.parametrize("name", ["a b", "a@b", "a\nb"])
def test_a_folder_whose_name_cannot_be_sent_is_refused(
    name: str, tmp_path: Path, home: Path
) -> None:
    folder = tiny(tmp_path).rename(tmp_path / name)
    with pytest.raises(ConfigError, match="give it another name"):
        plan(settings(home, serve=(str(folder),)))


def test_a_damaged_model_that_nobody_asked_for_keeps_no_other_from_being_served(
    tmp_path: Path, model_home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "files").symlink_to(model_home / "files")
    minilm = model_home / "models" / "all-MiniLM-L6-v2"
    (tmp_path / "models" / minilm.name).symlink_to(minilm)
    damaged = tmp_path / "models" / "wordllama-256"
    shutil.copytree(model_home / "models" / "wordllama-256", damaged)
    (damaged / "tokenizer.json").write_bytes(b"{}")
    with caplog.at_level(logging.WARNING):
        made = plan(settings(tmp_path))
    assert list(made.models) == ["all-MiniLM-L6-v2"]
    assert "wordllama-256 is here, and is not served" in caplog.text


def test_a_pin_holds_everything_that_changes_the_vectors(home: Path) -> None:
    """A client that pinned the mean must not get cut texts after a change of the configuration."""
    mean, cut = (
        Names(plan(settings(home, overflow=rule)).served, lambda name: "")
        for rule in (Overflow.MEAN, Overflow.TRUNCATE)
    )
    assert mean.resolve("all-MiniLM-L6-v2@53aa5117").name == "all-MiniLM-L6-v2"
    assert cut.resolve("all-MiniLM-L6-v2@53aa5117+truncate").name == "all-MiniLM-L6-v2"
    with pytest.raises(UnknownModel, match=r"served here as `all-MiniLM-L6-v2@53aa5117\+truncate`"):
        cut.resolve("all-MiniLM-L6-v2@53aa5117")
    # A static model reads any length, so the rule changes nothing about it.
    assert cut.resolve("wordllama-256@64b47a2d").model.space.overflow is Overflow.MEAN


def test_a_change_of_space_names_every_name_at_once_and_error_is_no_change(
    tmp_path: Path, home: Path
) -> None:
    ledger = SqliteLedger(tmp_path / "emblem.db")
    bind_spaces(ledger, plan(settings(home)).served, now=1.0)
    check_spaces(ledger, plan(settings(home, overflow=Overflow.ERROR)).served)
    with pytest.raises(SpaceChanged) as refused:
        check_spaces(ledger, plan(settings(home, overflow=Overflow.TRUNCATE)).served)
    names = "all-MiniLM-L6-v2 text-embedding-3-small text-embedding-3-large text-embedding-ada-002"
    assert f"emblem rebind {names}" in str(refused.value)
    assert "all-MiniLM-L6-v2@53aa5117/384+truncate" in str(refused.value)
    ledger.close()


def test_a_hint_says_what_would_help(home: Path) -> None:
    default = plan(settings(home))
    explicit = plan(settings(home, serve=("wordllama-256",)))
    assert "served here as `all-MiniLM-L6-v2`" in hint(
        default, "sentence-transformers/all-MiniLM-L6-v2"
    )
    assert "add it to the models of" in hint(explicit, "all-MiniLM-L6-v2")
    assert "[aliases.text-embedding-3-small]" in hint(explicit, "text-embedding-3-small")
    assert "emblem pull org/new" in hint(default, "org/new")
    assert "Did you mean all-MiniLM-L6-v2" in hint(default, "all-minilm-l6-v3")
    without = Plan(settings(home), (), None)
    assert "emblem pull wordllama-256" in hint(without, "wordllama-256")
