"""What a key may be given, as people write it."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emblem.accounts import Quota, Role, Terms
from emblem.core.limits import MAX_PER_MINUTE, MAX_PER_WINDOW
from emblem.errors import InvalidRequest
from emblem.ledger import terms
from emblem.types import Lane

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC).timestamp()


def day(*ymd: int) -> float:
    return datetime(*ymd, tzinfo=UTC).timestamp()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30d", NOW + 30 * 86_400),
        ("12h", NOW + 43_200),
        ("45m", NOW + 2_700),
        ("2w", NOW + 1_209_600),
        ("never", None),
        ("2030-12-31", day(2030, 12, 31)),
        ("2030-12-31T08:30", day(2030, 12, 31, 8, 30)),
        ("2030-12-31T08:30:00Z", day(2030, 12, 31, 8, 30)),
        ("2030-12-31T08:30:00+02:00", day(2030, 12, 31, 6, 30)),
    ],
)
def test_an_end_is_a_span_a_date_or_never(text: str, seconds: float | None) -> None:
    assert terms.moment(text, NOW) == seconds


@pytest.mark.parametrize(
    "text", ["", "tomorrow", "30", "30y", "-1d", "1.5d", "2030-02-30", "d", "٣d", "9999999d", "0"]
)
def test_anything_else_is_no_end(text: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        terms.moment(text, NOW)
    assert caught.value.param == "expires"


def test_a_key_that_has_expired_already_is_not_made() -> None:
    with pytest.raises(InvalidRequest, match="before it is made"):
        terms.checked(Terms("x", expires=NOW), NOW)
    assert terms.checked(Terms("x", expires=NOW)).expires == NOW  # but a key may be ended so


@pytest.mark.parametrize(
    ("text", "seconds"), [("0", 0.0), ("1h", 3600.0), ("90m", 5400.0), ("7d", 604_800.0)]
)
def test_a_span_is_a_number_and_a_unit(text: str, seconds: float) -> None:
    assert terms.span(text) == seconds


@pytest.mark.parametrize("text", ["", "h", "1", "-1h", "1 h", "1h30m", "inf"])
def test_anything_else_is_no_span(text: str) -> None:
    with pytest.raises(InvalidRequest):
        terms.span(text)


@pytest.mark.parametrize(
    ("text", "billionths"),
    [("1", 10**9), ("12.50", 12_500_000_000), ("0.000000001", 1), ("1000000", 10**15)],
)
def test_money_is_read_to_the_billionth(text: str, billionths: int) -> None:
    assert terms.billionths(text) == billionths


@given(st.integers(0, 10**15), st.integers(0, 10**9 - 1))
def test_no_digit_of_money_is_lost(whole: int, rest: int) -> None:
    if whole < 10**15:
        assert terms.billionths(f"{whole}.{rest:09}") == whole * 10**9 + rest


@pytest.mark.parametrize(
    "text", ["", "-1", "1e3", "1,5", "$5", "NaN", "inf", "0.0000000001", ".5", "5.", "٥", "1" * 16]
)
def test_anything_else_is_no_money(text: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        terms.billionths(text)
    assert caught.value.param == "cost_per_month"


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("10.0.0.0/8", "10.0.0.0/8"),
        (" 10.1.2.3 ", "10.1.2.3/32"),
        ("2001:DB8::/32", "2001:db8::/32"),
        ("::1", "::1/128"),
        ("0.0.0.0/0", "0.0.0.0/0"),
    ],
)
def test_a_network_has_one_form(written: str, kept: str) -> None:
    assert terms.networks((written, written)) == (kept,)


def test_a_network_with_bits_beyond_its_mask_is_refused_with_what_may_be_meant() -> None:
    with pytest.raises(InvalidRequest, match=r"did you mean 10\.0\.0\.0/8\?"):
        terms.networks(("10.1.2.3/8",))


@pytest.mark.parametrize(
    "wrong",
    ["", "localhost", "10.0.0.0/33", "10.0.0", "fe80::1%eth0/x", "*", "fe80::1%eth0",
     "fe80::1%\x1b[31mred\nX", "fe80::1%\x1b[31m/64"],
)  # fmt: skip
def test_what_is_no_network_is_refused(wrong: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        terms.networks((wrong,))
    assert caught.value.param == "sources"
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("wrong", ["", "a b", "a\nb", "x" * 201])
def test_what_is_no_glob_is_refused(wrong: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        terms.globs((wrong,))
    assert caught.value.param == "models"


def test_globs_are_kept_once_each_in_their_order() -> None:
    assert terms.globs(("b*", "a", "b*")) == ("b*", "a")
    with pytest.raises(InvalidRequest, match="at most 100"):
        terms.globs(tuple(f"m{n}" for n in range(101)))


@pytest.mark.parametrize(
    ("name", "most"),
    [
        ("requests_per_minute", MAX_PER_MINUTE),
        ("tokens_per_minute", MAX_PER_MINUTE),
        ("tokens_per_day", MAX_PER_WINDOW),
        ("cost_per_month", MAX_PER_WINDOW),
    ],
)
def test_a_limit_is_from_one_to_what_can_be_counted_exactly(name: str, most: int) -> None:
    for right in (None, 1, most):
        assert getattr(terms.limited(Quota(**{name: right})), name) == right
    for wrong in (0, -1, most + 1, 1.5, True):
        with pytest.raises(InvalidRequest) as caught:
            terms.limited(Quota(**{name: wrong}))  # type: ignore[arg-type]
        assert caught.value.param == name


def test_roles_and_lanes_are_read_by_their_names() -> None:
    assert [terms.role(one) for one in ("inference", "read", "admin")] == list(Role)
    assert [terms.lane(one) for one in ("interactive", "bulk", "auto")] == [*Lane, None]
    for read in (terms.role, terms.lane):
        with pytest.raises(InvalidRequest, match="not 'Admin'"):
            read("Admin")


@pytest.mark.parametrize("wrong", ["x" * 129, "a\nb"])
def test_an_owner_that_cannot_be_shown_is_refused(wrong: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        terms.checked(Terms("x", owner=wrong))
    assert caught.value.param == "owner"
