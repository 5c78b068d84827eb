"""emblem quantize, and what becomes of the model that it makes."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from server import running_server
from tiny_models import TinyModel, write

Emblem = Callable[..., "subprocess.CompletedProcess[str]"]
TINY = TinyModel("tiny", "bert", prompts={"query": "query: ", "document": "passage: "})


@pytest.fixture
def tiny(tmp_path: Path, model_home: Path) -> Path:
    """A folder beside the home, which has the ranks of cl100k_base, so that nothing is fetched."""
    home = tmp_path / "h"
    home.mkdir()
    (home / "files").symlink_to(model_home / "files", target_is_directory=True)
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
    assert emblem("rm", "tiny:int8").returncode == 0
    assert "run: emblem quantize tiny" in refused(emblem("show", "tiny:int8"))


def test_what_was_made_is_checked_embedded_with_and_served(
    emblem: Emblem, tiny: Path, tmp_path: Path
) -> None:
    assert emblem("quantize", "./tiny", "--name", "swift").returncode == 0
    checked = json.loads(emblem("check", "swift:int8", "--json").stdout)
    wrong = [one["name"] for one in checked["checks"] if one["ok"] is False]
    assert wrong in ([], ["sense"])  # random weights have none
    said = emblem("similarity", "-m", "swift:int8", "the river", "a museum")
    assert said.returncode == 0, said
    with running_server(tmp_path / "h", args=["swift:int8"]) as server:
        answer = server.post({"model": "swift:int8", "input": ["the river"], "input_type": "query"})
        assert answer.status_code == 200, answer.text
        assert answer.headers["x-embedding-space"] == checked["space"]
        by_path = server.post({"input": "the river"}, "/swift:int8/v1/embeddings")
        assert by_path.status_code == 200, by_path.text
        listed = server.get("/v1/models").json()["data"]
        assert "swift:int8" in [one["id"] for one in listed]
        missing = server.post({"model": "all-minilm:int8", "input": "x"})
        assert missing.status_code == 404
        assert "run: emblem quantize all-minilm" in missing.json()["error"]["message"]


def test_a_model_of_emblem_toml_may_be_one_that_was_made_here(
    emblem: Emblem, tiny: Path, tmp_path: Path
) -> None:
    assert emblem("quantize", "./tiny").returncode == 0
    (tmp_path / "emblem.toml").write_text('[models.swift]\nsource = "tiny:int8"\n')
    shown = json.loads(emblem("show", "swift", "--json").stdout)
    assert shown["space"].startswith("swift@")
    assert shown["quantised"]["group"] == 16
    # What is named in the file can be quantised by that name too.
    (tmp_path / "emblem.toml").write_text('[models.mine]\nsource = "./tiny"\n')
    assert json.loads(emblem("quantize", "mine", "--json").stdout)["name"] == "mine:int8"


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
    whole = json.loads(emblem("quantize", "./tiny", "--json").stdout)
    kept = json.loads(
        emblem("quantize", "./tiny", "--json", "--keep", "value", "--keep", "*.0.*").stdout
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
    shutil.rmtree(tiny)
    # Weights that are all small but for one in each row, which takes the whole range.
    write(TINY, tiny)
    _roughen(tiny / "model.safetensors")
    done = emblem("quantize", "./tiny")
    assert done.returncode == 1, done
    assert "Nothing was kept" in done.stderr
    assert "emblem serve" not in done.stdout
    assert emblem("list", "--json").stdout.strip() == "[]"
    assert not [one for one in (tmp_path / "h" / "models").glob("*") if one.is_dir()]


def _roughen(file: Path) -> None:
    import numpy as np

    from emblem.models.safetensors import Stored, Weights
    from emblem.models.safetensors import write as write_tensors

    weights = Weights([file])
    arrays = {name: np.array(weights[name]) for name in weights}
    for name, array in arrays.items():
        if "encoder" in name and array.ndim == 2:
            array[:, 0] = 60.0
    write_tensors(file, {name: Stored.of(array) for name, array in arrays.items()})


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


def test_what_was_quantised_is_not_quantised_again(emblem: Emblem, tiny: Path) -> None:
    assert emblem("quantize", "./tiny").returncode == 0
    assert "has int8 weights already" in refused(emblem("quantize", "tiny:int8"))
