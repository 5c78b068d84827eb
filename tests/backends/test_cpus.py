"""How many CPUs a control group leaves, read from what kernels write."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emblem.backends import cgroups, cpus


@pytest.mark.parametrize(
    ("text", "quota"),
    [
        ("max 100000\n", None),
        ("150000 100000\n", 1.5),
        ("50000 100000", 0.5),
        ("", None),
        ("0 100000", None),
        ("100000", None),
        ("100000 0", None),
        ("garbage more", None),
    ],
)
def test_cpu_max_is_read_as_cpus(text: str, quota: float | None) -> None:
    assert cpus.parse_v2(text) == quota


@pytest.mark.parametrize(
    ("quota_us", "period_us", "quota"),
    [("-1\n", "100000\n", None), ("250000\n", "100000\n", 2.5), ("", "", None)],
)
def test_the_older_quota_is_read_as_cpus(
    quota_us: str, period_us: str, quota: float | None
) -> None:
    assert cpus.parse_v1(quota_us, period_us) == quota


@pytest.mark.parametrize(
    ("allowed", "quota", "expected"),
    [(8, None, 8), (8, 1.5, 2), (8, 0.5, 1), (2, 16.0, 2), (0, None, 1), (4, 4.0, 4)],
)
def test_a_part_of_a_cpu_counts_as_one_and_affinity_is_the_ceiling(
    allowed: int, quota: float | None, expected: int
) -> None:
    assert cpus.share(allowed, quota) == expected


@pytest.mark.parametrize(
    ("threads", "streams"),
    [(1, 1), (2, 2), (3, 3), (8, 8), (9, 4), (12, 6), (16, 8), (24, 8), (64, 8), (1024, 8)],
)
def test_streams_have_a_thread_each_until_there_are_eight(threads: int, streams: int) -> None:
    assert cpus.streams_for(threads) == streams


@given(st.integers(1, 1024))
def test_streams_leave_few_threads_over(threads: int) -> None:
    streams = cpus.streams_for(threads)
    assert 1 <= streams <= min(threads, cpus.MAX_STREAMS)
    assert threads % streams < max(2, threads // streams)


def test_the_smallest_quota_on_the_way_up_decides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path
    (root / "slice" / "job").mkdir(parents=True)
    (root / "slice" / "cpu.max").write_text("100000 100000\n")
    (root / "slice" / "job" / "cpu.max").write_text("max 100000\n")
    (root / "member").write_text("0::/slice/job\n")
    monkeypatch.setattr(cgroups, "_ROOT", root)
    monkeypatch.setattr(cgroups, "_MEMBERSHIP", root / "member")
    assert cpus.available_cpus() == 1
