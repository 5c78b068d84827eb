"""Prove that every locked package has a wheel for every platform that Emblem promises.

For each platform and Python it reads ``requirements/core.txt`` as pip would there, and downloads
the wheels with ``pip download --platform … --only-binary=:all:``, hashes checked. Nothing is
installed, and the wheels are thrown away. Exit code 1 if any of them could not be had.

    python scripts/check_lock.py [--python 3.12]
"""

import argparse
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from packaging.markers import Environment, Marker, default_environment

LOCK = Path(__file__).parents[1] / "requirements" / "core.txt"
PYTHONS = ("3.11", "3.12", "3.13", "3.14")


@dataclass(frozen=True, slots=True)
class Platform:
    """A place where Emblem is to run: its wheel tags, and what markers say there."""

    name: str
    tags: tuple[str, ...]
    sys_platform: str
    platform_system: str
    machine: str
    os_name: str = "posix"

    def environment(self, python: str) -> Environment:
        """Give what a marker in the lock is asked about on this platform."""
        here = default_environment()
        here["implementation_name"] = "cpython"
        here["implementation_version"] = here["python_full_version"] = f"{python}.0"
        here["os_name"] = self.os_name
        here["platform_machine"] = self.machine
        here["platform_system"] = self.platform_system
        here["python_version"] = python
        here["sys_platform"] = self.sys_platform
        return here


def manylinux(machine: str, newest_glibc: int) -> tuple[str, ...]:
    """Every tag that a Linux with this glibc (2.N) accepts, the newest first."""
    tags = [f"manylinux_2_{minor}_{machine}" for minor in range(newest_glibc, 4, -1)]
    return (*tags, f"manylinux2014_{machine}", f"manylinux1_{machine}")


# OpenVINO sets these: glibc 2.28 is Debian 10 and RHEL 8; 2.35 is Ubuntu 22.04, and Debian 12 has newer.
PLATFORMS = (
    Platform("Linux x86-64, glibc 2.28", manylinux("x86_64", 28), "linux", "Linux", "x86_64"),
    Platform("Linux aarch64, glibc 2.35", manylinux("aarch64", 35), "linux", "Linux", "aarch64"),
    Platform("macOS 14 arm64", ("macosx_14_0_arm64",), "darwin", "Darwin", "arm64"),
    Platform("Windows amd64", ("win_amd64",), "win32", "Windows", "AMD64", "nt"),
)


def entries(lock: str) -> list[str]:
    """Split a lock into its requirements, each with its hashes."""
    joined = lock.replace("\\\n", " ")
    return [line for line in joined.splitlines() if line.strip() and not line.startswith("#")]


def wanted(entry: str, environment: Environment) -> str | None:
    """Give the requirement without its marker, or None where the marker leaves it out."""
    requirement, _, hashes = entry.partition(" --hash")
    pinned, _, marker = requirement.partition(";")
    if marker and not Marker(marker.strip()).evaluate(environment):
        return None
    return f"{pinned.strip()} --hash{hashes}"


def download(platform: Platform, python: str, folder: Path) -> tuple[int, int, str]:
    """Download the wheels into a folder: how many were wanted, how many came, and pip's complaint."""
    environment = platform.environment(python)
    lines = [line for entry in entries(LOCK.read_text()) if (line := wanted(entry, environment))]
    requirements = folder / "requirements.txt"
    requirements.write_text("\n".join(lines) + "\n")
    tags = [flag for tag in platform.tags for flag in ("--platform", tag)]
    abi = f"cp{python.replace('.', '')}"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet"),
            *("--no-deps", "--only-binary=:all:", "--require-hashes", "--dest", str(folder)),
            *("--implementation", "cp", "--python-version", python),
            *("--abi", abi, "--abi", "abi3", "--abi", "none", *tags),
            *("--requirement", str(requirements)),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    complaint = "" if done.returncode == 0 else (done.stderr.strip().splitlines() or ["?"])[-1]
    return len(lines), len(list(folder.glob("*.whl"))), complaint


def main() -> int:
    """Check every platform and Python, one line each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--python", action="append", choices=PYTHONS, help="only this one")
    pythons = parser.parse_args().python or PYTHONS
    failed = False
    for python in pythons:
        for platform in PLATFORMS:
            with tempfile.TemporaryDirectory() as folder:
                locked, came, complaint = download(platform, python, Path(folder))
            good = not complaint and came == locked
            failed = failed or not good
            verdict = "every one a wheel" if good else f"only {came} came: {complaint}"
            print(f"Python {python}, {platform.name}: {locked} packages, {verdict}", flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
