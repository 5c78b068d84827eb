"""Events are cut where they end, however they arrive."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emblem.core.events import Events, TooLong, data

ENDS = ["\n\n", "\r\n\r\n", "\r\r"]


@given(
    st.lists(st.tuples(st.text("ab:{}é ", min_size=1), st.sampled_from(ENDS)), max_size=8),
    st.lists(st.integers(1, 9), min_size=1, max_size=40),
)
def test_events_come_out_whole_whatever_the_pieces(
    written: list[tuple[str, str]], sizes: list[int]
) -> None:
    whole = [f"data: {text}{end}".encode() for text, end in written]
    left, events, found = b"".join(whole), Events(1000), []
    while left:
        size = sizes[len(left) % len(sizes)]
        found += events.feed(left[:size])
        left = left[size:]
    assert b"".join(found) + events.rest == b"".join(whole)
    assert [data(one).strip() for one in found] == [
        data(one).strip() for one in whole[: len(found)]
    ]
    assert len(found) >= len(whole) - 1 or not whole


def test_an_event_is_given_as_soon_as_it_ends() -> None:
    events = Events(100)
    assert events.feed(b"data: a\r\n\r") == []
    assert events.feed(b"\nda") == [b"data: a\r\n\r\n"]
    assert events.rest == b"da"


def test_an_event_without_an_end_is_refused() -> None:
    events = Events(10)
    with pytest.raises(TooLong):
        events.feed(b"data: 0123456789")


def test_the_data_of_an_event_is_that_of_its_lines() -> None:
    assert data(b": a comment\nevent: x\ndata: {\ndata:}\n\n") == b"{\n}"
    assert data(b": ping\n\n") == b""
