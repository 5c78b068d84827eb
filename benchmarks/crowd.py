"""Many clients in one process, for the runs that load a server on purpose: overload.py and soak.py.

Requests are bytes that were made before, on plain asyncio protocols, so that little is taken from
the cores that the server computes on. Nothing here decides what is right.
"""

import asyncio
import base64
import json
import os
import random
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

ROOT = Path(__file__).parents[1]
HOME = ROOT / ".cache" / "test-home"
START_S = 120.0
STOP_S = 60.0

WORDS = """
river museum engine garden number light house window vector token passage query winter market doctor
island letter music stone bridge harbour science history forest
""".split()  # noqa: SIM905 - as text it can be read

Matrix = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Server:
    """A server that answers, with the keys that open it."""

    port: int
    keys: tuple[str, ...]
    process: "subprocess.Popen[bytes]"

    def request(self, body: object, key: int = 0, *, raw: bytes | None = None) -> bytes:
        """Give the bytes of a request for embeddings."""
        content = json.dumps(body).encode() if raw is None else raw
        head = (
            "POST /v1/embeddings HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
            f"authorization: Bearer {self.keys[key]}\r\ncontent-length: {len(content)}\r\n\r\n"
        )
        return head.encode() + content

    def workers(self) -> list[int]:
        """Give the processes that serve: the children of the one that was started."""
        path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in path.read_text().split()] or [self.process.pid]

    def resident_mib(self) -> float:
        """Give what the processes that serve hold in memory."""
        pages = [int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in self.workers()]
        return sum(pages) * os.sysconf("SC_PAGE_SIZE") / (1 << 20)

    def cpu_s(self) -> float:
        """Give the seconds of processor time that they have taken."""
        ticks = 0
        for pid in self.workers():
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")


@contextmanager
def serving(
    home: Path, models: Sequence[str], *, keys: int = 1, **settings: str
) -> Iterator[Server]:
    """Serve models of the test home, under a home of its own, for as long as the block runs."""
    for shelf in ("models", "files"):
        (home / shelf).symlink_to(HOME / shelf, target_is_directory=True)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    first = f"sk-{secrets.token_urlsafe(32)}"
    clean = {name: value for name, value in os.environ.items() if not name.startswith("EMBLEM_")}
    env = clean | {"EMBLEM_HOME": str(home), "EMBLEM_API_KEY": first} | settings
    command = [sys.executable, "-m", "emblem"]
    made = [first]
    for number in range(1, keys):
        created = subprocess.run(
            [*command, "keys", "create", f"key-{number}"], env=env, capture_output=True, check=True
        )
        made.append(next(w for w in created.stdout.decode().split() if w.startswith("sk-")))
    with (home / "serve.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "serve", *models, "--port", str(port)],
            env=env, cwd=home, stdout=log, stderr=log,
        )  # fmt: skip
        try:
            _wait_until_ready(port, process, home / "serve.log")
            yield Server(port, tuple(made), process)
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                raise


@contextmanager
def refusing() -> Iterator[int]:
    """Give the port of a server that refuses everything, for as long as the block runs."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
    process = subprocess.Popen([sys.executable, ROOT / "benchmarks" / "refusing.py", str(port)])
    try:
        while process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        process.wait(STOP_S)


def _wait_until_ready(port: int, process: "subprocess.Popen[bytes]", log: Path) -> None:
    for _ in range(int(START_S / 0.1)):
        if process.poll() is not None:
            raise SystemExit(f"the server does not start:\n{log.read_text()}")
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/ready", timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise SystemExit(f"the server is not ready after {START_S:.0f} s")


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer. ``status`` is 0 where the connection broke; ``seconds`` since it was due."""

    status: int
    head: bytes
    body: bytes
    seconds: float

    def header(self, name: str) -> str | None:
        """Give the value of a header, None where it is missing."""
        for line in self.head.split(b"\r\n")[1:]:
            key, _, value = line.partition(b":")
            if key.strip().lower() == name.encode():
                return value.strip().decode()
        return None


class _Connection(asyncio.Protocol):
    """One connection: one request at a time, whose answer has a content-length."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.answered: asyncio.Future[tuple[bytes, bytes]] | None = None
        self._received = bytearray()
        self._head = b""
        self._expected = -1

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        if self._expected < 0:
            end = self._received.find(b"\r\n\r\n")
            if end < 0:
                return
            self._head = bytes(self._received[:end])
            at = self._head.lower().index(b"content-length:") + 15
            self._expected = end + 4 + int(self._head[at:].split(b"\r\n", 1)[0])
        if len(self._received) >= self._expected:
            body = bytes(self._received[len(self._head) + 4 : self._expected])
            del self._received[: self._expected]
            self._expected = -1
            if self.answered is not None and not self.answered.done():
                self.answered.set_result((self._head, body))

    def connection_lost(self, _: Exception | None) -> None:
        self.transport = None
        if self.answered is not None and not self.answered.done():
            self.answered.set_exception(ConnectionError("the connection broke"))


class Crowd:
    """As many clients as it takes: a request uses a connection that is idle, or a new one."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._idle: list[_Connection] = []
        self.connections = 0

    async def ask(self, request: bytes, due: float | None = None) -> Reply:
        """Send a request and wait for its answer. Cancelling it closes the connection."""
        due = time.perf_counter() if due is None else due
        loop = asyncio.get_running_loop()
        connection = None
        try:
            connection = await self._connection()
            connection.answered = loop.create_future()
            assert connection.transport is not None
            connection.transport.write(request)
            head, body = await connection.answered
        except (OSError, AssertionError):
            return Reply(0, b"", b"", time.perf_counter() - due)
        except asyncio.CancelledError:
            if connection is not None and connection.transport is not None:
                connection.transport.abort()
            raise
        if b"connection: close" not in head.lower():
            self._idle.append(connection)
        return Reply(int(head[9:12]), head, body, time.perf_counter() - due)

    async def _connection(self) -> _Connection:
        while self._idle:
            connection = self._idle.pop()
            if connection.transport is not None and not connection.transport.is_closing():
                return connection
        loop = asyncio.get_running_loop()
        _, made = await loop.create_connection(_Connection, "127.0.0.1", self._port)
        self.connections += 1
        return made

    def close(self) -> None:
        """Close what is idle."""
        for connection in self._idle:
            if connection.transport is not None:
                connection.transport.abort()
        self._idle.clear()


@asynccontextmanager
async def crowd(server: Server) -> AsyncIterator[Crowd]:
    """Open a crowd of clients for as long as the block runs."""
    made = Crowd(server.port)
    try:
        yield made
    finally:
        made.close()


def text(chance: random.Random, words: int) -> str:
    """Make a text of about so many tokens."""
    return " ".join(chance.choices(WORDS, k=words))


def vectors(body: bytes) -> Matrix:
    """Read the vectors out of an answer in base64: (n, d)."""
    items = sorted(json.loads(body)["data"], key=lambda item: item["index"])
    return np.array([np.frombuffer(base64.b64decode(one["embedding"]), "<f4") for one in items])


def wrong(found: Matrix, expected: Matrix) -> str | None:
    """Say what is wrong with vectors that should be these."""
    if found.shape != expected.shape:
        return f"the shape is {found.shape} and not {expected.shape}"
    off = float(np.abs(found - expected).max())
    return f"a number is off by {off:.2g}" if not off < 1e-4 else None
