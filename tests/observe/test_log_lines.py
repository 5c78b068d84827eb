"""The access log: one line a request, however many are written at once, as text or as JSON."""

import asyncio
import json
import logging
import re

import pytest

from emblem.accounts import Observed
from emblem.api.access import AccessLog, Requests
from emblem.api.logs import MAX_SAID, JsonFormatter, LineFormatter
from emblem.core.redact import redacted

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


PLANTED = "PLANTED-TEXT"
BOTH_QUOTES = f"""he said "x" but it' {PLANTED} here"""


def in_a_group() -> Exception:
    inner = ValueError(f"cannot read {'a ' + PLANTED!r}")
    return ExceptionGroup("unhandled errors in a TaskGroup", [inner, OSError(f"{PLANTED!r}")])


def with_a_note() -> Exception:
    error = ValueError("it failed")
    error.add_note(f"  {PLANTED!r}")
    return error


def with_a_cause() -> Exception:
    error = RuntimeError("it failed")
    error.__cause__ = ValueError(f"  {PLANTED!r}")
    return error


class Wordy(Exception):
    def __str__(self) -> str:
        raise ValueError(PLANTED)


@pytest.mark.parametrize("formatter", [LineFormatter(LINE), JsonFormatter()])
@pytest.mark.parametrize(
    "error",
    [
        in_a_group(),
        with_a_note(),
        with_a_cause(),
        ValueError(f"bad input {BOTH_QUOTES!r}"),
        ValueError(f"bad input 'it' {PLANTED} here'"),
        ValueError(f"bad input {PLANTED.encode()!r}"),
        ValueError(f"bad input “{PLANTED}” here"),
        ValueError(f"bad input '{PLANTED} that is cut off"),
        ValueError(f"  '{PLANTED}' begins as a frame does"),
        ValueError(f"Traceback\n  '{PLANTED}'"),
        Wordy(),
    ],
    ids=repr,
)
def test_no_error_shows_a_text_whatever_its_form(
    formatter: logging.Formatter, error: Exception
) -> None:
    shown = formatter.format(failed(error))
    assert PLANTED not in shown
    assert type(error).__name__ in shown
    assert "test_log_lines.py" in shown


def test_an_error_is_shown_with_its_causes_and_with_what_was_raised_beside_it() -> None:
    shown = LineFormatter(LINE).format(failed(with_a_cause()))
    assert shown.index("ValueError: ") < shown.index("direct cause") < shown.index("RuntimeError: ")
    shown = LineFormatter(LINE).format(failed(in_a_group()))
    assert (
        shown.index("ExceptionGroup: ") < shown.index("| ValueError: ") < shown.index("| OSError")
    )


def test_errors_that_caused_each_other_come_to_an_end() -> None:
    one, other = ValueError("one"), ValueError("other")
    one.__cause__, other.__cause__ = other, one
    assert LineFormatter(LINE).format(failed(one)).count("ValueError: ") == 2


def test_what_another_handler_made_of_an_error_is_not_taken() -> None:
    record = failed(ValueError(f"cannot read {PLANTED!r}"))
    logging.Formatter(LINE).format(record)
    assert PLANTED not in LineFormatter(LINE).format(record)


def test_a_message_is_one_line_and_cannot_act_on_a_terminal() -> None:
    said = "a\n2026-11-21 10:00:00,000 INFO emblem.access: forged\x1b[31m"
    record = logging.LogRecord("emblem", logging.ERROR, "", 0, "%s", (said,), None)
    shown = LineFormatter(LINE).format(record)
    assert shown.endswith(r"a\n2026-11-21 10:00:00,000 INFO emblem.access: forged\x1b[31m")
    assert "\n" not in shown


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("redis://:PLANTED/PLANTED@host/0", "redis://:****@host/0"),
        ("postgresql://u:PLANTED@PLANTED@host/db", "postgresql://u:****@host/db"),
        ("postgresql://h/db?user=u&password=PLANTED&x=1", "postgresql://h/db?user=u&password=****&x=1"),
        ("host=h password=PLANTED port=1", "host=h password=**** port=1"),
        ("sk-abc.PLANTED0", "****"),
        ("'Authorization: Bearer PLANTED'", "'Authorization: Bearer ****'"),
        ("{'x-api-key': 'PLANTED'}", "{'x-api-key': '****'}"),
        ("http://localhost:8000/v1 and tokens=20 key=key_1", None),
    ],
)  # fmt: skip
def test_secrets_are_found_where_they_stand(said: str, shown: str | None) -> None:
    assert redacted(said) == (shown or said)
