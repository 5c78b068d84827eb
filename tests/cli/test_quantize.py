"""emblem quantize, and what becomes of the model that it makes."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from emblem.cli import main
from emblem.cli.quantize_texts import SENTENCES
from server import running_server
from tiny_models import TinyModel, write

QUICKLY = ("--texts", "texts.txt")  # fewer than the built-in ones
Emblem = Callable[..., "subprocess.CompletedProcess[str]"]
TINY = TinyModel("tiny", "bert", prompts={"query": "query: ", "document": "passage: "})


@pytest.fixture
def emblem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Emblem:
    """Run a command line as a process would, in this one, which has loaded everything already."""

    def run(*arguments: str, **environ: str) -> "subprocess.CompletedProcess[str]":
        capsys.readouterr()
        with monkeypatch.context() as patch:
            for name in [one for one in os.environ if one.startswith("EMBLEM_")]:
                patch.delenv(name)
            for name, value in {"EMBLEM_HOME": str(tmp_path / "h"), **environ}.items():
                patch.setenv(name, value)
            patch.chdir(tmp_path)
            with pytest.raises(SystemExit) as ended:
                main.run(arguments)
        said = capsys.readouterr()
        code = ended.value.code
        assert isinstance(code, int)
        return subprocess.CompletedProcess(arguments, code, said.out, said.err)

    return run


@pytest.fixture
def tiny(tmp_path: Path, model_home: Path) -> Path:
    """A folder beside the home, which has the ranks of cl100k_base, so that nothing is fetched."""
    home = tmp_path / "h"
    home.mkdir()
    (home / "files").symlink_to(model_home / "files", target_is_directory=True)
    (tmp_path / "texts.txt").write_text("\n".join(SENTENCES[:24]), encoding="utf-8")
    return write(TINY, tmp_path / "tiny")


def refused(done: "subprocess.CompletedProcess[str]") -> str:
    """Give what a refused command said: one line, exit code 2 and nothing on stdout."""
    assert (done.returncode, done.stdout) == (2, ""), done
    assert len(done.stderr.splitlines()) == 1
    return done.stderr


def test_a_folder_is_quantised_shown_and_removed(emblem: Emblem, tiny: Path) -> None:
    done = emblem("quantize", "./tiny", "--json")
    assert done.stderr == ""
    made = json.loads(done.stdout)
    assert (made["name"], made["ok"], made["group"]) == ("tiny:int8", True, 16)
    assert (made["layers"], made["kept"], made["chosen"]) == (12, [], [])
    assert 0.995 <= made["worst_cosine"] <= made["mean_cosine"] < 1
    assert 0.995 <= made["rank_correlation"] < 1
    assert made["bytes"] < made["source_bytes"]
    shown = json.loads(emblem("show", "tiny:int8", "--json").stdout)
    assert (shown["space"], shown["source"]) == (made["space"], "quantize")
    assert shown["quantised"]["mean_cosine"] == made["mean_cosine"]
    assert shown["quantised"]["source"] == made["source"]
    assert "the cosine is 0.9" in emblem("show", "tiny:int8").stdout
    assert [one["name"] for one in json.loads(emblem("list", "--json").stdout)] == ["tiny:int8"]
    assert "has int8 weights already" in refused(emblem("quantize", "tiny:int8"))
    assert emblem("rm", "tiny:int8").returncode == 0
    assert "run: emblem quantize tiny" in refused(emblem("show", "tiny:int8"))


def test_what_was_made_is_checked_and_embeds_texts_and_files(
    emblem: Emblem, tiny: Path, tmp_path: Path
) -> None:
    assert emblem("quantize", "./tiny", "--name", "swift", *QUICKLY).returncode == 0
    checked = json.loads(emblem("check", "swift:int8", "--json").stdout)
    wrong = [one["name"] for one in checked["checks"] if one["ok"] is False]
    assert wrong in ([], ["sense"])  # random weights have none
    said = emblem("similarity", "-m", "swift:int8", "the river", "a museum")
    assert said.returncode == 0, said
    (tmp_path / "in.txt").write_text("the river\na museum\n")
    done = emblem("embed", "in.txt", "-o", "out.jsonl", "-m", "swift:int8", "--json")
    assert (done.returncode, json.loads(done.stdout)["space"]) == (0, checked["space"]), done
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [len(row["embedding"]) for row in rows] == [32, 32]


def test_it_is_served_because_it_is_here_under_its_name_and_others(
    emblem: Emblem, tiny: Path, tmp_path: Path, wordllama_folder: Path
) -> None:
    made = json.loads(emblem("quantize", "./tiny", "--json", *QUICKLY).stdout)
    home = tmp_path / "h"
    (home / "models" / "wordllama-256").symlink_to(wordllama_folder, target_is_directory=True)
    (home / "emblem.toml").write_text(
        'default_model = "wordllama-256"\n'
        '[aliases.question]\nmodel = "tiny:int8"\ninput_type = "query"\n'
    )
    with running_server(home) as server:
        listed = {one["id"]: one for one in server.get("/v1/models").json()["data"]}
        assert {"wordllama-256", "tiny:int8", "question"} <= set(listed)
        by_name = server.post({"model": "tiny:int8", "input": "the river", "input_type": "query"})
        assert by_name.status_code == 200, by_name.text
        assert by_name.headers["x-embedding-space"] == made["space"]
        for body, path in (
            ({"model": "question", "input": "the river"}, "/v1/embeddings"),
            ({"input": "the river", "input_type": "query"}, "/tiny:int8/v1/embeddings"),
        ):
            answer = server.post(body, path)
            assert answer.json()["data"] == by_name.json()["data"], answer.text
        told = emblem(*("ps", "--base-url", server.base_url, "--json"), OPENAI_API_KEY=server.key)
        assert "tiny:int8" in told.stdout, told
        missing = server.post({"model": "all-minilm:int8", "input": "x"})
        assert missing.status_code == 404
        assert "run: emblem quantize all-minilm" in missing.json()["error"]["message"]


@pytest.mark.slow
def test_it_is_served_alone_where_it_is_named(emblem: Emblem, tiny: Path, tmp_path: Path) -> None:
    assert emblem("quantize", "./tiny", "--name", "swift", *QUICKLY).returncode == 0
    with running_server(tmp_path / "h", args=["swift:int8"]) as server:
        assert server.post({"model": "swift:int8", "input": "x"}).status_code == 200
        assert "swift:int8" in [one["id"] for one in server.get("/v1/models").json()["data"]]


def test_a_model_of_emblem_toml_may_be_one_that_was_made_here(
    emblem: Emblem, tiny: Path, tmp_path: Path
) -> None:
    assert emblem("quantize", "./tiny", *QUICKLY).returncode == 0
    (tmp_path / "emblem.toml").write_text('[models.swift]\nsource = "tiny:int8"\n')
    shown = json.loads(emblem("show", "swift", "--json").stdout)
    assert shown["space"].startswith("swift@")
    assert shown["quantised"]["group"] == 16
    # What is named in the file can be quantised by that name too.
    (tmp_path / "emblem.toml").write_text('[models.mine]\nsource = "./tiny"\n')
    assert json.loads(emblem("quantize", "mine", "--json", *QUICKLY).stdout)["name"] == "mine:int8"


@pytest.mark.slow
def test_the_real_model_loses_less_than_is_allowed(
    emblem: Emblem, model_home: Path, tmp_path: Path
) -> None:
    for name in ("models/all-MiniLM-L6-v2", "files"):
        shutil.copytree(model_home / name, tmp_path / "h" / name)
    made = json.loads(emblem("quantize", "all-minilm", "--json").stdout)
    assert (made["name"], made["layers"], made["kept"]) == ("all-MiniLM-L6-v2:int8", 36, [])
    assert made["mean_cosine"] > 0.998
    assert made["rank_correlation"] > 0.998
    assert json.loads(emblem("check", "all-minilm:int8", "--json").stdout)["ok"]
    assert json.loads(emblem("show", "all-minilm:int8", "--json").stdout)["licence"] == "Apache-2.0"


def test_layers_that_are_named_are_kept_and_lessen_the_loss(emblem: Emblem, tiny: Path) -> None:
    whole = json.loads(emblem("quantize", "./tiny", "--json", *QUICKLY).stdout)
    kept = json.loads(
        emblem(
            "quantize", "./tiny", "--json", "--keep", "value", "--keep", "*.0.*", *QUICKLY
        ).stdout
    )
    assert "encoder.layer.1.attention.self.value" in kept["kept"]
    assert len(kept["kept"]) == 7
    assert kept["mean_cosine"] > whole["mean_cosine"]
    assert kept["space"] != whole["space"]


def test_the_loss_is_measured_on_texts_of_your_own(
    emblem: Emblem, tiny: Path, tmp_path: Path
) -> None:
    lines = [f"the river number {n} of the museum" for n in range(25)]
    (tmp_path / "ours.txt").write_text("\n".join([*lines, "", lines[0]]), encoding="utf-8")
    done = emblem("quantize", "./tiny", "--texts", "ours.txt", "--json")
    assert json.loads(done.stdout)["texts"] == 25
    folder = Path(json.loads(done.stdout)["folder"])
    assert "museum" not in (folder / "quantization.json").read_text()  # which others may get


def test_too_large_a_loss_keeps_nothing_and_ends_with_one(
    emblem: Emblem, tmp_path: Path, tiny: Path
) -> None:
    roughen(tiny / "model.safetensors", "encoder.layer.")
    done = emblem("quantize", "./tiny")
    assert done.returncode == 1, done
    assert "Nothing was kept" in done.stderr
    assert "emblem serve" not in done.stdout
    assert emblem("list", "--json").stdout.strip() == "[]"
    assert not [one for one in (tmp_path / "h" / "models").glob("*") if one.is_dir()]


def test_a_layer_that_loses_too_much_stays_as_it_was_and_that_mends_the_loss(
    emblem: Emblem, tmp_path: Path, tiny: Path
) -> None:
    layer = "encoder.layer.0.output.dense"
    roughen(tiny / "model.safetensors", layer)
    done = emblem("quantize", "./tiny", *QUICKLY, "--json")
    made = json.loads(done.stdout)
    assert (made["ok"], made["chosen"], made["kept"]) == (True, [layer], [layer])
    assert made["mean_cosine"] >= 0.995
    shown = json.loads(emblem("show", "tiny:int8", "--json").stdout)["quantised"]
    assert (shown["kept"], shown["mean_cosine"]) == ([layer], made["mean_cosine"])
    again = emblem("quantize", "./tiny", *QUICKLY, "--keep", layer)
    assert f"without {layer}" not in again.stdout  # which now was asked for


def roughen(file: Path, name: str) -> None:
    """Have one weight in each row take the whole range of eight bits, in matrices called so."""
    import numpy as np

    from emblem.models.safetensors import Stored, Weights
    from emblem.models.safetensors import write as write_tensors

    weights = Weights([file])
    arrays = {one: np.array(weights[one]) for one in weights}
    for one, array in arrays.items():
        if one.startswith(name) and array.ndim == 2:
            array[:, 0] = 60.0
    write_tensors(file, {one: Stored.of(array) for one, array in arrays.items()})


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nothing"], "is no model that Emblem knows"),
        (["wordllama-256"], "is a table that is looked up; nothing is multiplied in it"),
        (["./tiny", "--keep", "foo"], "--keep foo: no layer is called so; they are called encoder"),
        (["./tiny", "--keep", "*"], "--keep *: nothing would be left to round"),
        (["./tiny", "--texts", "missing.txt"], "--texts missing.txt: cannot be read"),
        (["./tiny", "--texts", "few.txt"], "has 2 different lines that are not empty, and 20 are"),
        (["./tiny", "--texts", "latin.txt"], "--texts latin.txt: is not UTF-8"),
        (["./tiny", "--name", "bge-m3"], "--name 'bge-m3': is a model of the catalogue, and not"),
        (["./tiny", "--name", "a b"], "--name 'a b': can be no name"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    emblem: Emblem, tiny: Path, tmp_path: Path, model_home: Path, arguments: list[str], said: str
) -> None:
    (tmp_path / "few.txt").write_text("one\ntwo\n\none\n")
    (tmp_path / "latin.txt").write_bytes("süß\n".encode("latin-1"))
    (tmp_path / "h" / "models").symlink_to(model_home / "models", target_is_directory=True)
    assert said in refused(emblem("quantize", *arguments))
