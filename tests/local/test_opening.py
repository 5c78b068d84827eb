"""Opening a model as a program does, and what happens when that program ends."""

import json
import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import emblem
from agreement import disagreements
from emblem.errors import ConfigError, DeploymentFailed, ModelError
from emblem.local.loop import STREAMS
from emblem.types import Overflow
from server import free_port
from tiny_models import TINY_MODELS, write
from upstreams.scripted import Scripted, vector

GOLDEN = Path(__file__).parents[1] / "golden"
STATIC = "wordllama-256"


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty folder to be in, and no variable of ours or OpenAI's."""
    for name in os.environ:
        if name.startswith(("EMBLEM_", "OPENAI_")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EMBLEM_HOME", str(tmp_path / "home"))
    return tmp_path


def test_the_public_names_are_there_and_are_imported_late() -> None:
    program = """
        import sys
        import emblem
        assert not {"numpy", "emblem.local", "openvino"} & sys.modules.keys()
        assert {"load", "connect", "EmbeddingModel", "errors"} <= set(dir(emblem))
        from emblem import EmbeddingModel, load
        assert load.__module__.startswith("emblem.local")
        assert not {"openvino", "starlette.testclient", "torch"} & sys.modules.keys()
    """
    assert run(program) == ("", "")
    with pytest.raises(AttributeError, match="module 'emblem' has no attribute 'encode'"):
        emblem.encode  # type: ignore[attr-defined] # noqa: B018


def test_a_folder_gives_what_a_server_with_it_would_give(alone: Path) -> None:
    folder = write(TINY_MODELS[0], alone / "mine")
    for reference in (str(folder), "./mine", Path("mine")):
        with emblem.load(reference, threads=1, overflow="truncate") as model:
            assert (model.name, model.width, model.max_length) == ("mine", 32, 37)
            assert model.space.overflow is Overflow.TRUNCATE
            assert model.embed(["a", "b"], kind="query").shape == (2, 32)


def test_settings_come_from_emblem_toml_and_variables(
    alone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write(TINY_MODELS[0], alone / "mine")
    Path("emblem.toml").write_text(
        f'default_model = "own"\nempty_input = "embed"\n[models.own]\nsource = "{folder}"\noverflow = "error"\n'
    )
    monkeypatch.setenv("EMBLEM_THREADS", "1")
    with emblem.load() as model:
        assert (model.name, model.space.overflow) == ("own", Overflow.ERROR)
        assert model.embed("").shape == (32,)
    with emblem.load("own", overflow="mean") as model:
        assert model.space.overflow is Overflow.MEAN


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"threads": -1}, "threads is '-1'; it must be a whole number"),
        ({"overflow": "cut"}, "overflow is 'cut'; it must be"),
        ({"config": "nowhere.toml"}, "nowhere.toml does not exist"),
    ],
)
def test_a_setting_that_is_wrong_is_named_as_python_names_it(
    given: dict[str, object], said: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        emblem.load(**given)  # type: ignore[arg-type]
    assert str(caught.value).startswith(said) or said in str(caught.value)


@pytest.mark.parametrize("reference", ["./nowhere", "no-such-model", Path("nowhere")])
def test_a_model_that_is_not_there_is_one_clear_error(reference: str) -> None:
    with pytest.raises(ModelError) as caught:
        emblem.load(reference, offline=True)
    assert Path(reference).name in str(caught.value)


@pytest.fixture
def scripted() -> Iterator[Scripted]:
    with Scripted().serving() as serving:
        yield serving


def test_a_model_of_a_server_has_the_same_methods(
    scripted: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", scripted.base_url)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    with emblem.connect("m") as model:
        np.testing.assert_array_equal(model.embed(["a", "bb"]), [vector("a"), vector("bb")])
        assert (model.width, model.max_length, model.space.is_declared) == (4, None, True)
        assert model.similarity("a", "a")[0, 0] == pytest.approx(1)
    assert scripted.headers[-1]["authorization"] == "Bearer sk-secret"


def test_a_server_that_is_not_there_is_one_clear_error() -> None:
    with pytest.raises(ConfigError, match="OPENAI_BASE_URL"):
        emblem.connect("m")
    with pytest.raises(DeploymentFailed, match="cannot be reached"):
        emblem.connect("m", f"http://127.0.0.1:{free_port()}/v1")


def run(program: str, **environ: str) -> tuple[str, str]:
    """Run a program to its end and give what it said."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(program)],
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


def test_a_program_that_forgets_to_close_ends_quietly(model_home: Path) -> None:
    program = f"""
        import emblem
        model = emblem.load("{STATIC}", offline=True)
        print(model.embed(["a", "b"]).shape)
    """
    assert run(program, EMBLEM_HOME=str(model_home)) == ("(2, 256)\n", "")


def test_every_thread_that_runs_rows_is_waited_for_when_a_program_ends(model_home: Path) -> None:
    """One that still lets go of a row's memory while Python ends has the whole program aborted."""
    before = set(threading.enumerate())
    with emblem.load("all-MiniLM-L6-v2", home=model_home, offline=True) as model:
        model.embed(["a text"])
        ours = [one.name for one in {*threading.enumerate()} - before]
        # Executors' threads are waited for by Python itself, and the loop's runs nothing but Python.
        executors = ("emblem-compile", "emblem-tokenise", "emblem-answers", "emblem-loop")
        rows = [name for name in ours if not name.startswith(executors)]
        assert rows
        assert [name for name in rows if not name.startswith(STREAMS)] == []


def test_a_program_may_end_while_a_thread_embeds(model_home: Path) -> None:
    program = """
        import threading
        import emblem
        model = emblem.load("all-MiniLM-L6-v2", offline=True)
        begun = threading.Event()

        def work():
            while True:
                begun.set()
                try:
                    model.embed(["some text of a few words"] * 50)
                except emblem.EmblemError:
                    return

        threading.Thread(target=work, daemon=True).start()
        begun.wait()
        print("done")
    """
    assert run(program, EMBLEM_HOME=str(model_home)) == ("done\n", "")


def test_it_gives_the_vectors_of_sentence_transformers(minilm_folder: Path) -> None:
    every = slice(None, None, 10)
    texts = json.loads((GOLDEN / "minilm.json").read_text("ascii"))[every]
    with np.load(GOLDEN / "minilm.npz") as golden:
        theirs = golden["vectors"][every]
    with emblem.load(minilm_folder, overflow="truncate") as model:
        kept = [at for at, text in enumerate(texts) if text]
        ours = model.embed([texts[at] for at in kept])
    assert len(kept) > 40
    assert disagreements(ours, theirs[kept], [texts[at] for at in kept]) == []
