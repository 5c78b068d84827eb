"""How much memory this process may use: what its control groups say, not only the host."""

import os
from contextlib import suppress
from pathlib import Path

from emblem.backends import cgroups
from emblem.backends.cgroups import read

_PAGES = Path("/proc/self/statm")
MODEL_SHARE = 0.6  # of the memory, for loaded models; the rest is for work, and for the program
QUEUE_SHARE = 0.25  # of what the models leave, for the work that waits in each of the two lanes
LEAST_QUEUE = 16 << 20
CACHE_SHARE = 0.25  # of what the models leave, for vectors that are remembered
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # the numbers of glibc's malloc.h


def available_memory() -> int | None:
    """Give the bytes that this process may use; None where nothing says so."""
    limits = [_physical(), *_limits()]
    return min((limit for limit in limits if limit is not None), default=None)


def resident_bytes() -> int | None:
    """Give the bytes of this process that are in memory now; None where nothing says so."""
    try:
        return int(_PAGES.read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return None


def keep_little() -> None:
    """Have glibc give large blocks back as soon as they are freed.

    It has an arena for each of many threads, learns to keep ever larger blocks in them, and trims
    the end of none but the first. Measured with five models that make room for one another under
    twelve clients: 390 MiB were left when all were closed, and 176 after this, of which OpenVINO's
    libraries take about 50. Embedding took no longer that could be told from chance.
    """
    _glibc("mallopt", _MMAP_THRESHOLD, 4 << 20)
    _glibc("mallopt", _TRIM_THRESHOLD, 8 << 20)


def give_back() -> None:
    """Give freed memory back to the system, which glibc keeps for the next time.

    Measured with WordLlama, whose table is one large array: 75 MiB of 75 stayed after it was let
    go of, and 22 after this.
    """
    _glibc("malloc_trim", 0)


def _glibc(name: str, *numbers: int) -> None:
    """Call a function of glibc; other C libraries do not have it, and then nothing is done."""
    import ctypes

    with suppress(OSError, AttributeError, TypeError):  # on Windows None is no library
        getattr(ctypes.CDLL(None), name)(*numbers)


def model_budget(memory: int | None, asked: int) -> int:
    """Give the bytes that loaded models may take, where ``asked`` is 0 a share of the memory.

    Where nothing says how much memory there is any model may be loaded.
    """
    if asked:
        return asked
    return 1 << 62 if memory is None else int(memory * MODEL_SHARE)


def queue_budget(memory: int | None, models: int, asked: int) -> int:
    """Give the bytes that may wait in each lane: what is asked, within what the models leave."""
    if memory is None:
        return asked
    return min(asked, max(LEAST_QUEUE, int((memory - models) * QUEUE_SHARE)))


def cache_budget(memory: int | None, models: int, asked: int) -> int:
    """Give the bytes that may be remembered: what is asked, within what the models leave."""
    if memory is None:
        return asked
    return min(asked, max(0, int((memory - models) * CACHE_SHARE)))


def parse_limit(text: str) -> int | None:
    """Read ``memory.max`` or ``memory.limit_in_bytes``; None where there is no limit.

    Without a limit v2 says "max" and v1 a number larger than any memory.
    """
    limit = int(text) if text.strip().isdecimal() else 0
    return limit if 0 < limit < 1 << 60 else None


def _limits() -> list[int | None]:
    """Ask this group and every group above it, in both kinds of tree: any of them may limit."""
    found = [parse_limit(read(folder / "memory.max")) for folder in cgroups.v2()]
    older = cgroups.v1("memory", "memory")
    return found + [parse_limit(read(folder / "memory.limit_in_bytes")) for folder in older]


def _physical() -> int | None:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):  # Windows has no sysconf
        return None
