"""What servers say in headers and errors: read where it is understood, and never a crash."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emblem.errors import EmblemError, InvalidRequest
from emblem.upstreams import answers, refusals
from emblem.upstreams.answers import Malformed, Named
from emblem.upstreams.refusals import Asked, TooLarge
from emblem.upstreams.retry import asked_delay, delay

NOW = datetime(2026, 1, 1, tzinfo=UTC)
KEY = "a-key-of-no-usual-form"
ASKED = Asked("mine", "m", 3, (KEY,))

headers = st.one_of(
    st.text(st.characters(max_codepoint=255), max_size=40),
    st.text("0123456789.-+eE²³¹", max_size=12),
    st.from_regex(r"[A-Z][a-z]{2}, \d{1,3} [A-Z][a-z]{2} \d{1,6} \d\d:\d\d:\d\d [-+]?\d{0,14}"),
)
bodies = st.one_of(
    st.binary(max_size=60),
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=20),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["error", "message", "detail", "code", "param", "type"]), inner
            )
        ),
    ).map(lambda value: json.dumps(value).encode()),
)


@given(headers, headers)
def test_a_wait_is_some_seconds_or_none(seconds: str, milliseconds: str) -> None:
    found = asked_delay({"retry-after": seconds, "retry-after-ms": milliseconds}, NOW)
    assert found is None or found >= 0


@pytest.mark.parametrize(
    "given_",
    ["-5", "nan", "inf", "1e9", "soon", "", " ", "1.2.3", "²", "9" * 400,
     "Wed, 21 Oct 99999 07:28:00 GMT", "Wed, 21 Oct 2015 07:28:00 +99999999999999"],
)  # fmt: skip
def test_a_wait_that_is_none_is_not_taken_for_one(given_: str) -> None:
    found = asked_delay({"retry-after": given_}, NOW)
    assert found is None or found >= 0
    assert delay(0, None, 0.5) > 0


@given(headers)
def test_a_space_is_one_or_refused(header: str) -> None:
    try:
        found = answers.space({answers.SPACE_HEADER: header})
    except Malformed:
        return
    assert isinstance(found, Named)


@given(headers, st.integers(1, 5))
def test_long_inputs_are_among_those_that_were_sent(listed: str, texts: int) -> None:
    found = answers.overflowed({answers.OVERFLOW_HEADER: f"mean; inputs={listed}"}, texts)
    assert all(0 <= index < texts for index in found)


@pytest.mark.parametrize("header", ["m/" + "9" * 5000, "m/²", "m/٣"])
def test_a_width_that_is_no_number_is_refused(header: str) -> None:
    with pytest.raises(Malformed):
        answers.space({answers.SPACE_HEADER: header})


def test_an_index_of_thousands_of_digits_is_no_index() -> None:
    long = "9" * 5000
    assert answers.overflowed({answers.OVERFLOW_HEADER: f"inputs={long},²,1"}, 3) == (1,)
    assert answers.named_inputs(f"$.input[{long}] is long") == []


@given(st.integers(300, 599), bodies, headers, headers)
def test_every_refusal_becomes_one_error_of_one_line_without_the_key(
    status: int, body: bytes, retry: str, location: str
) -> None:
    said = {"retry-after": retry, "location": location}
    body = body.replace(b"message", b"message " + KEY.encode(), 1)
    detail = refusals.words(ASKED, status, body)
    error = refusals.error(ASKED, status, said, detail, asked_delay(said, NOW))
    assert isinstance(error, EmblemError | TooLarge)
    assert str(error).isprintable()
    assert KEY not in str(error)


def test_the_field_that_a_refusal_names_is_without_the_key_too() -> None:
    body = json.dumps({"error": {"message": "no", "param": f"{KEY} of org-AbC123xyz789"}}).encode()
    error = refusals.error(ASKED, 400, {}, refusals.words(ASKED, 400, body), None)
    assert isinstance(error, InvalidRequest)
    assert error.param == "**** of …"


def test_whose_key_it_was_is_not_said() -> None:
    body = b'{"error": {"message": "Rate limit reached in organization org-AbC123xyz789"}}'
    error = refusals.error(ASKED, 429, {}, refusals.words(ASKED, 429, body), None)
    assert "org-" not in str(error)
    assert "Rate limit reached in organization" in str(error)
