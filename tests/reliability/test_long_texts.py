"""While texts as long as may be are read, short ones are answered, and none is lost."""

import itertools
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import requests

from server import RunningServer

MODEL = "all-MiniLM-L6-v2"
CHARACTERS = 64 * 8192  # a longer one is refused unread
LONG_REQUESTS = 2
TEXTS = 3  # in each of them


def endless_word(start: int) -> str:
    """Make a word of Korean syllables: a second's reading, of which comes one unknown token."""
    signs = itertools.islice(itertools.cycle(range(0xAC00 + start, 0xD7A0)), CHARACTERS)
    return "".join(map(chr, signs))


def embed(server: RunningServer, *texts: str) -> requests.Response:
    # A connection for each: a shared pool would send them one after another.
    return requests.post(
        f"{server.base_url}/embeddings",
        json={"model": MODEL, "input": list(texts)},
        headers=server.headers,
        timeout=120,
    )


def vectors(answer: requests.Response) -> np.ndarray:
    assert answer.status_code == 200
    return np.array([item["embedding"] for item in answer.json()["data"]], np.float32)


def in_progress(server: RunningServer) -> int:
    models = server.get("/ps").json()["models"]
    return int(next(one["requests"] for one in models if one["name"] == MODEL))


def test_short_texts_are_answered_while_the_longest_are_read(busy_server: RunningServer) -> None:
    short = [f"Which river flows past museum number {n}?" for n in range(10)]
    short.append(" ".join(["A river flows past a museum."] * 40))
    words = [endless_word(n) for n in range(LONG_REQUESTS * TEXTS)]
    with ThreadPoolExecutor(LONG_REQUESTS) as pool:
        long: list[Future[requests.Response]] = [
            pool.submit(embed, busy_server, *words[TEXTS * n : TEXTS * (n + 1)])
            for n in range(LONG_REQUESTS)
        ]
        while in_progress(busy_server) < LONG_REQUESTS and not any(one.done() for one in long):
            pass
        answers = [embed(busy_server, text) for text in short]
        assert not any(one.done() for one in long)
    apart = [vectors(embed(busy_server, f"{text} ", "other"))[0] for text in short]
    np.testing.assert_allclose(np.concatenate([*map(vectors, answers)]), apart, atol=1e-5)
    unknown = vectors(embed(busy_server, endless_word(0)[:200]))[0]
    for one in long:
        answer = one.result()
        assert answer.json()["usage"]["prompt_tokens"] == 3 * TEXTS
        np.testing.assert_allclose(vectors(answer), [unknown] * TEXTS, atol=1e-5)
