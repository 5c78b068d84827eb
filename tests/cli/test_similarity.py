"""``emblem similarity``: the right cosines, readable, in a pipe, as JSON and as pictures."""

import io
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import emblem
from emblem.cli.main import run
from emblem.config import Settings
from emblem.errors import DeploymentFailed
from emblem.local.model import EmbeddingModel
from emblem.local.opening import opened
from emblem.models.progress import Progress
from server import free_port
from upstreams.scripted import Scripted, vector

MODEL = "wordllama-256"
TEXTS = ["a small cat", "a little kitten", "interest rates"]

Similarity = Callable[..., tuple[int, str, str]]


@pytest.fixture
def similarity(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    model_home: Path,
    capfd: pytest.CaptureFixture[str],
) -> Similarity:
    for name in os.environ:
        if name.startswith(("EMBLEM_", "OPENAI_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("EMBLEM_HOME", str(model_home))
    monkeypatch.setenv("EMBLEM_DEFAULT_MODEL", MODEL)
    monkeypatch.setenv("EMBLEM_OFFLINE", "true")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(tmp_path)

    def end(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as caught:
            run(["similarity", *arguments])
        assert isinstance(caught.value.code, int)
        return caught.value.code, *capfd.readouterr()

    return end


def test_a_few_texts_give_a_table_of_all_cosines(similarity: Similarity) -> None:
    code, out, err = similarity(*TEXTS)
    assert (code, err) == (0, "")
    with emblem.load(MODEL, offline=True) as model:
        due = model.similarity(TEXTS)
    head, *rows = (line.split() for line in out.splitlines())
    assert head == ["text", "1", "2", "3"]
    assert [row[-3:] for row in rows] == [[f"{one:.3f}" for one in row] for row in due]
    assert [" ".join(row[1:-3]) for row in rows] == TEXTS
    assert len({len(line) for line in out.splitlines()}) == 1


@pytest.mark.parametrize(("given", "streams"), [(TEXTS, 1), (["a", "--file", "texts.txt"], 0)])
def test_the_texts_of_a_command_line_are_compiled_for_once(
    similarity: Similarity, monkeypatch: pytest.MonkeyPatch, given: list[str], streams: int
) -> None:
    Path("texts.txt").write_text("b")
    asked: list[int] = []

    def noted(reference: str, settings: Settings, progress: Progress) -> EmbeddingModel:
        asked.append(settings.streams)
        return opened(reference, settings, progress)

    monkeypatch.setattr("emblem.local.opening.opened", noted)
    assert similarity(*given)[0] == 0
    assert asked == [streams]


def test_json_is_one_document(similarity: Similarity) -> None:
    code, out, _ = similarity(*TEXTS, "--json")
    found = json.loads(out)
    assert (code, found["texts"], found["space"].startswith("wordllama-256@")) == (0, TEXTS, True)
    cosines = np.array(found["cosines"])
    np.testing.assert_array_equal(cosines, cosines.T)
    np.testing.assert_allclose(np.diag(cosines), 1, atol=1e-6)
    assert cosines[0, 1] > cosines[0, 2]


def test_many_texts_give_the_pairs_most_alike(similarity: Similarity) -> None:
    Path("texts.txt").write_text("\n\n".join(f"number {n}" for n in range(30)) + "\nnumber 3\n")
    code, out, err = similarity("--file", "texts.txt")
    head, first, *rest = out.splitlines()
    assert (code, head.split()) == (0, ["cosine", "text", "text"])
    assert first.split() == ["1.000", "number", "3", "number", "3"]
    assert len(rest) == 19
    assert "of 465 pairs" in err


def test_a_pipe_is_read_and_long_texts_are_cut_in_the_table(
    similarity: Similarity, monkeypatch: pytest.MonkeyPatch
) -> None:
    stdin = io.TextIOWrapper(io.BytesIO("\ufeffeins\r\n\r\n向量 ".encode() + b"word " * 50))
    monkeypatch.setattr(sys, "stdin", stdin)
    code, out, _ = similarity("-f", "-", "zwei")
    assert (code, [line.split()[1] for line in out.splitlines()[1:]]) == (
        0,
        ["zwei", "eins", "向量"],
    )
    assert "…" in out.splitlines()[3]
    assert max(map(len, out.splitlines())) < 80


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["one"], "similarity compares 2 to 2000 texts, and was given 1"),
        ([], "and was given 0"),
        (["a", ""], "emblem: text 2 of 2 is an empty string"),
        (["a", "b", "--matrix", "x.pdf"], "--matrix is 'x.pdf'; it must end in .png or .html"),
        (["a", "b", "--matrix", "no/x.png"], "there is no folder no"),
        (["a", "b", "--file", "none.txt"], "none.txt: No such file or directory"),
        (["a", "b", "--file", "bad.txt"], "bad.txt is not UTF-8 at byte 1"),
        (["a", "b", "--kind", "query"], "has no prompts. Leave --kind out"),
        (["a", "b", "--kind", "question"], "--kind is 'question'; it must be one of query, doc"),
        (["a", "b", "--model", "no-such-model"], "no-such-model"),
        (["a", "b", "--base-url", "x"], "it must be like http://"),
    ],
)
def test_what_is_wrong_is_one_line_and_2(
    similarity: Similarity, arguments: list[str], said: str
) -> None:
    Path("bad.txt").write_bytes(b"a\xff")
    code, out, err = similarity(*arguments)
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert said in err


