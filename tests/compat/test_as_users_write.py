"""The examples that users paste, run as they are."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from system import require

SCRIPTS = Path(__file__).parent / "as_users_write"
ONE = ["Your text string goes here"]
BATCH = ["First document", "Second document", "Third document"]

INTERPRETERS = {"py": sys.executable, "sh": "bash", "mjs": "node"}
NEEDS = {"py": (), "sh": ("bash", "curl"), "mjs": ("node",)}


@pytest.fixture
def run_script(run_command: Callable[..., str]) -> Callable[[str], str]:
    def run(name: str) -> str:
        kind = name.rsplit(".", 1)[1]
        require(*NEEDS[kind])
        return run_command([INTERPRETERS[kind], str(SCRIPTS / name)])

    return run


def test_the_openai_client_prints_the_vector_of_one_text(run_script: Any, plain: Any) -> None:
    vector = json.loads(run_script("openai_single.py"))
    np.testing.assert_array_equal(np.float32(vector), plain(ONE)[0])


def test_the_openai_client_prints_the_width_of_each_vector_of_a_batch(run_script: Any) -> None:
    assert run_script("openai_batch.py").splitlines() == [
        "Index 0: 384-dimension vector",
        "Index 1: 384-dimension vector",
        "Index 2: 384-dimension vector",
    ]


@pytest.mark.parametrize(
    ("script", "texts"),
    [
        ("curl_single.sh", ONE),
        ("curl_batch.sh", BATCH),
        ("requests_single.py", ONE),
        ("requests_batch.py", BATCH),
        ("fetch_single.mjs", ONE),
        ("fetch_batch.mjs", BATCH),
    ],
)
def test_a_script_with_the_model_in_the_path_gets_the_vectors_of_plain_http(
    run_script: Any, plain: Any, script: str, texts: list[str]
) -> None:
    answer = json.loads(run_script(script))
    assert answer["object"] == "list"
    assert answer["model"] == "all-MiniLM-L6-v2"
    assert [item["index"] for item in answer["data"]] == list(range(len(texts)))
    assert answer["usage"]["prompt_tokens"] == answer["usage"]["total_tokens"] > 0
    vectors = np.array([item["embedding"] for item in answer["data"]], np.float32)
    np.testing.assert_array_equal(vectors, plain(texts))
