"""Who is asked: the upstream itself, Emblem, and LiteLLM's proxy, each started for one run.

Emblem and LiteLLM have a key of the same limits of requests and tokens a minute, far above what comes,
and before the clock starts each must refuse the second request of a key that has one a minute.
Emblem's key has a limit of a day, too, and its use is recorded. LiteLLM keeps keys and what they have
used in a PostgreSQL through prisma; without one its documented way to a key with limits is a function
of one's own (``custom_auth``) that gives them, and its own limiter then counts in memory.

LiteLLM runs as its pages "Production Best Practices" and "Custom Auth" have it, where that needs no
database: one worker, mode PRODUCTION, log level ERROR, nothing verbose, the bundled table of prices.
"""

import json
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks.gateway.upstream import MODEL, WIDTH
from benchmarks.gateway.workloads import Workload

ROOT = Path(__file__).parents[2]
LITELLM = ROOT / ".venv-bench-litellm" / "bin" / "litellm"
START_S = 120.0
REQUESTS_A_MINUTE = 10**8
TOKENS_A_MINUTE = 10**10
TOKENS_A_DAY = 10**12

CUSTOM_AUTH = """\
from fastapi import Request
from litellm.proxy._types import UserAPIKeyAuth

KEYS = {keys!r}


async def user_api_key_auth(request: Request, api_key: str) -> UserAPIKeyAuth:
    return UserAPIKeyAuth(api_key=api_key, **KEYS[api_key])
"""


