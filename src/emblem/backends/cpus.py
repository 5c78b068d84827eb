"""How many CPUs this process may use: what its control group and affinity say, not the host."""

import os
from math import ceil

from emblem.backends import cgroups
from emblem.backends.cgroups import read

MAX_STREAMS = 8


def available_cpus() -> int:
    """Give the CPUs that this process may use, at least 1; a part of a CPU counts as one."""
    try:
        allowed = len(os.sched_getaffinity(0))
    except AttributeError:  # macOS and Windows have no affinity to ask for
        allowed = os.cpu_count() or 1
    quotas = [quota for quota in _quotas() if quota is not None]
    return share(allowed, min(quotas, default=None))


def streams_for(threads: int) -> int:
    """Give the streams that suit so many threads, all with equally many.

    Rows side by side come through faster than rows that share their threads, and what stands
    between two rows in Python takes one of them at a time: 0.35 ms, where one thread runs MiniLM
    on 128 tokens for 13 ms, or for 6 with weights of eight bits. So there are at most eight; this
    is measured on 2 cores only.
    """
    for_each = ceil(threads / MAX_STREAMS)
    return max(1, threads // for_each)


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


def _quotient(quota: str, period: str) -> float | None:
    if not (quota.isdecimal() and period.isdecimal()) or int(quota) == 0 or int(period) == 0:
        return None
    return int(quota) / int(period)


def _quotas() -> list[float | None]:
    """Ask this group and every group above it, in both kinds of tree: any of them may limit."""
    found = [parse_v2(read(folder / "cpu.max")) for folder in cgroups.v2()]
    for folder in cgroups.v1("cpu", "cpu", "cpu,cpuacct"):
        quota, period = (read(folder / f"cpu.cfs_{word}_us") for word in ("quota", "period"))
        found.append(parse_v1(quota, period))
    return found
