"""What a configuration serves: names that collide, hints, spaces that a name keeps."""

import logging
import shutil
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from emblem.config import ModelSettings, Settings
from emblem.core.amount import size
from emblem.errors import ConfigError, ModelError, SpaceChanged, UnknownModel
from emblem.hints import hint
from emblem.ledger.opening import open_ledger
from emblem.models import catalog
from emblem.models.catalog import Asset, Repository
from emblem.models.shelf import Manifest, seals
from emblem.names import Names
from emblem.offer import Prompts
from emblem.serving import Plan, bind_spaces, check_spaces, plan, read_again, stamp
from emblem.types import Kind, Overflow
from models.small_source import row as small_row
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
    ledger = open_ledger(Settings(home=str(tmp_path)))
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


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("nomic-embed-text", "emblem pull nomic-embed-text-v1.5, and start"),
        ("nomic-embed-text:latest", "emblem pull nomic-embed-text-v1.5, and start"),
        ("intfloat/multilingual-e5-small", "emblem pull multilingual-e5-small, and start"),
        ("All-MiniLM-L6-V2", "Did you mean all-MiniLM-L6-v2?"),
        ("ALL-MINILM", "Did you mean all-minilm?"),
        ("BGE-M3", "Did you mean bge-m3?"),
        ("snowflake-arctic-embed", "Did you mean snowflake-arctic-embed-s?"),
        ("cl100k_base", "vocabulary that OpenAI's token ids are read with, and no model"),
        ("gpt-4", "GET /v1/models lists what is served."),
    ],
)
def test_a_hint_knows_short_names_and_near_ones(asked: str, said: str, home: Path) -> None:
    assert said in hint(plan(settings(home)), asked)


def test_a_vocabulary_is_not_served(home: Path) -> None:
    with pytest.raises(ModelError, match="cl100k_base is no model: it is the vocabulary"):
        plan(settings(home, serve=("cl100k_base",)))
    with pytest.raises(ModelError, match="cl100k_base is no model"):
        plan(settings(home, models={"mine": ModelSettings(source="cl100k_base")}))