@dataclass(frozen=True, slots=True)
class System:
    """A process in whose session all of it is, its port and log, its key, and what it is asked."""

    name: str
    process: "subprocess.Popen[bytes]"
    port: int
    log: Path
    key: str = ""
    takes: Callable[[Workload], bool] = lambda _: True

    def resident_mb(self) -> float:
        """Give what all its processes reside in together, what they share counted once."""
        rolled = [
            re.findall(r"^Pss: +(\d+) kB", text, re.MULTILINE)
            for text in self._of_each("smaps_rollup")
        ]
        return sum(int(found[0]) for found in rolled if found) / 1000

    def cpu_s(self) -> float:
        """Give the seconds of processor time that all its processes have taken."""
        fields = [text.rpartition(")")[2].split() for text in self._of_each("stat")]
        return sum(int(one[11]) + int(one[12]) for one in fields) / os.sysconf("SC_CLK_TCK")

    def pause(self) -> None:
        """Stop all its processes."""
        os.killpg(self.process.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let them go on, and wait until it answers: what it knows of keys may be out of date by now."""
        os.killpg(self.process.pid, signal.SIGCONT)
        answers(self)

    def _of_each(self, file: str) -> Iterator[str]:
        """Read a file of each process under /proc."""
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                if int(stat.read_text().rpartition(")")[2].split()[3]) == self.process.pid:
                    yield stat.with_name(file).read_text()
            except OSError:  # one that is gone meanwhile
                continue


def free_port() -> int:
    """Give a port on loopback that nothing listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextmanager
def started(
    command: Sequence[str], folder: Path, **variables: str
) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a program in a session of its own, and end all of it."""
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(
            command,
            stdout=log,
            stderr=log,
            cwd=ROOT,
            env={"PATH": os.environ["PATH"], "HOME": str(folder), **variables},
            start_new_session=True,
        )
    try:
        yield process
    finally:
        for number in (signal.SIGCONT, signal.SIGTERM):
            with suppress(ProcessLookupError):  # one that has ended by itself
                os.killpg(process.pid, number)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def ask(port: int, key: str) -> tuple[int, Mapping[str, str], str]:
    """Have one text embedded; give the status, the headers and the body. Raises OSError."""
    body = json.dumps({"model": MODEL, "input": "1 ready", "encoding_format": "base64"}).encode()
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}
    request = urllib.request.Request(f"http://127.0.0.1:{port}/v1/embeddings", body, headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, dict(answer.headers), answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, dict(error.headers), error.read().decode(errors="replace")


def answers(system: System) -> None:
    """Wait until a system gives a vector."""
    until = time.monotonic() + START_S
    said = ""
    while time.monotonic() < until and system.process.poll() is None:
        try:
            status, _, said = ask(system.port, system.key)
        except OSError as error:
            status, said = 0, str(error)
        if status == 200:
            return
        time.sleep(0.2)
    raise SystemExit(
        f"{system.name} does not answer: {said[:300]}\n{system.log.read_text()[-2000:]}"
    )


def must_count(system: System, once: str) -> None:
    """End unless the limits of a minute are on, and ``once``, a key of one request, is refused a second."""
    _, headers, _ = ask(system.port, system.key)
    told = {
        name.lower().rpartition("limit-")[2]: value
        for name, value in headers.items()
        if name.lower().startswith("x-ratelimit-")
    }
    due = {"requests": str(REQUESTS_A_MINUTE), "tokens": str(TOKENS_A_MINUTE)}
    if {name: told.get(name) for name in due} != due:
        raise SystemExit(f"{system.name} tells other limits than {due}: {told}")
    statuses = [ask(system.port, once)[0] for _ in range(2)]
    if statuses != [200, 429]:
        raise SystemExit(
            f"{system.name} does not count: two requests of a key that has one a minute were answered "
            f"{statuses}, not [200, 429]"
        )


@contextmanager
def upstream(folder: Path) -> Iterator[System]:
    """Start what both ask."""
    port = free_port()
    folder.mkdir()
    with started(
        [sys.executable, "-m", "benchmarks.gateway.upstream", str(port)], folder
    ) as process:
        system = System("the upstream itself", process, port, folder / "log")
        answers(system)
        yield system


@contextmanager
def emblem(folder: Path, behind: int, *, cache: bool) -> Iterator[System]:
    """Start Emblem, with a key that has limits. With a cache it is asked what comes again and again."""
    port = free_port()
    folder.mkdir()
    (folder / "emblem.toml").write_text(
        f"""
        cache_bytes = {256 << 20 if cache else 0}
        log_level = "warning"
        [upstreams.fake]
        preset = "openai-compatible"
        base_url = "http://127.0.0.1:{behind}/v1"
        max_inputs = 2048
        [models.{MODEL}]
        upstream = "fake"
        width = {WIDTH}
        max_length = 8192
        normalised = true
        """
    )
    own = {"EMBLEM_HOME": str(folder), "EMBLEM_CONFIG": str(folder / "emblem.toml")}
    key = _emblem_key(own, REQUESTS_A_MINUTE, TOKENS_A_MINUTE, TOKENS_A_DAY)
    once = _emblem_key(own, 1)
    command = [sys.executable, "-m", "emblem", "serve", "--port", str(port)]
    with started(command, folder, **own) as process:
        name = "Emblem, cache on" if cache else "Emblem"
        log = folder / "log"
        system = System(name, process, port, log, key, lambda work: work.repeated or not cache)
        answers(system)
        must_count(system, once)
        yield system


def _emblem_key(own: Mapping[str, str], *limits: int) -> str:
    """Make a key with limits: of requests a minute, tokens a minute and tokens a day."""
    flags = zip(("--rpm", "--tpm", "--tpd"), map(str, limits), strict=False)
    name = f"requests-{limits[0]}"
    command = [sys.executable, "-m", "emblem", "keys", "create", name, "--json"]
    for flag, limit in flags:
        command += [flag, limit]
    env = {**os.environ, **own}
    made = subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout
    return str(json.loads(made)["key"])


@contextmanager
def litellm(folder: Path, behind: int, *, limits: bool) -> Iterator[System]:
    """Start LiteLLM's proxy: with keys that have limits, or with its master key and nothing counted.

    Without limits it is asked single texts only, which suffices to see what they cost.
    """
    port = free_port()
    folder.mkdir()
    master, key, once = (f"sk-{secrets.token_hex(16)}" for _ in range(3))
    (folder / "config.yaml").write_text(
        f"""
model_list:
  - model_name: {MODEL}
    litellm_params:
      model: openai/{MODEL}
      api_base: http://127.0.0.1:{behind}/v1
      api_key: sk-upstream
litellm_settings:
  set_verbose: False
  json_logs: True
  request_timeout: 600
"""
        + ("general_settings:\n  custom_auth: custom_auth.user_api_key_auth\n" if limits else "")
    )
    minute = {"rpm_limit": REQUESTS_A_MINUTE, "tpm_limit": TOKENS_A_MINUTE}
    keys = {key: minute, once: minute | {"rpm_limit": 1}}
    (folder / "custom_auth.py").write_text(CUSTOM_AUTH.format(keys=keys))
    command = [str(LITELLM), "--config", str(folder / "config.yaml"), "--host", "127.0.0.1",
               "--port", str(port), "--num_workers", "1", "--telemetry", "False"]  # fmt: skip
    production = {
        "LITELLM_MASTER_KEY": master, "LITELLM_MODE": "PRODUCTION", "LITELLM_LOG": "ERROR",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True", "NO_DOCS": "True",
    }  # fmt: skip
    with started(command, folder, **production) as process:
        log = folder / "log"
        system = System("LiteLLM", process, port, log, key)
        if not limits:
            name = "LiteLLM, no limits"
            system = System(name, process, port, log, master, lambda work: work.texts == 1)
        answers(system)
        if limits:
            must_count(system, once)
        yield system
