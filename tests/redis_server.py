"""A real Redis for tests: on a socket of its own, with nothing on disk."""

import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from system import require

START_S = 20.0


@dataclass(slots=True)
class RedisServer:
    """A Redis that can be stopped, paused and started again at the same address."""

    folder: Path
    options: tuple[str, ...] = ()
    process: "subprocess.Popen[bytes] | None" = field(default=None)

    @property
    def path(self) -> str:
        return str(self.folder / "redis.sock")

    @property
    def url(self) -> str:
        return f"unix://{self.path}"

    def start(self) -> None:
        command = ["redis-server", "--port", "0", "--unixsocket", self.path, "--save", ""]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [*command, "--appendonly", "no", "--dir", str(self.folder), *self.options],
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        ends = time.monotonic() + START_S
        while not self._answers():
            assert self.process.poll() is None, (self.folder / "log").read_text()
            assert time.monotonic() < ends, "redis-server does not answer"
            time.sleep(0.01)

    def _answers(self) -> bool:
        try:
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(1)
                client.connect(self.path)
                client.sendall(b"PING\r\n")
                return client.recv(5) in (b"+PONG", b"-NOAU")
        except OSError:
            return False

    def run(self, *command: str) -> object:
        """Run a command as another client would."""
        from redis import Redis

        with Redis(unix_socket_path=self.path, decode_responses=True) as client:
            return client.execute_command(*command)

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def pause(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)


@contextmanager
def redis_server(*options: str) -> Iterator[RedisServer]:
    """Run a Redis for as long as the block. Skips the test where there is none to run."""
    require("redis-server")
    folder = Path(tempfile.mkdtemp(prefix="emblem-redis-"))  # a socket's path must be short
    server = RedisServer(folder, options)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder)
