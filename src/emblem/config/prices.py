"""``[prices]``: what a million tokens of a model cost, and how that becomes whole billionths."""

from decimal import Decimal, InvalidOperation

from emblem.config.settings import Settings
from emblem.errors import ConfigError

# A price of 0.001 for a million tokens is one billionth for each, the least there is.
DECIMALS = 3
MOST = 1_000_000

EXPECTED = (
    f"a price for a million tokens from 0 to {MOST}, with at most {DECIMALS} decimals, such as 0.02"
)


def per_million(price: object, where: str) -> str:
    """Give a price as plain decimal text; raises ConfigError, naming where it came from.

    Takes a decimal number as text, or a number as TOML has it.
    """
    wrong = ConfigError(f"{where} is {str(price)[:40]!r}; it must be {EXPECTED}")
    if isinstance(price, bool) or not isinstance(price, str | int | float):
        raise wrong
    try:
        # The shortest text that reads as the same number is the one that was written.
        exact = Decimal(price.strip() if isinstance(price, str) else repr(price))
    except InvalidOperation:
        raise wrong from None
    if not exact.is_finite() or not 0 <= exact <= MOST:
        raise wrong
    if exact != round(exact, DECIMALS):
        raise wrong
    return f"{exact + 0:f}"


def rates(settings: Settings) -> tuple[tuple[str, int], ...]:
    """Give each glob of ``[prices]`` with its billionths a token, in the order of the file."""
    return tuple(
        (glob, int(Decimal(price).scaleb(DECIMALS))) for glob, price in settings.prices.items()
    )
