"""What tokens cost."""

from emblem.core.prices import Prices

RATES = (("bge-*", 20), ("bge-large", 130), ("*-[0-9]", 7))


def test_the_first_glob_that_matches_counts() -> None:
    prices = Prices(RATES)
    assert [prices.per_token(name) for name in ("bge-large", "bge-small", "own-2")] == [20, 20, 7]


def test_a_model_without_a_price_costs_nothing() -> None:
    assert Prices(RATES).cost("other", 10**9) == 0
    assert Prices().cost("bge-large", 1) == 0


def test_upper_and_lower_case_differ() -> None:
    assert Prices(RATES).per_token("BGE-large") == 0


def test_a_cost_is_exact_however_many_tokens_there_are() -> None:
    assert Prices([("*", 130)]).cost("any", 10**15 + 1) == 130 * (10**15 + 1)
