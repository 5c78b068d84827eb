"""The access log: one line a request, however many are written at once."""

import asyncio
import logging
import re

import pytest

from emblem.api.access import AccessLog, LineFormatter, Lines

LINE = "%(asctime)s %(levelname)s %(name)s: %(message)s"


def test_lines_of_one_turn_of_the_loop_are_one_record_and_each_a_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def turn() -> None:
        lines = AccessLog()
        assert lines.enabled
        lines.add("one")
        lines.add("two")
        assert not caplog.records
        await asyncio.sleep(0)
        lines.add("three")

    with caplog.at_level(logging.INFO, "emblem.access"):
        asyncio.run(turn())
    assert caplog.messages == ["one\ntwo", "three"]
    shown = LineFormatter(LINE).format(caplog.records[0]).split("\n")
    assert len(shown) == 2
    for line, said in zip(shown, ("one", "two"), strict=True):
        assert re.fullmatch(
            rf"\d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d,\d{{3}} INFO emblem.access: {said}", line
        )


def test_a_line_s_time_is_written_as_that_of_any_other_record() -> None:
    plain = logging.LogRecord("emblem.access", logging.INFO, "", 0, "said", (), None)
    plain.created, plain.msecs = 1_700_000_000.25, 250.0
    lines = logging.makeLogRecord(plain.__dict__ | {"msg": Lines([(plain.created, "said")])})
    formatter = LineFormatter(LINE)
    assert formatter.format(lines) == formatter.format(plain)
