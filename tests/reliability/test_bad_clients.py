"""Clients that stall, vanish or send too much: they are let go, and nobody else waits for them."""

import json
import select
import socket
import statistics
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from itertools import count
from pathlib import Path

import pytest

from emblem.config import Settings
from serve.processes import STATIC, Started, wait_for
from server import RunningServer, linked_home, running_server

MODEL = "all-MiniLM-L6-v2"
PATIENCE_S = 60.0
HEADER_S = 1.5
BODY_S = 1.0


def connect(server: RunningServer) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_S)


def head(server: RunningServer, length: int) -> bytes:
    return (
        "POST /v1/embeddings HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {server.key}\r\nContent-Length: {length}\r\n\r\n"
    ).encode()


def rest(client: socket.socket) -> bytes:
    """Read until the server closes."""
    said = b""
    while chunk := client.recv(65536):
        said += chunk
    return said


def seconds(work: Callable[[], object]) -> float:
    begun = time.monotonic()
    work()
    return time.monotonic() - begun


@pytest.fixture(scope="module")
def strict_server(
    model_home: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningServer]:
    """A server that waits for nobody."""
    home = linked_home(tmp_path_factory.mktemp("strict") / "home", model_home)
    limits = ["--header-timeout-s", str(HEADER_S), "--body-timeout-s", str(BODY_S)]
    with running_server(home, args=[STATIC, "--offline", *limits]) as server:
        yield server


@pytest.mark.parametrize("sent", [b"", b"POST /v1/embed", b"GET /health HTTP/1.1\r\nHost: x\r\n"])
def test_a_connection_that_falls_silent_is_closed(
    strict_server: RunningServer, sent: bytes
) -> None:
    with closing(connect(strict_server)) as client:
        client.sendall(sent)
        assert rest(client) == b""


def test_headers_that_trickle_are_closed(strict_server: RunningServer) -> None:
    with closing(connect(strict_server)) as client:
        client.sendall(b"GET /health HTTP/1.1\r\n")
        closed = trickle(client, b"x: y\r\n")
        assert closed in (b"", None)


