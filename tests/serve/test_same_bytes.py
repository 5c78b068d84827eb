"""Over HTTP too a text has the same bytes alone, in a batch and beside strangers."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from server import RunningServer, linked_home, running_server

WORDS = ("river", "garden", "museum", "number", "light", "house", "window", "vector", "search")
TEXTS = [
    " ".join(WORDS[(place * seed) % len(WORDS)] for place in range(count))
    for seed, count in enumerate((1, 3, 7, 13, 14, 15, 30, 62, 125, 254, 255, 600), 1)
]  # up to 600 words: the last is longer than the model reads, and so the mean of its windows


@pytest.fixture(scope="module")
def server(model_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    home = linked_home(tmp_path_factory.mktemp("same-bytes"), model_home)
    with running_server(home, args=("--streams", "2", "--threads", "2")) as running:
        yield running


def vectors_of(server: RunningServer, *texts: str) -> list[str]:
    """The vectors in base64, each computed for this request."""
    answer = server.session.post(
        f"{server.base_url}/embeddings",
        json={"model": "all-MiniLM-L6-v2", "input": texts, "encoding_format": "base64"},
        headers=server.headers | {"Cache-Control": "no-cache, no-store"},
        timeout=120,
    )
    assert answer.status_code == 200, answer.text
    return [one["embedding"] for one in answer.json()["data"]]


def test_a_text_has_the_same_bytes_alone_in_a_batch_and_beside_strangers(
    server: RunningServer,
) -> None:
    alone = [vectors_of(server, text)[0] for text in TEXTS]
    assert len(set(alone)) == len(TEXTS)
    assert vectors_of(server, *TEXTS) == alone
    assert vectors_of(server, *TEXTS[::-1], *TEXTS[::3]) == alone[::-1] + alone[::3]
    with ThreadPoolExecutor(4) as clients:
        orders = [TEXTS[turn:] + TEXTS[:turn] for turn in range(0, len(TEXTS), 2)]
        for turn, found in zip(
            range(0, len(TEXTS), 2),
            clients.map(lambda texts: vectors_of(server, *texts), orders),
            strict=True,
        ):
            assert found == alone[turn:] + alone[:turn]
