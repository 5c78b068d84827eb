"""The access log: one line a request, however many are written at once, as text or as JSON."""

import asyncio
import json
import logging
import re

import pytest

from emblem.accounts import Observed
from emblem.api.access import AccessLog, Requests
from emblem.api.logs import MAX_SAID, JsonFormatter, LineFormatter

LINE = "%(asctime)s %(levelname)s %(name)s: %(message)s"
AT = 1_700_000_000.25


def request(id_: str = "req_1", **more: object) -> Observed:
    return Observed(id_, "POST", AT, route="/v1/embeddings", status=200, **more)  # type: ignore[arg-type]


def record_of(*requests: Observed) -> logging.LogRecord:
    return logging.LogRecord(
        "emblem.access", logging.INFO, "", 0, Requests(list(requests)), (), None
    )


def failed(error: Exception) -> logging.LogRecord:
    """Give the record of an error that was raised."""
    with pytest.raises(type(error)) as caught:
        raise error
    about = (caught.type, caught.value, caught.tb)
    return logging.LogRecord("emblem", logging.ERROR, "", 0, "%s failed", ("req_1",), about)


def test_requests_of_one_turn_of_the_loop_are_one_record_and_each_a_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def turn() -> None:
        lines = AccessLog()
        lines.observed(request("req_1"))
        lines.observed(request("req_2"))
        assert not caplog.records
        await asyncio.sleep(0)
        lines.observed(request("req_3"))

    with caplog.at_level(logging.INFO, "emblem.access"):
        asyncio.run(turn())
    first, second = caplog.records
    shown = LineFormatter(LINE).format(first).split("\n")
    assert len(shown) == 2
    for line, number in zip(shown, (1, 2), strict=True):
        assert re.fullmatch(
            r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} INFO emblem.access: "
            rf"POST /v1/embeddings 200 0.0 ms req_{number}",
            line,
        )
    assert JsonFormatter().format(second).count("\n") == 0


def test_nothing_is_kept_for_a_log_that_nobody_reads(caplog: pytest.LogCaptureFixture) -> None:
    async def turn() -> None:
        AccessLog().observed(request())
        await asyncio.sleep(0)

    with caplog.at_level(logging.WARNING, "emblem.access"):
        asyncio.run(turn())
    assert not caplog.records


def test_a_line_says_who_asked_for_what_and_what_became_of_it() -> None:
    one = request(
        key="key_1", model="tiny", inputs=3, tokens=20, hits=1, seconds=0.0042, code="slow"
    )
    said = LineFormatter(LINE).format(record_of(one))
    assert said.endswith(
        ": POST /v1/embeddings 200 4.2 ms req_1 key=key_1 model=tiny inputs=3 tokens=20 hits=1 "
        "code=slow"
    )


def test_a_request_that_came_nowhere_is_a_line_too() -> None:
    said = LineFormatter(LINE).format(record_of(Observed("req_1", "A\nB", AT, status=404)))
    assert said.endswith(": _OTHER - 404 0.0 ms req_1")
    assert "\n" not in said


def test_a_request_as_json_has_every_field_and_the_time_it_ended_in_utc() -> None:
    one = request(key="key_1", model="tiny", inputs=3, tokens=20, hits=1, seconds=0.5)
    assert json.loads(JsonFormatter().format(record_of(one))) == {
        "time": "2023-11-14T22:13:20.750Z",
        "level": "info",
        "logger": "emblem.access",
        "message": "request",
        "request_id": "req_1",
        "key": "key_1",
        "team": "",
        "method": "POST",
        "route": "/v1/embeddings",
        "status": 200,
        "ms": 500.0,
        "model": "tiny",
        "space": "",
        "inputs": 3,
        "tokens": 20,
        "hits": 1,
        "code": "",
    }


def test_a_request_s_time_is_written_as_that_of_any_other_record() -> None:
    plain = logging.LogRecord("emblem.access", logging.INFO, "", 0, "said", (), None)
    plain.created, plain.msecs = AT, 250.0
    formatter = LineFormatter(LINE)
    shown = formatter.format(record_of(request()))
    assert shown[:23] == formatter.format(plain)[:23]


@pytest.mark.parametrize(
    "formatter",
    [LineFormatter(LINE, ["hunter2-hunter2"]), JsonFormatter(secrets=["hunter2-hunter2"])],
)
@pytest.mark.parametrize(
    "said",
    [
        "key sk-PLANTED-0123456789 was sent",
        "Authorization: Bearer PLANTEDPLANTED01",
        "postgresql://emblem:PLANTED@db/emblem is away",
        "api key hunter2-hunter2",
    ],
)
def test_no_record_has_a_key_or_a_password(formatter: logging.Formatter, said: str) -> None:
    record = logging.LogRecord("emblem", logging.ERROR, "", 0, "%s", (said,), None)
    for shown in (formatter.format(record), formatter.format(failed(OSError(said)))):
        assert "****" in shown
        assert "PLANTED" not in shown
        assert "hunter2" not in shown


@pytest.mark.parametrize("formatter", [LineFormatter(LINE), JsonFormatter()])
def test_an_unexpected_error_is_shown_without_what_it_quotes(formatter: logging.Formatter) -> None:
    for error in (
        ValueError("could not read 'a private letter' here"),
        KeyError("a private letter"),
        RuntimeError("x" * 5000),
    ):
        shown = formatter.format(failed(error))
        assert "private letter" not in shown
        assert type(error).__name__ in shown
        assert "test_log_lines.py" in shown  # where it was
        assert "x" * (MAX_SAID + 1) not in shown


def test_what_a_programming_error_quotes_is_shown() -> None:
    error = AttributeError("'NoneType' object has no attribute 'embed'")
    assert str(error) in LineFormatter(LINE).format(failed(error))
