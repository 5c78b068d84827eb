"""The benchmark of usage runs, and says what it is there to say."""

import pytest

from benchmarks import usage


def test_it_measures_the_loop_and_the_ledger(capsys: pytest.CaptureFixture[str]) -> None:
    usage.main(["--requests", "20"])
    said = capsys.readouterr().out
    for part in ("record on the event loop: mean", "records/s", "roll-up of 1 hours", "50 keys"):
        assert part in said
