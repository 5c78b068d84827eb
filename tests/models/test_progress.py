"""What is told of a download."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from emblem.models import progress


def test_bytes_below_folders_count_and_what_went_away_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "file").write_bytes(b"12345")
    (tmp_path / "gone").mkdir()
    walk = progress.os.walk

    def while_it_is_cleaned(top: Path) -> Iterator[tuple[str, list[str], list[str]]]:
        for number, entry in enumerate(walk(top)):
            if number == 0:
                shutil.rmtree(tmp_path / "gone")
                entry[2].append("a-file-that-went-away")
            yield entry

    monkeypatch.setattr(progress.os, "walk", while_it_is_cleaned)
    assert progress._size(tmp_path) == 5
