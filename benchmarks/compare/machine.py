"""What a run was made on: the machine, and the versions of everything."""

import json
import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.compare.systems import ROOT, SYSTEMS

PACKAGES = [
    "emblem",
    "openvino",
    "granian",
    "numpy",
    "orjson",
    "pybase64",
    "tokenizers",
    "torch",
    "transformers",
    "sentence-transformers",
    "optimum-onnx",
    "optimum-intel",
    "onnxruntime",
    "infinity-emb",
    "fastembed",
    "uvicorn",
]
_LIST = (
    "import json, importlib.metadata as m\nfound = {}\n"
    "for name in %r:\n try: found[name] = m.version(name)\n except m.PackageNotFoundError: pass\n"
    "print(json.dumps(found))"
)


def machine() -> dict[str, str]:
    """Say what this is, and which commit."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "cpu": _cpu(),
        "cpus": str(len(os.sched_getaffinity(0))) if hasattr(os, "sched_getaffinity") else "?",
        "memory": f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "commit": _commit(),
    }


def versions() -> dict[str, str]:
    """Say what is installed in each environment."""
    found = {}
    for python in dict.fromkeys(system.python for system in SYSTEMS):
        if not python.exists():
            continue
        command = [str(python), "-c", _LIST % (PACKAGES,)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        name = python.parents[1].name if python.is_relative_to(ROOT) else "Emblem"
        if not done.returncode:
            there = json.loads(done.stdout)
            found[name] = ", ".join(f"{k} {v}" for k, v in there.items())
    return found


def _cpu() -> str:
    file = Path("/proc/cpuinfo")
    if not file.exists():
        return platform.processor()
    given = dict(
        (part.strip() for part in line.split(":", 1))
        for line in file.read_text().split("\n\n")[0].splitlines()
        if ":" in line
    )
    wanted = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile")
    has = [name for name in wanted if name in given.get("flags", "").split()]
    return f"{given.get('model name', '?')}, model {given.get('model', '?')} ({', '.join(has)})"


def _commit() -> str:
    """Name the commit, with a + where the source is not as it was committed."""
    done = subprocess.run(
        ["git", "describe", "--always", "--exclude=*", "--dirty=+", "--abbrev=7"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip() or "unknown"
