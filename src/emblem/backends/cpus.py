"""How many CPUs this process may use: what its control group and affinity say, not the host."""

import os
from math import ceil
from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")
_MEMBERSHIP = Path("/proc/self/cgroup")


def available_cpus() -> int:
    """Give the CPUs that this process may use, at least 1; a part of a CPU counts as one."""
    try:
        allowed = len(os.sched_getaffinity(0))
    except AttributeError:  # macOS and Windows have no affinity to ask for
        allowed = os.cpu_count() or 1
    quotas = [quota for quota in _quotas() if quota is not None]
    return share(allowed, min(quotas, default=None))


def share(allowed: int, quota: float | None) -> int:
    """Give the CPUs that a quota, in CPUs, leaves of those allowed: at least 1."""
    return max(1, allowed if quota is None else min(allowed, ceil(quota)))


def parse_v2(cpu_max: str) -> float | None:
    """Read ``cpu.max``, as in ``150000 100000``, as CPUs; None where there is no limit.

    A text that says something else is no limit either: it is read from a foreign kernel.
    """
    fields = cpu_max.split()
    return _quotient(fields[0], fields[1]) if len(fields) == 2 else None


def parse_v1(quota_us: str, period_us: str) -> float | None:
    """Read ``cpu.cfs_quota_us`` and ``cpu.cfs_period_us`` as CPUs; -1 is no limit: None."""
    return _quotient(quota_us.strip(), period_us.strip())


def parse_membership(text: str) -> tuple[str, str]:
    """Read ``/proc/self/cgroup``: the path within v2 and within v1's cpu tree; "/" if not there."""
    v2 = v1 = "/"
    for line in text.splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" and not controllers:
            v2 = path
        elif "cpu" in controllers.split(","):
            v1 = path
    return v2, v1


def _quotient(quota: str, period: str) -> float | None:
    if not (quota.isdecimal() and period.isdecimal()) or int(quota) == 0 or int(period) == 0:
        return None
    return int(quota) / int(period)


def _quotas() -> list[float | None]:
    """Ask this group and every group above it, in both kinds of tree: any of them may limit."""
    v2, v1 = parse_membership(_read(_MEMBERSHIP))
    found = [parse_v2(_read(folder / "cpu.max")) for folder in _upwards(_ROOT, v2)]
    for tree in ("cpu", "cpu,cpuacct"):
        found += [
            parse_v1(_read(folder / "cpu.cfs_quota_us"), _read(folder / "cpu.cfs_period_us"))
            for folder in _upwards(_ROOT / tree, v1)
        ]
    return found


def _upwards(root: Path, path: str) -> list[Path]:
    # In a container the path may be one that exists only outside; then the root is its own.
    folder = root / path.strip("/")
    return [folder, *(parent for parent in folder.parents if parent.is_relative_to(root))]


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
