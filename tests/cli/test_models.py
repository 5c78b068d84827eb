"""emblem pull, list, show, rm and run, from outside."""

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from emblem.models import catalog
from models.small_source import COMMIT, SmallHub, serving
from server import linked_home
from tiny_models import TinyModel, write

Emblem = Callable[..., "subprocess.CompletedProcess[str]"]
MINILM, STATIC = "all-MiniLM-L6-v2", "wordllama-256"


@pytest.fixture
def home(tmp_path: Path, model_home: Path) -> Path:
    """The home that the commands use, with both models, shared with other tests."""
    return linked_home(tmp_path / "h", model_home)


@pytest.fixture
def own_home(tmp_path: Path, model_home: Path) -> Path:
    """A home with a copy of the static model, which may be damaged and removed."""
    home = tmp_path / "h"
    shutil.copytree(model_home / "models" / STATIC, home / "models" / STATIC)
    (home / "files").symlink_to(model_home / "files", target_is_directory=True)
    return home


def one_line(done: "subprocess.CompletedProcess[str]") -> str:
    """Give what a refused command said: one line, exit code 2 and nothing on stdout."""
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    return done.stderr


# -- list ----------------------------------------------------------------------------------------


def test_list_shows_what_was_pulled_in_columns(emblem: Emblem, home: Path) -> None:
    done = emblem("list")
    head, first, second = done.stdout.splitlines()
    assert head.split() == ["name", "space", "numbers", "reads", "family", "size", "pulled"]
    assert first.split()[:5] == [MINILM, f"{MINILM}@53aa5117/384", "384", "256", "bert"]
    assert second.split()[:5] == [STATIC, f"{STATIC}@64b47a2d/256", "256", "any", "static"]
    assert "\x1b" not in done.stdout
    assert done.stderr == ""


def test_list_speaks_json(emblem: Emblem, home: Path) -> None:
    minilm, static = json.loads(emblem("list", "--json").stdout)
    assert (minilm["name"], minilm["space"]) == (MINILM, f"{MINILM}@53aa5117/384")
    assert (minilm["width"], minilm["max_length"], minilm["any_length"]) == (384, 256, False)
    assert (static["max_length"], static["any_length"]) == (None, True)
    assert minilm["bytes"] == sum(file["size"] for file in minilm["files"])
    assert minilm["other_names"] == list(catalog.find(MINILM).names[1:])


def test_list_of_all_has_every_row_of_the_catalogue_once(emblem: Emblem, home: Path) -> None:
    found = json.loads(emblem("list", "--all", "--json").stdout)
    assert sorted(one["name"] for one in found) == sorted(row.name for row in catalog.ROWS)
    assert [one["name"] for one in found if one["installed"]] == [MINILM, STATIC]


def test_an_empty_home_says_what_to_do_and_prints_nothing(emblem: Emblem) -> None:
    done = emblem("list")
    assert (done.returncode, done.stdout) == (0, "")
    assert "emblem list --all" in done.stderr
    assert json.loads(emblem("list", "--json").stdout) == []


def test_a_model_that_cannot_be_served_is_listed_with_the_reason(
    emblem: Emblem, own_home: Path
) -> None:
    (own_home / "models" / STATIC / "static.json").write_text("{}")
    done = emblem("list")
    assert done.returncode == 0
    assert "cannot be served: " in done.stdout
    assert "static.json: table: is missing" in done.stdout


# -- show ----------------------------------------------------------------------------------------


def test_show_tells_all_about_a_model_that_is_here(emblem: Emblem, home: Path) -> None:
    shown = emblem("show", "all-minilm").stdout
    for words in (
        "sentence-transformers/all-MiniLM-L6-v2, all-minilm",
        f"{MINILM}@53aa5117/384",
        "256 tokens",
        "mean: the vectors of their parts are averaged",
        "Apache-2.0",
        "41.95 nDCG@10 on MTEB English v1, retrieval (15)",
        "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db  model.safetensors",
        "OpenVINO, built from its safetensors",
        f"emblem serve {MINILM}",
    ):
        assert words in shown
    assert "not here yet" not in shown


