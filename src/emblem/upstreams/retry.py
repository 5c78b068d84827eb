"""When to ask an upstream again, and when to stop. Pure: the clock and the dice are arguments."""

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

# Statuses after which the same request may succeed.
PASSING = frozenset({408, 409, 425, 429})
FIRST_S = 0.5
LONGEST_S = 20.0


def worth_retrying(status: int, headers: Mapping[str, str]) -> bool:
    """Tell whether an answer may be another one a little later; ``x-should-retry`` decides."""
    said = headers.get("x-should-retry", "").strip().lower()
    if said in ("true", "false"):
        return said == "true"
    return status in PASSING or status >= 500


def asked_delay(headers: Mapping[str, str], now: datetime) -> float | None:
    """Give the seconds that the server asks to wait, from 0 on; None where it asks for none."""
    for name, unit in (("retry-after-ms", 1e-3), ("retry-after", 1.0)):
        given = headers.get(name, "").strip()
        if given.isascii() and given.replace(".", "", 1).isdigit():
            return float(given) * unit
    try:
        then = parsedate_to_datetime(headers.get("retry-after", ""))
    except (ValueError, OverflowError):  # a time zone may be any number
        return None
    if then.tzinfo is None:
        then = then.replace(tzinfo=UTC)
    return max(0.0, (then - now).total_seconds())


def delay(attempt: int, asked: float | None, dice: float) -> float:
    """Give the seconds before the next attempt; ``attempt`` counts from 0, ``dice`` is 0…1.

    What the server asks for is kept, and a little more, so that its clients do not all come back
    in the same instant.
    """
    if asked is not None:
        return asked + dice * min(1.0, 0.1 * asked)
    return min(LONGEST_S, FIRST_S * 2.0**attempt) * (0.5 + 0.5 * dice)
