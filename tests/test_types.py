"""Values that cross boundaries: what is made of one is the same but for what was asked for."""

from dataclasses import fields, replace

from emblem.types import EmbedRequest, Kind, Lane, Overflow

# Every field has another value than by default.
UNUSUAL = EmbedRequest(
    ("a", "b"), Kind.QUERY, 3, Overflow.ERROR, Lane.BULK, 5.0, "key", 7, 9, False, False, True
)


def test_a_request_with_readings_is_the_same_request_in_everything_else() -> None:
    usual = EmbedRequest(())
    read = ("what", "was read")
    assert all(getattr(UNUSUAL, one.name) != getattr(usual, one.name) for one in fields(usual)[:-1])
    assert UNUSUAL.with_readings(read) == replace(UNUSUAL, readings=read)
    assert UNUSUAL.with_readings(read).readings is read
    assert UNUSUAL.readings == ()