def test_show_knows_a_model_that_is_not_here(emblem: Emblem) -> None:
    shown = emblem("show", "intfloat/multilingual-e5-small").stdout
    assert "emblem pull multilingual-e5-small" in shown
    assert '"passage: "' in shown
    assert "this model wants one before every text, so always send input_type" in shown
    assert '"input_type": "query"' in shown
    facts = json.loads(emblem("show", "embeddinggemma:latest", "--json").stdout)
    assert facts["name"] == "embeddinggemma-300m"
    assert (facts["installed"], facts["gated"], facts["shorter_widths"]) == (
        False,
        True,
        [512, 256, 128],
    )
    assert facts["score"]["source"].startswith("https://")


def test_show_reads_a_folder_of_ones_own(emblem: Emblem, tmp_path: Path) -> None:
    write(TinyModel("mine", "bert"), tmp_path / "mine")
    facts = json.loads(emblem("show", "./mine", "--json").stdout)
    assert (facts["name"], facts["family"], facts["installed"]) == ("mine", "bert", True)
    assert facts["space"].startswith("mine@")
    assert (facts["source"], facts["page"]) == ("", "")
    assert "model.safetensors" in [one["name"] for one in facts["files"]]
    assert facts["bytes"] == sum(one["size"] for one in facts["files"])
    assert (facts["pooling"], facts["dense"], facts["normalised"]) == (["mean"], [], True)
    shown = emblem("show", "mine").stdout
    assert "emblem serve ./mine\n" in shown
    assert "yes: unit vectors" in shown


def test_show_knows_the_names_of_the_configuration(
    emblem: Emblem, home: Path, tmp_path: Path
) -> None:
    (tmp_path / "emblem.toml").write_text(
        f'[models.mine]\nsource = "{MINILM}"\noverflow = "truncate"\nquery_prompt = "ask: "\n'
    )
    facts = json.loads(emblem("show", "mine", "--json").stdout)
    assert (facts["name"], facts["overflow"], facts["query_prompt"]) == (
        "mine",
        "truncate",
        "ask: ",
    )


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("org/unknown", "emblem pull org/unknown fetches it, if the hub has it"),
        ("multilingual-e5-smal", "did you mean multilingual-e5-small?"),
        ("cl100k_base", "it is the vocabulary that OpenAI's token ids are read with"),
        ("./nowhere", "no such folder"),
    ],
)
def test_what_show_does_not_know_is_one_line(asked: str, said: str, emblem: Emblem) -> None:
    assert said in one_line(emblem("show", asked))


# -- rm ------------------------------------------------------------------------------------------


def test_rm_removes_a_model_and_says_what_that_frees(emblem: Emblem, own_home: Path) -> None:
    done = emblem("rm", STATIC)
    assert done.returncode == 0
    assert done.stdout == (
        f"Removed {STATIC} from {own_home}/models/{STATIC}, which frees 18.2 MB.\n"
    )
    assert "but cannot load it again" in done.stderr
    left = [path.name for path in (own_home / "models").iterdir() if path.suffix != ".lock"]
    assert left == []
    assert "not here, so nothing was removed" in one_line(emblem("rm", STATIC))


def test_rm_speaks_json_and_takes_a_name_that_is_written_twice_once(
    emblem: Emblem, own_home: Path
) -> None:
    done = emblem("rm", STATIC, STATIC, "--json")
    assert json.loads(done.stdout) == [{"name": STATIC, "freed_bytes": 18_226_995}]


@pytest.mark.parametrize("other", ["no-such-model", MINILM, "org/unknown"])
def test_rm_removes_nothing_where_one_name_is_wrong(
    other: str, emblem: Emblem, own_home: Path
) -> None:
    one_line(emblem("rm", STATIC, other))
    assert (own_home / "models" / STATIC / "model.safetensors").is_file()


def test_rm_leaves_folders_of_ones_own_alone(
    emblem: Emblem, own_home: Path, tmp_path: Path
) -> None:
    write(TinyModel("mine", "bert"), tmp_path / "mine")
    said = one_line(emblem("rm", "./mine"))
    assert "a folder of yours, which Emblem did not fetch and will not remove" in said
    assert (tmp_path / "mine" / "model.safetensors").is_file()


# -- pull ----------------------------------------------------------------------------------------


@pytest.fixture
def small_hub(tmp_path: Path) -> Iterator[SmallHub]:
    """A hub with one repository, which is a model of its own."""
    folder = write(TinyModel("tiny", "bert"), tmp_path / "made")
    files = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }
    with serving(SmallHub(files, repository="org/tiny")) as hub:
        yield hub


