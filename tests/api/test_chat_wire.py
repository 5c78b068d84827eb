"""What is read of a request for chat, and that nothing else of it changes."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emblem.api.chat_wire import Tally, Told, read, renamed, told_by
from emblem.errors import InvalidResult

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
READ = ("model", "stream", "stream_options", "max_tokens", "max_completion_tokens", "n", "user")
MESSAGES = [{"role": "user", "content": "hi"}]


def exactly(body: bytes) -> Any:
    """Read JSON so that numbers stay as they are written."""
    return json.loads(body, parse_float=str, parse_int=str)


@given(
    st.dictionaries(TEXT.filter(lambda name: name not in READ), VALUES, max_size=5),
    st.booleans(),
    st.booleans(),
)
def test_every_field_but_two_goes_out_as_it_came(
    fields: dict[str, Any], stream: bool, ask: bool
) -> None:
    body = {**fields, "messages": MESSAGES, "model": "ours", "stream": stream}
    content = json.dumps(body).encode()
    sent = exactly(renamed(read(content), "theirs", ask_for_usage=ask))
    options = sent.pop("stream_options", None)
    assert (options == {"include_usage": True}) is (stream and ask)
    assert sent == {**exactly(content), "model": "theirs"}


def test_other_options_of_a_stream_stay() -> None:
    body = b'{"messages":[1],"stream":true,"stream_options":{"x":1.0,"include_usage":false}}'
    sent = renamed(read(body), "m", ask_for_usage=True)
    assert b'"stream_options":{"x":1.0,"include_usage":true}' in sent


def test_a_field_that_comes_twice_goes_out_once() -> None:
    sent = renamed(read(b'{"model":"a","messages":[1],"model":"b"}'), "m", ask_for_usage=True)
    assert sent.count(b'"model"') == 1


@pytest.mark.parametrize(
    ("fields", "most"),
    [
        ({}, 0),
        ({"max_tokens": 7}, 7),
        ({"max_completion_tokens": 5, "max_tokens": 7}, 5),
        ({"max_tokens": 7, "n": 3}, 21),
        ({"max_tokens": -7, "n": -3}, 0),
        ({"max_tokens": None, "n": None}, 0),
    ],
)
def test_what_may_be_written_is_what_the_request_lets_be_written(
    fields: dict[str, Any], most: int
) -> None:
    assert read(json.dumps({"messages": MESSAGES, **fields}).encode()).most == most


def test_text_is_guessed_by_its_bytes_and_pictures_are_not() -> None:
    def guess(content: str) -> int:
        return read(json.dumps({"messages": [{"content": content}]}).encode()).guess

    assert guess("word " * 4000) > 4 * guess("word " * 400)
    assert guess("data:image/png;base64," + "QUJD" * 50_000) < 20


@pytest.mark.parametrize(
    ("usage", "told"),
    [
        ({"total_tokens": 5}, Told(5, 0)),
        ({"prompt_tokens": 2, "completion_tokens": 4}, Told(6, 4)),
        ({"prompt_tokens": 2}, Told(2, 0)),
        ({"prompt_tokens": 2, "completion_tokens": 9, "total_tokens": 5}, Told(5, 5)),
        ({"prompt_tokens": 2, "completion_tokens": -9, "total_tokens": 5}, Told(5, 0)),
        ({"total_tokens": -5}, None),
        ({"total_tokens": 10**30}, None),
        ({}, None),
        (None, None),
    ],
)
def test_an_answer_tells_what_it_cost(usage: Any, told: Told | None) -> None:
    assert told_by(json.dumps({"choices": [], "usage": usage}).encode(), "theirs") == told


@pytest.mark.parametrize("answer", [b"{}", b'{"choices": null}', b"[]", b'{"choices": 1}'])
def test_an_answer_without_choices_is_none(answer: bytes) -> None:
    with pytest.raises(InvalidResult, match="theirs returned an invalid result"):
        told_by(answer, "theirs")


def event(**fields: Any) -> bytes:
    return b"data: " + json.dumps(fields).encode() + b"\n\n"


def test_only_the_event_that_tells_the_cost_is_hidden() -> None:
    usage = {"total_tokens": 5}
    tally = Tally(hide=True)
    assert tally.passes(event(choices=[], usage=None, prompt_filter_results=[]))
    assert tally.passes(event(choices=[{"delta": {"content": '"usage"'}}]))
    assert tally.passes(event(choices=[{"finish_reason": "stop"}], usage=usage))
    assert not tally.passes(event(choices=[], usage=usage))
    assert tally.passes(b": ping\n\n")
    assert tally.passes(b"data: [DONE]\n\n")
    assert tally.told == Told(5, 0)
    assert Tally(hide=False).passes(event(choices=[], usage=usage))


def test_a_text_that_speaks_of_the_end_is_not_the_end() -> None:
    tally = Tally(hide=False)
    tally.passes(event(choices=[{"delta": {"content": 'data: [DONE] "finish_reason": "stop"'}}]))
    assert not tally.ended
    tally.passes(event(choices=[{"delta": {}, "finish_reason": "length"}]))
    assert tally.ended
