"""The same of ``emblem serve``: whatever comes on a connection, each answer is that of its request."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from http1.listening import PATIENCE_S, Client, head, posted
from serve.processes import STATIC
from server import RunningServer, linked_home, running_server

OFFER = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk")
TEXTS = ["a river", "a window", "a museum of engines"]


@pytest.fixture(scope="module")
def serving(model_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    home = linked_home(tmp_path_factory.mktemp("served") / "home", model_home)
    with running_server(home, args=[STATIC, "--offline"]) as server:
        yield server
        assert "Traceback" not in server.log.read_text()


@pytest.fixture
def client(serving: RunningServer) -> Iterator[Client]:
    one = Client(socket.create_connection(("127.0.0.1", serving.port), timeout=PATIENCE_S))
    yield one
    one.close()


def asked(server: RunningServer, text: str, *headers: str) -> bytes:
    body = json.dumps({"model": STATIC, "input": text}).encode()
    key = f"Authorization: Bearer {server.key}"
    return posted("/v1/embeddings", body, key, "Content-Type: application/json", *headers)


def vector(body: bytes) -> list[float]:
    (item,) = json.loads(body)["data"]
    return list(item["embedding"])


@pytest.fixture(scope="module")
def vectors(serving: RunningServer) -> dict[str, list[float]]:
    answers = {one: serving.post({"model": STATIC, "input": one}).content for one in TEXTS}
    return {text: vector(body) for text, body in answers.items()}


def test_requests_that_come_together_each_have_their_own_vector(
    serving: RunningServer, client: Client, vectors: dict[str, list[float]]
) -> None:
    texts = [TEXTS[n * n % 3] for n in range(40)]
    offers = [OFFER if n % 4 == 1 else () for n in range(40)]
    client.send(
        b"".join(asked(serving, text, *offer) for text, offer in zip(texts, offers, strict=True))
    )
    for text in texts:
        assert vector(client.reply().body) == vectors[text]


def test_a_refusal_in_between_takes_nobody_elses_answer(
    serving: RunningServer, client: Client, vectors: dict[str, list[float]]
) -> None:
    inside = asked(serving, TEXTS[2])
    refused = posted("/v1/embeddings", inside * 100)  # nobody reads it without a key
    client.send(asked(serving, TEXTS[0]) + refused + asked(serving, TEXTS[1]))
    assert vector(client.reply().body) == vectors[TEXTS[0]]
    assert client.reply().status == 401
    assert vector(client.reply().body) == vectors[TEXTS[1]]


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"what is this?\r\n\r\n", 400),
        (b"POST /v1/embeddings HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (head("GET", "/v1/models", *[f"x-{n}: y" for n in range(200)]), 431),
        (head("GET", "/v1/models", f"X: {'y' * 100_000}"), 431),
        (head("GET", "/v1/models", "Authorization: Bearer x"), 401),
        (head("OPTIONS", "*"), 401),
        (head("GET", "http://else.where/health"), 200),
    ],
)
def test_what_can_only_be_refused_is_refused_as_everything_is(
    serving: RunningServer, client: Client, sent: bytes, status: int
) -> None:
    reply = client.send(sent).reply()
    assert reply.status == status
    if status != 200:
        error = json.loads(reply.body)["error"]
        assert set(error) == {"message", "type", "param", "code"}
    if status in (400, 431):
        assert client.ended()