def trickle(client: socket.socket, part: bytes) -> bytes | None:
    """Send parts, ten a second, until the server answers or closes; None where it reset."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        readable, _, _ = select.select([client], [], [], 0.1)
        try:
            if readable:
                return rest(client)
            client.sendall(part)
        except ConnectionError:
            return None
    raise AssertionError("the server waits for ever")


def test_a_body_that_trickles_is_408_and_closed(strict_server: RunningServer) -> None:
    with closing(connect(strict_server)) as client:
        client.sendall(head(strict_server, 10_000) + b'{"input": "')
        answer = trickle(client, b"x")
    assert answer is not None
    assert answer.startswith(b"HTTP/1.1 408 ")
    error = json.loads(answer.partition(b"\r\n\r\n")[2])["error"]
    assert (error["type"], error["code"]) == ("invalid_request_error", "body_timeout")


def test_a_crowd_that_stalls_keeps_nobody_out(strict_server: RunningServer) -> None:
    with ExitStack() as crowd:
        for number in range(300):
            client = crowd.enter_context(closing(connect(strict_server)))
            client.sendall((b"", b"GET /he", head(strict_server, 100) + b"{")[number % 3])
        answer = strict_server.post({"model": STATIC, "input": "let me through"})
        assert answer.status_code == 200


def test_an_idle_connection_lives_as_long_as_it_may(strict_server: RunningServer) -> None:
    with closing(connect(strict_server)) as client:
        client.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        assert client.recv(65536).startswith(b"HTTP/1.1 200")
        assert seconds(lambda: rest(client)) > 0.9 * HEADER_S


def test_an_idle_connection_may_live_longer_than_clients_keep_one() -> None:
    """Proxies and clients keep idle connections for up to a minute, and then close them themselves."""
    assert Settings().header_timeout_s > 60


def test_work_whose_clients_have_left_delays_nobody(busy_server: RunningServer) -> None:
    rivers = [f"{n}: " + "a river " * 60 for n in range(2048)]
    many = json.dumps({"model": MODEL, "input": rivers}).encode()
    rounds = count()

    def ask() -> None:
        asked = next(rounds)  # or the texts would be known
        few = [f"{asked}: " + f"a museum of engines {n} " * 8 for n in range(40)]
        body = {"model": MODEL, "input": few, "priority": "bulk"}
        assert busy_server.post(body).status_code == 200

    alone = min(seconds(ask), seconds(ask))
    process = Started(busy_server.process, busy_server.port, str)
    for _ in range(5):
        with closing(connect(busy_server)) as client:
            client.sendall(head(busy_server, len(many)) + many)
            process.compute(0.1)  # so that it has been read, and is in the engine's hands
    log = busy_server.log
    wait_for(lambda: log.read_text().count("POST /v1/embeddings 499") >= 5)
    # Five that were still computed would take turns with this one: six times as long.
    assert seconds(ask) < 3 * alone


@pytest.mark.parametrize("way", ["--http1.1", "--http2-prior-knowledge"])
def test_a_client_that_leaves_is_noticed_where_http_2_is_spoken_too(
    home_for_http_2: Path, way: str
) -> None:
    """There another server speaks HTTP/1.1 as well, which does not call when a client goes."""
    if "HTTP2" not in subprocess.run(["curl", "--version"], capture_output=True, text=True).stdout:
        pytest.skip("this curl does not speak HTTP/2")
    setting = {"EMBLEM_HTTP2": "true"}
    with running_server(home_for_http_2, env=setting, args=[MODEL, "--offline"]) as server:
        long = [f"{n}: " + "a river " * 60 for n in range(2048)]
        asked = home_for_http_2 / "asked.json"
        asked.write_text(json.dumps({"model": MODEL, "input": long}))
        client = subprocess.Popen(
            ["curl", way, "--silent", "--data", f"@{asked}", f"{server.root}/v1/embeddings",
             "--header", "Content-Type: application/json",
             "--header", f"Authorization: Bearer {server.key}"]
        )  # fmt: skip
        Started(server.process, server.port, str).compute(0.5)  # it is in the engine's hands
        client.terminate()
        client.wait(PATIENCE_S)
        wait_for(lambda: "POST /v1/embeddings 499" in server.log.read_text())


@pytest.fixture
def home_for_http_2(model_home: Path, tmp_path: Path) -> Path:
    return linked_home(tmp_path / "home", model_home)


def test_a_text_of_ten_megabytes_is_refused_and_stalls_nobody(busy_server: RunningServer) -> None:
    longest = {"model": MODEL, "input": "word " * 8000, "priority": "bulk"}
    allowed = seconds(lambda: busy_server.post(longest).raise_for_status())
    huge = json.dumps({"model": MODEL, "input": "word " * 2_000_000}).encode()
    waits: list[float] = []
    over = threading.Event()

    def ask_little() -> None:
        while not over.is_set():
            begun = time.monotonic()
            little = {"model": STATIC, "input": "a short question"}
            assert busy_server.post(little).status_code == 200
            waits.append(time.monotonic() - begun)

    def send_huge() -> bytes:
        with closing(connect(busy_server)) as client:
            client.sendall(
                head(busy_server, len(huge)).replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
            )
            client.sendall(huge)
            return rest(client)

    asking = threading.Thread(target=ask_little)
    asking.start()
    took = []
    for _ in range(5):
        begun = time.monotonic()
        answer = send_huge()
        took.append(time.monotonic() - begun)
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert b"maximum context length is 8192 tokens" in answer
    over.set()
    asking.join(PATIENCE_S)
    # Reading them would take many times as long as the longest text that is allowed.
    assert statistics.median(took) < allowed
    assert max(waits) < allowed


def test_answers_that_nobody_reads_stall_nobody(busy_server: RunningServer) -> None:
    texts = [f"a window {n}" for n in range(2048)]
    body = json.dumps({"model": STATIC, "input": texts}).encode()
    with ExitStack() as crowd:
        clients = [crowd.enter_context(closing(connect(busy_server))) for _ in range(8)]
        for client in clients:
            if client is not clients[0]:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.sendall(head(busy_server, len(body)) + body)
            assert client.recv(12) == b"HTTP/1.1 200"
        assert busy_server.post({"model": STATIC, "input": "let me through"}).status_code == 200
        # Whoever comes back to read finds the answer whole.
        said = b""
        while not said.endswith(b"}}"):
            chunk = clients[0].recv(65536)
            assert chunk
            said += chunk
    answer = json.loads(said.partition(b"\r\n\r\n")[2])
    assert [item["index"] for item in answer["data"]] == list(range(2048))


def test_a_flood_of_large_bodies_is_refused_and_not_suffered(busy_server: RunningServer) -> None:
    texts = ["a b " * 1800] * 2000  # 14 MB: within the bytes, and far beyond the tokens
    body = json.dumps({"model": STATIC, "input": texts}).encode()
    answers = []
    with ExitStack() as crowd:
        clients = [crowd.enter_context(closing(connect(busy_server))) for _ in range(40)]
        for client in clients:  # all but a byte: however fast it reads, these it has to hold
            with suppress(OSError):  # it is refused before it has said all
                client.sendall(head(busy_server, len(body)) + body[:-1])
        assert busy_server.post({"model": STATIC, "input": "let me through"}).status_code == 200
        for client in clients:
            with suppress(OSError):
                client.sendall(body[-1:])
            with suppress(OSError):
                answers.append(client.recv(12))
    assert answers.count(b"HTTP/1.1 503") > 0
    assert set(answers) <= {b"HTTP/1.1 503", b"HTTP/1.1 400"}
