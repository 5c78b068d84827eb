"""Many requests at once: each gets its own vectors, and whoever misbehaves stops nobody."""

import base64
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import requests

from server import RunningServer

MODELS = {"all-MiniLM-L6-v2": 384, "wordllama-256": 256}
WORDS = [
    "river",
    "museum",
    "engine",
    "garden",
    "number",
    "light",
    "house",
    "window",
    "vector",
    "token",
    "passage",
    "query",
]
Matrix = npt.NDArray[np.float32]


def cl100k(text: str) -> list[int]:
    """Write ASCII as cl100k_base ids, a token for each byte."""
    return [220 if letter == " " else ord(letter) - 33 for letter in text]


@dataclass(frozen=True, slots=True)
class Asked:
    """One request, and the texts whose vectors it must give."""

    body: dict[str, Any]
    texts: tuple[str, ...]

    def vectors(self, answer: dict[str, Any]) -> Matrix:
        items = answer["data"]
        assert [item["index"] for item in items] == list(range(len(self.texts)))
        rows = [item["embedding"] for item in items]
        if self.body.get("encoding_format") == "base64":
            rows = [np.frombuffer(base64.b64decode(row), "<f4") for row in rows]
        return np.array(rows, dtype=np.float32)


def texts(count: int) -> list[str]:
    """Make texts of 1 to 60 words; no two are the same."""
    chance = random.Random(2)
    return [
        " ".join([f"number {n}", *chance.choices(WORDS, k=chance.choice([1, 5, 20, 60]))])
        for n in range(count)
    ]


def mixed(count: int, pool: list[str]) -> list[Asked]:
    chance = random.Random(1)
    made = []
    for _ in range(count):
        model = chance.choice(list(MODELS))
        chosen = tuple(chance.sample(pool, chance.choice([1, 1, 1, 2, 7])))
        form = chance.choice(["texts", "texts", "ids"])
        several: list[Any] = [cl100k(text) for text in chosen] if form == "ids" else list(chosen)
        body: dict[str, Any] = {"model": model, "input": several}
        if len(chosen) == 1 and chance.random() < 0.7:
            body["input"] = several[0]
        if chance.random() < 0.4:
            body["dimensions"] = chance.choice([16, 100, MODELS[model]])
        if chance.random() < 0.5:
            body["encoding_format"] = chance.choice(["base64", "float"])
        made.append(Asked(body, chosen))
    return made


def one_by_one(server: RunningServer, pool: list[str]) -> dict[tuple[str, str], Matrix]:
    """Ask for each text alone, of each model."""
    found = {}
    for model in MODELS:
        for text in pool:
            answer = server.post({"model": model, "input": text})
            found[model, text] = np.array(answer.json()["data"][0]["embedding"], dtype=np.float32)
    return found


def cut(vector: Matrix, dimensions: int | None) -> Matrix:
    short = vector[:dimensions]
    return short / np.linalg.norm(short)


def at_once(count: int, work: Callable[[int], requests.Response]) -> list[requests.Response]:
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(work, range(count)))


def test_200_mixed_requests_at_once_get_their_own_vectors(busy_server: RunningServer) -> None:
    pool = texts(60)
    alone = one_by_one(busy_server, pool)
    asked = mixed(200, pool)

    def send(number: int) -> requests.Response:
        # A connection for each: a shared pool would send them one after another.
        return requests.post(
            f"{busy_server.base_url}/embeddings",
            json=asked[number].body,
            headers=busy_server.headers,
            timeout=120,
        )

    answers = at_once(len(asked), send)
    assert {answer.status_code for answer in answers} == {200}
    for one, answer in zip(asked, answers, strict=True):
        content = answer.json()
        model = one.body["model"]
        assert content["model"] == model
        wanted = [cut(alone[model, text], one.body.get("dimensions")) for text in one.texts]
        np.testing.assert_allclose(one.vectors(content), np.array(wanted), atol=1e-5)


def test_the_same_texts_one_by_one_tell_the_vectors_apart(busy_server: RunningServer) -> None:
    """Otherwise the test above could not see that two were exchanged."""
    alone = one_by_one(busy_server, texts(60)[:20])
    for model in MODELS:
        vectors = np.stack([vector for (of, _), vector in alone.items() if of == model])
        apart = np.abs(vectors[:, None] - vectors[None]).max(axis=2)
        assert (apart + np.eye(len(vectors))).min() > 1e-3
