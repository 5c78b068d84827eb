"""What a server's processes have in memory together."""

import subprocess
import sys

import pytest

SCRIPT = """
import gc, os, sys
from types import SimpleNamespace
from emblem.cli.serve import _share_memory
from emblem.upstreams.http.connecting import trust

_share_memory(SimpleNamespace(hosted=sys.argv[1:]))
worker = os.fork()
if not worker:
    print(gc.get_freeze_count() > 10_000, trust.cache_info().currsize == 1, flush=True)
    os._exit(0)
os.waitpid(worker, 0)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="nothing is forked there")
@pytest.mark.parametrize("hosted", [[], ["a model"]])
def test_a_worker_leaves_alone_what_it_has_of_its_parent(hosted: list[str]) -> None:
    """Garbage collection would write to all of it, and each process had it for itself."""
    command = [sys.executable, "-W", "error", "-c", SCRIPT, *hosted]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr) == (f"True {bool(hosted)}\n", "")