@pytest.fixture
def e5_home(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with a catalogue model whose makers want prompts, and whose files name none."""
    own = replace(
        small_row(),
        asset=Asset("e5-tiny", hub=Repository("org/e5-tiny", "c" * 40)),
        prompts=Prompts("query: ", "passage: "),
        languages=("xx",),
        licence="MIT",
        short_names=("e5",),
    )
    monkeypatch.setattr(catalog, "ROWS", (own,))
    made = linked_home(tmp_path / "e5-home", home)
    (made / "models").unlink()
    folder = tiny(made / "models", "e5-tiny")
    manifest = Manifest("e5-tiny", "hub", "c" * 40, "c" * 40, seals(folder))
    (folder / "manifest.json").write_bytes(msgspec.json.encode(manifest))
    return made


def test_a_catalogue_model_gets_the_prompts_that_its_makers_recommend(e5_home: Path) -> None:
    names = Names(plan(settings(e5_home, serve=("org/e5-tiny",))).served, lambda name: "")
    model = names.resolve("e5:latest").model
    assert (model.name, model.languages, model.licence) == ("e5-tiny", ("xx",), "MIT")
    assert model.prompts == Prompts("query: ", "passage: ")
    assert names.resolve("e5-tiny-query").fixed.kind is Kind.QUERY
    bare = plan(settings(e5_home, serve=(str(e5_home / "models" / "e5-tiny"),))).models["e5-tiny"]
    assert not bare.prompts
    assert bare.space.identity != model.space.identity


def test_a_prompt_that_is_set_comes_before_the_recommended_one(e5_home: Path) -> None:
    own = ModelSettings(source="e5", query_prompt="")
    model = plan(settings(e5_home, models={"mine": own})).models["mine"]
    assert model.prompts == Prompts(None, "passage: ")


def test_what_is_configured_is_loaded_at_the_start_and_what_is_merely_here_when_it_is_used(
    tmp_path: Path, home: Path
) -> None:
    one = tiny(tmp_path)
    assert plan(settings(home)).on_first_use == {"wordllama-256"}
    assert plan(settings(home, serve=("wordllama-256",))).on_first_use == set()
    made = plan(
        settings(
            home,
            serve=("wordllama-256",),
            models={
                "now": ModelSettings(source=str(one)),
                "later": ModelSettings(source=str(one), load="use"),
            },
        )
    )
    assert made.on_first_use == {"later"}


def test_models_that_do_not_fit_at_the_start_are_refused_unless_they_may_come_later(
    tmp_path: Path, home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    one, other = str(tiny(tmp_path)), str(tiny(tmp_path, "other"))
    made = plan(settings(home, serve=(one, other), streams=1))
    (needed,) = {part.predicted_bytes for part in made.deployed}
    both = {"serve": (one, other), "max_model_bytes": 2 * needed - 1, "streams": 1}
    with pytest.raises(ConfigError) as refused:
        plan(settings(home, **both))
    for words in (
        f"about {size(2 * needed)} of memory (tiny {size(needed)}, other {size(needed)})",
        f"(max_model_bytes = {2 * needed - 1}; {2 * needed} would do)",
        'load = "use"',
    ):
        assert words in str(refused.value)
    later = {"other": ModelSettings(source=other, load="use")}
    made = plan(
        settings(home, serve=(one,), models=later, max_model_bytes=2 * needed - 1, streams=1)
    )
    assert made.max_model_bytes == 2 * needed - 1
    assert "will not be loaded" not in caplog.text
    with caplog.at_level(logging.WARNING):
        plan(settings(home, models=later, max_model_bytes=needed - 1, streams=1))
    assert f"other will not be loaded: other takes about {size(needed)}" in caplog.text


def test_where_several_streams_do_not_fit_a_model_takes_one_unless_they_were_asked_for(
    tmp_path: Path, home: Path
) -> None:
    both = {"serve": (str(tiny(tmp_path)), str(tiny(tmp_path, "other"))), "threads": 2}
    made = plan(settings(home, **both))
    assert [one.streams for one in made.deployed] == [2, 2]
    several = sum(one.predicted_bytes for one in made.deployed)
    made = plan(settings(home, **both, max_model_bytes=several))
    assert [one.streams for one in made.deployed] == [2, 2]
    made = plan(settings(home, **both, max_model_bytes=several - 1))
    assert [one.streams for one in made.deployed] == [1, 1]
    assert sum(one.predicted_bytes for one in made.deployed) < several
    with pytest.raises(ConfigError, match="is allowed"):
        plan(settings(home, **both, streams=2, max_model_bytes=several - 1))


def test_a_model_that_comes_later_takes_one_stream_only_where_several_would_not_fit(
    tmp_path: Path, home: Path
) -> None:
    later = {"tiny": ModelSettings(source=str(tiny(tmp_path)), load="use")}
    (one,) = plan(settings(home, models=later, threads=2)).deployed
    budget = {"models": later, "threads": 2, "max_model_bytes": one.predicted_bytes}
    assert [one.streams for one in plan(settings(home, **budget)).deployed] == [2]
    budget["max_model_bytes"] -= 1
    assert [one.streams for one in plan(settings(home, **budget)).deployed] == [1]


def test_the_stamp_of_a_folder_tells_whether_anything_in_it_was_touched(tmp_path: Path) -> None:
    folder = tiny(tmp_path)
    before = stamp(folder)
    assert before == stamp(folder)
    pooling = next(folder.rglob("1_Pooling/config.json"))
    content = pooling.read_bytes()
    pooling.write_bytes(content)
    touched = stamp(folder)
    assert touched != before
    (folder / "more").write_bytes(b"")
    assert stamp(folder) not in (before, touched)
    assert stamp(tmp_path / "nowhere") == ()


def test_a_model_whose_files_changed_since_the_start_is_not_loaded(
    tmp_path: Path, home: Path
) -> None:
    """Its space is in every answer and in every index: it must not become another one."""
    folder = tiny(tmp_path)
    made = settings(home, models={"mine": ModelSettings(source=str(folder), load="use")})
    (deployed,) = plan(made).deployed
    assert read_again(deployed, made) == deployed.model
    tiny(tmp_path, layers=1)
    with pytest.raises(ModelError, match="has changed since the server started: it was mine@"):
        read_again(deployed, made)
    shutil.rmtree(folder)
    with pytest.raises(ModelError, match="no such folder"):
        read_again(deployed, made)
