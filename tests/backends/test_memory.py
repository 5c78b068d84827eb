"""How much memory a control group leaves, and how it is shared out."""

from pathlib import Path

import pytest

from emblem.backends import cgroups, memory

GIB = 1 << 30


def test_membership_names_the_group_in_both_trees() -> None:
    text = "5:cpuset:/a\n4:cpu,cpuacct:/docker/x\n3:memory:/m\n1:name=systemd:/y\n0::/user.slice\n"
    assert cgroups.parse_membership(text, "cpu") == ("/user.slice", "/docker/x")
    assert cgroups.parse_membership(text, "memory") == ("/user.slice", "/m")
    assert cgroups.parse_membership("", "cpu") == ("/", "/")


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("max\n", None),
        ("536870912\n", 536870912),
        ("9223372036854771712\n", None),  # how v1 says that there is none
        ("0", None),
        ("", None),
        ("garbage", None),
    ],
)
def test_a_limit_of_memory_is_read(text: str, limit: int | None) -> None:
    assert memory.parse_limit(text) == limit


@pytest.mark.parametrize(
    ("file", "tree"), [("memory.max", ""), ("memory.limit_in_bytes", "memory")]
)
def test_the_smallest_limit_on_the_way_up_decides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, tree: str
) -> None:
    job = tmp_path / tree / "slice" / "job"
    job.mkdir(parents=True)
    (job.parent / file).write_text("1048576\n")
    (job / file).write_text("2097152\n")
    (tmp_path / "member").write_text("4:memory:/slice/job\n0::/slice/job\n")
    monkeypatch.setattr(cgroups, "_ROOT", tmp_path)
    monkeypatch.setattr(cgroups, "_MEMBERSHIP", tmp_path / "member")
    assert memory.available_memory() == 1048576


def test_models_take_what_is_asked_or_a_share_of_the_memory() -> None:
    assert memory.model_budget(10 * GIB, 0) == 6 * GIB
    assert memory.model_budget(10 * GIB, 123) == 123
    assert memory.model_budget(None, 123) == 123
    assert memory.model_budget(None, 0) > 1000 * GIB


def test_work_waits_within_what_the_models_leave() -> None:
    assert memory.queue_budget(10 * GIB, 6 * GIB, GIB) == GIB
    assert memory.queue_budget(GIB, GIB // 2, GIB) == GIB // 8
    assert memory.queue_budget(GIB, 9 * GIB, GIB) == memory.LEAST_QUEUE
    assert memory.queue_budget(GIB, 9 * GIB, 1000) == 1000
    assert memory.queue_budget(None, GIB, 5 * GIB) == 5 * GIB


def test_the_process_says_what_it_takes() -> None:
    held = memory.resident_bytes()
    assert held is not None
    assert 1 << 20 < held < memory.available_memory()


def test_memory_is_given_back_wherever_the_c_library_can() -> None:
    memory.keep_little()
    memory.give_back()
