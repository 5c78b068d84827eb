"""A real ``emblem serve`` in a process of its own, for the tests that talk to one."""

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import requests

START_S = 120.0
STOP_S = 60.0

_FIRST, _COUNT = 10_240, 22_000
_PORTS = (_FIRST + number % _COUNT for number in count(secrets.randbelow(_COUNT)))


@dataclass(frozen=True, slots=True)
class RunningServer:
    """A server that answers. ``root`` has no path, ``base_url`` ends in ``/v1``."""

    root: str
    key: str
    port: int
    process: "subprocess.Popen[bytes]"
    log: Path
    session: requests.Session = field(repr=False)

    @property
    def base_url(self) -> str:
        """What OpenAI's clients call ``base_url``."""
        return f"{self.root}/v1"

    @property
    def headers(self) -> dict[str, str]:
        """The header that opens the server."""
        return {"Authorization": f"Bearer {self.key}"} if self.key else {}

    def post(self, body: object, path: str = "/v1/embeddings") -> requests.Response:
        """Send JSON with the key, and wait for the answer."""
        return self.session.post(self.root + path, json=body, headers=self.headers, timeout=120)

    def get(self, path: str) -> requests.Response:
        """Ask for a path with the key."""
        return self.session.get(self.root + path, headers=self.headers, timeout=30)


def free_port() -> int:
    """Give a port on loopback that nothing listens on now, each time another.

    It is none of those that systems give to connections (from 32768 on): one of these might take it
    before whoever asked for it does. Tests of other processes begin elsewhere among the others.
    """
    for port in _PORTS:
        with socket.socket() as listener, suppress(OSError):
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(("127.0.0.1", port))
            return port
    raise AssertionError("there is always a next one")


def linked_home(folder: Path, models_of: Path) -> Path:
    """Make a home of its own that shares what another has fetched, so that nothing is fetched."""
    folder.mkdir(parents=True, exist_ok=True)
    for shelf in ("models", "files"):
        (folder / shelf).symlink_to(models_of / shelf, target_is_directory=True)
    return folder


@contextmanager
def running_server(
    home: Path,
    *,
    env: Mapping[str, str] | None = None,
    args: Sequence[str] = (),
    port: int | None = None,
) -> Iterator[RunningServer]:
    """Start a server on a free port, or on one that was free, wait until it is ready, and stop it with SIGTERM.

    ``EMBLEM_*`` of the surrounding environment is left out, so that a test sees only what it sets.
    A random key is set unless ``env`` sets ``EMBLEM_API_KEY`` ("" for none). Leaving asserts that the server ended with 0.
    """
    key = (env or {}).get("EMBLEM_API_KEY", f"sk-{secrets.token_urlsafe(32)}")
    port = port or free_port()
    surroundings = {k: v for k, v in os.environ.items() if not k.startswith("EMBLEM_")}
    settings = {"EMBLEM_HOME": str(home), **(env or {}), "EMBLEM_API_KEY": key}
    environment = surroundings | {k: v for k, v in settings.items() if v}
    command = [sys.executable, "-m", "emblem", "serve", "--port", str(port), *args]
    log = home / f"serve-{port}.log"
    with log.open("wb") as output, requests.Session() as session:
        # The session must not pick up proxies or a .netrc that happen to be on this machine.
        session.trust_env = False
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, env=environment, cwd=home
        )
        server = RunningServer(f"http://127.0.0.1:{port}", key, port, process, log, session)
        try:
            _wait_until_ready(server)
            yield server
            code = _stop(server)
            assert code == 0, f"SIGTERM ended the server with {code}:\n{_tail(log)}"
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()


def _wait_until_ready(server: RunningServer) -> None:
    """Poll /ready: the only sign that an embedding really ran."""
    deadline = time.monotonic() + START_S
    last = "no answer"
    while time.monotonic() < deadline:
        if (code := server.process.poll()) is not None:
            raise AssertionError(f"the server ended with {code}:\n{_tail(server.log)}")
        try:
            answer = server.session.get(f"{server.root}/ready", timeout=5)
        except requests.RequestException as error:
            last = type(error).__name__
        else:
            if answer.status_code == 200:
                return
            last = f"{answer.status_code} {answer.text[:200]}"
        time.sleep(0.05)
    raise AssertionError(f"not ready after {START_S:.0f} s ({last}):\n{_tail(server.log)}")


def _stop(server: RunningServer) -> int:
    server.process.send_signal(signal.SIGTERM)
    try:
        return server.process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        raise AssertionError(
            f"running {STOP_S:.0f} s after SIGTERM:\n{_tail(server.log)}"
        ) from None


def _tail(log: Path, lines: int = 30) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
