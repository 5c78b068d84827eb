"""``emblem ps``: what is remembered beyond memory, and what is wrong with that."""

import pytest

from emblem.api.running import CacheItem, RunningList, TierItem
from emblem.cli.ps import _show

LISTED = RunningList([], 1000, 0, 5000, None, None)


@pytest.mark.parametrize(
    ("tier", "said"),
    [
        (TierItem("disk", 3, 1, 0, 0, 0, False), "Remembered on disk: 3 of 4 texts were known."),
        (
            TierItem("redis", 0, 9, 2, 4, 5, True),
            (
                "Remembered in Redis: 0 of 9 texts were known, 2 were damaged, 5 were not written, "
                "4 questions failed; it does not answer now."
            ),
        ),
    ],
)
def test_each_cache_beyond_memory_is_said_with_what_went_wrong(
    capsys: pytest.CaptureFixture[str], tier: TierItem, said: str
) -> None:
    listed = RunningList([], 1000, 0, 5000, None, None, CacheItem(1, 2, 3, 0, 0), [tier])
    _show(listed)
    assert capsys.readouterr().err.splitlines()[-1] == said


def test_without_one_nothing_is_said_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    _show(LISTED)
    assert "Remembered" not in capsys.readouterr().err
