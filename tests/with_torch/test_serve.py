"""``emblem serve`` of a folder that only the torch extra runs, asked over HTTP."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from agreement import disagreements
from emblem.core.tokenize import cut
from emblem.types import Kind, Overflow, Vectors
from golden_texts import few
from server import RunningServer, linked_home, running_server
from with_torch.opening import reader, theirs, understood

pytestmark = [pytest.mark.slow, pytest.mark.torch]

TEXTS = [text for text in few(7, 40) if 0 < len(text.strip().encode()) <= 80]  # none is too long
LONG = "the river passage and the light house " * 60


@pytest.fixture(scope="module")
def server(
    folders: dict[str, Path], model_home: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningServer]:
    home = linked_home(tmp_path_factory.mktemp("home") / "home", model_home)
    with running_server(home, args=[str(folders["qwen3"])]) as running:
        yield running


def vectors(server: RunningServer, **body: object) -> Vectors:
    answer = server.post({"model": "qwen3", **body})
    assert answer.status_code == 200, answer.text
    return np.array([one["embedding"] for one in answer.json()["data"]], dtype=np.float32)


def test_its_vectors_are_the_librarys(server: RunningServer, folders: dict[str, Path]) -> None:
    ours = vectors(server, input=TEXTS)
    assert disagreements(ours, theirs(folders["qwen3"], TEXTS), TEXTS) == []


def test_a_question_gets_the_models_instruction(
    server: RunningServer, folders: dict[str, Path]
) -> None:
    expected = theirs(folders["qwen3"], TEXTS, Kind.QUERY)
    assert disagreements(vectors(server, input=TEXTS, input_type="query"), expected, TEXTS) == []


def test_fewer_dimensions_are_the_first_made_unit(server: RunningServer) -> None:
    whole = vectors(server, input=TEXTS)[:, :24]
    expected = whole / np.linalg.norm(whole, axis=1, keepdims=True)
    np.testing.assert_allclose(vectors(server, input=TEXTS, dimensions=24), expected, atol=1e-6)


def test_a_long_text_is_the_mean_of_its_windows(
    server: RunningServer, folders: dict[str, Path]
) -> None:
    import torch
    from sentence_transformers import SentenceTransformer

    tokenizer = reader(understood(folders["qwen3"]))
    windows = cut(tokenizer.read([LONG])[0], tokenizer.frame, Overflow.MEAN)
    assert len(windows) > 2
    library = SentenceTransformer(str(folders["qwen3"]), device="cpu", local_files_only=True)
    total = np.zeros(64)
    for window in windows:
        ids = torch.from_numpy(window.ids.astype(np.int64))[None]
        with torch.inference_mode():
            features = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
            unit = library(features)["sentence_embedding"][0].numpy()
        total += window.content * unit
    expected = (total / np.linalg.norm(total))[None].astype(np.float32)
    assert disagreements(vectors(server, input=[LONG]), expected, [LONG]) == []


def test_a_long_text_that_is_cut_is_the_librarys(
    server: RunningServer, folders: dict[str, Path]
) -> None:
    ours = vectors(server, input=[LONG], overflow="truncate")
    assert disagreements(ours, theirs(folders["qwen3"], [LONG]), [LONG]) == []


def test_nothing_but_emblem_writes_to_its_log(server: RunningServer) -> None:
    """No bars and no tables of transformers, which would stand between the lines."""
    written = server.log.read_text(errors="replace")
    assert "Loading weights" not in written
    assert "LOAD REPORT" not in written
    assert "Traceback" not in written
