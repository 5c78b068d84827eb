"""The real model behind the cache: the same bytes, whatever is asked of them."""

import base64
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests

from emblem.core.output import shortened
from server import RunningServer, linked_home, running_server

MINILM, STATIC = "all-MiniLM-L6-v2", "wordllama-256"
LONG = "the museum of garden engines and the river by the light house " * 40
# How else an answer may be written, and how far its numbers may lie from those of another run.
FORMS: list[tuple[dict[str, Any], float]] = [
    ({}, 2e-6),
    ({"encoding_format": "base64"}, 2e-6),
    ({"dimensions": 64}, 2e-6),
    ({"output_dtype": "int8", "encoding_format": "base64"}, 1),
]


@pytest.fixture(scope="module")
def server(model_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    home = linked_home(tmp_path_factory.mktemp("cache") / "home", model_home)
    with running_server(home, args=[MINILM, STATIC]) as running:
        yield running


def ask(server: RunningServer, body: dict[str, Any], **headers: str) -> requests.Response:
    answer = server.session.post(
        f"{server.base_url}/embeddings",
        json=body,
        headers=server.headers | {name.replace("_", "-"): it for name, it in headers.items()},
        timeout=120,
    )
    assert answer.status_code == 200, answer.text
    return answer


def hits(answer: requests.Response) -> tuple[int, int]:
    found = re.fullmatch(r"hits=(\d+)/(\d+)", answer.headers["x-embedding-cache"])
    assert found
    return int(found[1]), int(found[2])


@pytest.mark.parametrize("model", [MINILM, STATIC])
def test_the_second_answer_has_the_same_bytes_and_computes_nothing(
    server: RunningServer, model: str
) -> None:
    body = {"model": model, "input": [f"{model} once", "and twice", LONG]}
    first, again = ask(server, body), ask(server, body)
    assert (hits(first), hits(again)) == ((0, 3), (3, 3))
    assert again.content == first.content
    told = ("x-embedding-space", "x-embedding-overflow")
    assert [again.headers.get(name) for name in told] == [first.headers.get(name) for name in told]


@pytest.mark.parametrize(("form", "far"), FORMS, ids=str)
def test_every_form_of_a_known_vector_is_that_of_a_new_one(
    server: RunningServer, form: dict[str, Any], far: float
) -> None:
    body = {"model": MINILM, "input": ["a vector in every form", LONG]}
    ask(server, body)
    known, anew = ask(server, body | form), ask(server, body | form, cache_control="no-cache")
    assert (hits(known), hits(anew)) == ((2, 2), (0, 2))
    expected = numbers(anew, form).astype(float)
    np.testing.assert_allclose(numbers(known, form), expected, atol=far, rtol=0)


def test_fewer_numbers_are_made_of_a_known_vector_as_the_engine_makes_them(
    server: RunningServer,
) -> None:
    body = {"model": MINILM, "input": ["a vector of which some numbers are wanted", LONG]}
    full = numbers(ask(server, body), {})
    part = numbers(ask(server, body | {"dimensions": 64}), {})
    expected = shortened(full, 64, normalised=True)
    assert part.tobytes() == expected.tobytes()
    signs = {"dimensions": 64, "output_dtype": "ubinary"}
    known = ask(server, body | signs)
    assert hits(known) == (2, 2)
    assert numbers(known, signs).tolist() == np.packbits(expected > 0, axis=1).tolist()


def numbers(answer: requests.Response, form: dict[str, Any]) -> np.ndarray:
    """Read the numbers of an answer: (n, d)."""
    kind = np.dtype({"int8": "i1", "ubinary": "u1"}.get(form.get("output_dtype", ""), "<f4"))
    rows = [one["embedding"] for one in answer.json()["data"]]
    if form.get("encoding_format") == "base64":
        return np.array([np.frombuffer(base64.b64decode(row), kind) for row in rows])
    return np.array(rows, dtype=kind)


def test_texts_and_token_ids_that_stand_for_them_are_one(server: RunningServer) -> None:
    ask(server, {"model": MINILM, "input": "hello world"})
    assert hits(ask(server, {"model": MINILM, "input": [[15339, 1917]]})) == (1, 1)


def test_a_known_text_is_refused_like_a_new_one(server: RunningServer) -> None:
    ask(server, {"model": MINILM, "input": LONG})
    refused = server.post({"model": MINILM, "input": ["short", LONG], "overflow": "error"})
    assert refused.status_code == 400
    assert "$.input[1] is " in refused.json()["error"]["message"]


def test_a_text_that_many_ask_for_at_once_is_computed_once(server: RunningServer) -> None:
    """All who ask are answered alike; one of them computes, and says so."""
    text = "asked for by everybody at the same moment " * 20
    answers: list[requests.Response] = []
    start = threading.Barrier(8)

    def one() -> None:
        with requests.Session() as session:
            session.trust_env = False
            start.wait()
            body = {"model": MINILM, "input": text}
            answers.append(
                session.post(
                    f"{server.base_url}/embeddings", json=body, headers=server.headers, timeout=60
                )
            )

    threads = [threading.Thread(target=one) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1
    assert sum(8 - 8 * hits(answer)[0] for answer in answers) == 8


def test_the_server_tells_how_full_its_memory_is(server: RunningServer) -> None:
    before = server.get("/ps").json()["cache"]
    ask(server, {"model": MINILM, "input": ["how full it is", "how full it is now"]})
    ask(server, {"model": MINILM, "input": "how full it is"})
    after = server.get("/ps").json()["cache"]
    assert after["entries"] == before["entries"] + 2
    assert 3000 < after["bytes"] - before["bytes"] < 5000
    assert (after["hits"], after["misses"]) == (before["hits"] + 1, before["misses"] + 2)
    assert after["max_bytes"] <= 256 << 20


def test_without_room_nothing_is_remembered(model_home: Path, tmp_path: Path) -> None:
    home = linked_home(tmp_path / "home", model_home)
    with running_server(home, args=[STATIC, "--cache-bytes", "0"]) as server:
        body = {"model": STATIC, "input": ["a", "a"]}
        first, again = ask(server, body), ask(server, body)
        assert "x-embedding-cache" not in again.headers
        assert again.content == first.content
        assert server.get("/ps").json()["cache"] is None
