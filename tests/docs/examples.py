"""Running the example in a block as a user would."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import requests

from docs.pages import Block
from server import RunningServer, free_port
from system import CLIENTS_PYTHON, require, require_clients, require_node_modules

TIME_S = 120.0
CLIENTS = ("langchain", "llama_index", "haystack", "litellm")  # not in the tests' own environment

Environment = dict[str, str]
ServerFor = Callable[[str], RunningServer]
Surroundings = Callable[[RunningServer], Environment]


def run(block: Block, folder: Path, environment: Environment) -> str:
    """Run a block in a folder and give what it printed; it must end well."""
    printed, complaints = folder / "printed.log", folder / "complaints.log"
    # Into files: a pipe would stay open for as long as a server that a failed example leaves.
    with printed.open("wb") as output, complaints.open("wb") as errors:
        process = subprocess.Popen(
            _command(block, folder),
            cwd=folder,
            env=environment,
            stdout=output,
            stderr=errors,
            start_new_session=True,
        )
        try:
            process.wait(TIME_S)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    said = complaints.read_text("utf-8")
    assert process.returncode == 0, f"{block} ended with {process.returncode}:\n{said}"
    return printed.read_text("utf-8").replace("\r\n", "\n")


def _command(block: Block, folder: Path) -> list[str]:
    match block.language:
        case "bash":
            require("bash", *(["curl"] if "curl" in block.content else []))
            return ["bash", "-euo", "pipefail", "-c", block.content]
        case "python":
            if not any(name in block.content for name in CLIENTS):
                return [sys.executable, "-c", block.content]
            require_clients()
            return [str(CLIENTS_PYTHON), "-c", block.content]
        case _:
            require("node")
            if 'from "openai"' in block.content:
                require_node_modules()
            program = folder / "example.mjs"
            program.write_text(block.content, "utf-8")
            return ["node", str(program)]


def serves(block: Block) -> bool:
    """Tell whether a block starts a server and stays with it."""
    return "emblem serve" in block.content or "make serve" in block.content


def serve(block: Block, folder: Path, environment: Environment, time_s: float = TIME_S) -> str:
    """Run a block that serves, until it is ready; then stop it as Ctrl-C does, and give its log."""
    port = free_port()
    log = folder / "serve.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["bash", "-euo", "pipefail", "-c", block.content],
            cwd=folder,
            env=environment | {"EMBLEM_PORT": str(port)},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            _wait_until_ready(port, process, log, time_s)
            os.killpg(process.pid, signal.SIGINT)
            process.wait(60)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    return log.read_text("utf-8")


def _wait_until_ready(
    port: int, process: "subprocess.Popen[bytes]", log: Path, time_s: float
) -> None:
    deadline = time.monotonic() + time_s
    with requests.Session() as session:
        session.trust_env = False
        while time.monotonic() < deadline:
            said = log.read_text("utf-8", "replace")
            assert process.poll() is None, f"it ended with {process.returncode}:\n{said}"
            try:
                if session.get(f"http://127.0.0.1:{port}/ready", timeout=5).ok:
                    return
            except requests.ConnectionError:
                time.sleep(0.05)
    raise AssertionError(f"not ready after {time_s:.0f} s:\n{log.read_text('utf-8', 'replace')}")
