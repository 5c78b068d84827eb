"""A refused charge in words: OpenAI's, as far as there are any. Pure.

Source: bodies of 429 as seen from the hosted API, such as "Rate limit reached for … on tokens per
min (TPM): Limit 1000000, Used 976163, Requested 70716. Please try again in 2.812s.", "Request too
large for … on tokens per min (TPM): Limit 30000, Requested 36055." and "You exceeded your current
quota, …". Some clients read the time out of the first.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from emblem.accounts import Limit, Period, Standing, Unit
from emblem.core.limits import Refusal
from emblem.errors import ChargeTooLarge, InsufficientQuota, LimitReached, RateLimited

BILLIONTHS = 10**9
SECOND_MS = 1000

_MEANS = {
    (Unit.REQUESTS, Period.MINUTE): "requests per min (RPM)",
    (Unit.TOKENS, Period.MINUTE): "tokens per min (TPM)",
    (Unit.TOKENS, Period.DAY): "tokens per day (TPD)",
    (Unit.COST, Period.MONTH): "cost per month",
}


def refused(refusal: Refusal, standings: Sequence[Standing], now_ms: int) -> LimitReached:
    """Make the error of a refused charge."""
    limit, wait_ms = refusal.limit, refusal.wait_ms
    whom = "this API key's team" if limit.team else "this API key"
    on = f"for {whom} on {meaning(limit)}: Limit {_shown(limit, limit.most)}"
    at_least = "at least " if refusal.at_least else ""
    requested = f"Requested {at_least}{_shown(limit, refusal.requested)}"
    if wait_ms is None:
        return ChargeTooLarge(
            f"Request too large {on}, {requested}. The input must be reduced in order to run "
            "successfully: send it in several requests.",
            limit,
            standings,
        )
    so_far = f"{on}, Used {_shown(limit, refusal.used)}, {requested}."
    if limit.period is Period.MINUTE:
        message = f"Rate limit reached {so_far} Please try again in {duration(wait_ms)}."
        return RateLimited(message, limit, wait_ms, standings)
    message = (
        f"You exceeded your current quota {so_far} The next {limit.period} begins at "
        f"{_moment(now_ms + wait_ms)}."
    )
    return InsufficientQuota(message, limit, wait_ms, standings)


def meaning(limit: Limit) -> str:
    """Say what a limit counts, in OpenAI's words: "tokens per min (TPM)"."""
    return _MEANS.get((limit.unit, limit.period), f"{limit.unit} per {limit.period}")


def duration(ms: int) -> str:
    """Write a time as OpenAI's headers do: "0s", "120ms", "2.812s", "6m0s", "23h59m59s"."""
    if ms < SECOND_MS:
        return f"{ms}ms" if ms else "0s"
    minutes, rest = divmod(ms, 60_000)
    whole, part = divmod(rest, 1000)
    seconds = f"{whole}.{part:03d}".rstrip("0") if part else f"{whole}"
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes}m{seconds}s"
    return f"{minutes}m{seconds}s" if minutes else f"{seconds}s"


def money(billionths: int) -> str:
    """Write billionths as a decimal with two places or as many as it needs."""
    whole, rest = divmod(billionths, BILLIONTHS)
    return f"{whole}.{f'{rest:09d}'.rstrip('0').ljust(2, '0')}"


def _shown(limit: Limit, number: int) -> str:
    return money(number) if limit.unit is Unit.COST else str(number)


def _moment(ms: int) -> str:
    then = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)
    return f"{then:%Y-%m-%d %H:%M} UTC"