def test_a_server_is_asked_where_one_is_named(similarity: Similarity) -> None:
    with Scripted().serving() as server:
        code, out, _ = similarity("a", "bbbb", "-m", "m", "--base-url", server.base_url, "--json")
    assert code == 0
    due = float(vector("a") @ vector("bbbb"))
    assert json.loads(out)["cosines"][0][1] == pytest.approx(due, abs=1e-6)
    code, _, err = similarity("a", "b", "--base-url", f"http://127.0.0.1:{free_port()}/v1")
    assert (code, "cannot be reached" in err) == (2, True)
    assert DeploymentFailed.__name__ not in err


def test_a_heat_map_is_a_picture(similarity: Similarity) -> None:
    from matplotlib import image

    code, out, err = similarity("costs $5 or $6", *TEXTS, "--matrix", "map.png")
    assert (code, err, out.count("\n")) == (0, "", 5)
    pixels = image.imread("map.png")
    assert min(pixels.shape[:2]) > 300
    assert len(np.unique(pixels.reshape(-1, pixels.shape[2]), axis=0)) > 100


def test_a_heat_map_of_characters_without_a_font_says_so(similarity: Similarity) -> None:
    code, _, err = similarity("\U0001f9ff eye", "b", "--matrix", "map.png")
    assert (code, err.splitlines()) in (
        (0, ["map.png: no font here has some of the characters; an .html has"]),
        (0, []),
    )


def test_a_page_needs_no_network_and_shows_texts_as_they_are(similarity: Similarity) -> None:
    code, _, _ = similarity("<script>alert(1)</script>", "b", "--matrix", "map.html")
    page = Path("map.html").read_text("utf-8")
    assert code == 0
    assert len(page) > 1_000_000
    assert "<script>alert" not in page
    assert 'src="https' not in page


def test_without_the_extra_a_line_says_how_to_get_it(
    similarity: Similarity, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [one for one in sys.modules if one.startswith(("plotly", "matplotlib"))]:
        monkeypatch.delitem(sys.modules, name)
    for name, ending in (("matplotlib", "png"), ("plotly", "html")):
        monkeypatch.setitem(sys.modules, name, None)
        code, _, err = similarity("a", "b", "--matrix", f"map.{ending}")
        assert (code, err) == (
            2,
            "emblem: drawing a heat map needs an optional part: pip install 'emblem[plots]'\n",
        )
