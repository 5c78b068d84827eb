"""Tools that some tests need and pip cannot install, and environments that make sets up.

Without them a test is skipped, and with ``CI=true`` it fails. The line that says what is missing
names everything that is missing on this machine, so that pytest folds the skips into one.
"""

import os
import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CLIENTS_PYTHON = ROOT / ".venv-clients" / "bin" / "python"
NODE_MODULES = ROOT / "tests" / "compat" / "node" / "node_modules"
PROVIDER_MODULES = ROOT / "tests" / "console" / "provider" / "node_modules"

# Each tool, and the Debian package that has it.
TOOLS = {
    "bash": "bash",
    "chromium": "chromium",
    "curl": "curl",
    "ip": "iproute2",
    "javac": "default-jdk-headless",
    "node": "nodejs",
    "openssl": "openssl",
    "npm": "npm",
    "redis-server": "redis-server",
    "strace": "strace",
    "unshare": "util-linux",
}


def require(*tools: str) -> None:
    """Skip the running test unless every tool is installed; with ``CI=true``, fail it."""
    unknown = set(tools) - set(TOOLS)
    assert not unknown, f"tests/system.py does not know the package of {unknown}"
    if any(shutil.which(tool) is None for tool in tools):
        missing = [tool for tool in TOOLS if shutil.which(tool) is None]
        packages = " ".join(sorted({TOOLS[tool] for tool in missing}))
        absent(f"missing here: {', '.join(missing)}; to run these too: apt-get install {packages}")


def require_clients() -> None:
    """Skip the running test unless the environment of client libraries is there."""
    if not CLIENTS_PYTHON.exists():
        absent("the client libraries are not installed; make test installs them")


def require_node_modules() -> None:
    """Skip the running test unless node is there, and the JavaScript clients with it."""
    require("node", "npm")
    if not (NODE_MODULES / ".done").exists():
        absent("the JavaScript clients are not installed; make test installs them")


def require_provider() -> None:
    """Skip the running test unless node is there, and a provider of OpenID Connect with it."""
    require("node", "npm")
    if not (PROVIDER_MODULES / ".done").exists():
        absent("the provider of OpenID Connect is not installed; make test installs it")


def require_isolation() -> None:
    """Skip the running test unless this process may make a network namespace and trace it."""
    require("ip", "strace", "unshare")
    refusal = _isolation_refused()
    if refusal:
        absent(f"no network namespace can be made here ({refusal})")


@cache
def _isolation_refused() -> str:
    tried = subprocess.run(
        ["unshare", "--net", "strace", "-f", "-e", "trace=connect", "ip", "link"],
        capture_output=True,
        text=True,
        timeout=30,
    )
    return "" if tried.returncode == 0 else tried.stderr.strip().splitlines()[-1]


def absent(what: str) -> None:
    """Skip a test for want of something; in CI, where all is to be there, fail it."""
    if os.environ.get("CI") == "true":
        pytest.fail(what, pytrace=False)
    pytest.skip(what)