def test_pull_of_what_is_here_asks_nobody(emblem: Emblem, home: Path) -> None:
    done = emblem("pull", "all-minilm", STATIC, EMBLEM_OFFLINE="true")
    assert done.stdout == (
        f"all-minilm is in {home}/models/{MINILM} (91.3 MB, here already)\n"
        f"{STATIC} is in {home}/models/{STATIC} (18.2 MB, here already)\n"
    )
    pulled = json.loads(emblem("pull", MINILM, "--json", EMBLEM_OFFLINE="true").stdout)
    assert [(one["name"], one["new"], one["bytes"]) for one in pulled] == [
        (MINILM, False, 91_336_293)
    ]


def test_pull_fetches_a_repository_once_and_it_can_be_listed_and_removed(
    emblem: Emblem, own_home: Path, small_hub: SmallHub
) -> None:
    hub = {"HF_ENDPOINT": small_hub.url, "EMBLEM_SOURCES": "hub"}
    first = json.loads(emblem("pull", "org/tiny", "--json", **hub).stdout)
    assert (first[0]["new"], first[0]["source"], first[0]["revision"]) == (True, "hub", COMMIT)
    asked = sum(small_hub.requests.values())
    assert "here already" in emblem("pull", "org/tiny", **hub).stdout
    assert sum(small_hub.requests.values()) == asked
    names = [one["name"] for one in json.loads(emblem("list", "--json").stdout)]
    assert names == ["org/tiny", STATIC]
    assert json.loads(emblem("show", "org/tiny", "--json").stdout)["family"] == "bert"
    assert emblem("rm", "org/tiny").returncode == 0
    assert [one["name"] for one in json.loads(emblem("list", "--json").stdout)] == [STATIC]


def test_pull_of_a_gated_model_says_how_to_get_it(emblem: Emblem, own_home: Path) -> None:
    done = emblem("pull", "embeddinggemma", HF_ENDPOINT="http://127.0.0.1:9", EMBLEM_SOURCES="hub")
    said = one_line(done)
    assert "accept its licence at https://huggingface.co/google/embeddinggemma-300m" in said
    assert "set HF_TOKEN" in said


def test_pull_of_a_folder_says_that_it_needs_none(emblem: Emblem, tmp_path: Path) -> None:
    write(TinyModel("mine", "bert"), tmp_path / "mine")
    done = emblem("pull", "./mine", EMBLEM_OFFLINE="true")
    assert "./mine is a folder of yours, which needs no pull: emblem serve ./mine" in done.stdout
    (tmp_path / "none").mkdir()
    assert "none" in one_line(emblem("pull", "./none"))


def test_pull_of_a_missing_variant_says_so(emblem: Emblem, own_home: Path) -> None:
    said = one_line(emblem("pull", f"{MINILM}:nope", EMBLEM_SOURCES="index"))
    assert "no package is known to carry its variant nope" in said


def test_a_home_that_is_a_file_is_one_line(emblem: Emblem, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for command in (("list",), ("show", MINILM), ("pull", MINILM)):
        said = one_line(emblem(*command, "--home", str(tmp_path / "file")))
        assert "is a file, and must be a folder" in said


# -- run -----------------------------------------------------------------------------------------


def test_run_says_kindly_what_to_type_instead(emblem: Emblem) -> None:
    done = emblem("run", "nomic-embed-text", "why", "is it so?")
    assert (done.returncode, done.stderr) == (0, "")
    assert "it doesn't chat" in done.stdout
    assert "emblem embed --model nomic-embed-text 'why is it so?'" in done.stdout
    assert "emblem similarity --model nomic-embed-text" in done.stdout
    assert "  emblem pull nomic-embed-text\n" in done.stdout
    assert "http://127.0.0.1:8080/v1/embeddings" in done.stdout


def test_run_of_a_chat_model_shows_the_default_one(emblem: Emblem) -> None:
    said = emblem("run", "llama3").stdout
    assert "llama3 is none that it knows" in said
    assert f"emblem embed --model {MINILM} 'A text'" in said


def test_help_names_the_commands(emblem: Emblem) -> None:
    shown = emblem("--help").stdout
    for command in ("pull", "list", "show", "rm", "recommend", "check", "run"):
        assert f" {command} " in shown
