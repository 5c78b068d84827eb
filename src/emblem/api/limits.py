"""What an answer says of limits: the headers of every answer, and those of a refusal.

The names of the headers and the way in which they write time ("120ms", "1s", "6m0s") are those of
OpenAI's guide to rate limits; the messages are made in ``core/refusals.py``.
"""

import math
from collections.abc import Sequence

from emblem.accounts import Period, Standing, Unit
from emblem.core.refusals import SECOND_MS, duration
from emblem.errors import ChargeTooLarge, InsufficientQuota, LimitReached, RateLimited

Headers = tuple[tuple[bytes, bytes], ...]

MAX_RETRY_AFTER_S = 60  # Node's client honours no more; what takes longer is not worth a wait
_REQUESTS, _TOKENS = Unit.REQUESTS, Unit.TOKENS  # to look one up takes longer than to compare it
_OF_REQUESTS, _OF_TOKENS = (
    [f"x-ratelimit-{what}-{unit}".encode() for what in ("limit", "remaining", "reset")]
    for unit in (_REQUESTS, _TOKENS)
)


def headers(standings: Sequence[Standing]) -> Headers:
    """Give the headers that say how the limits stand: for each unit those of the tightest limit.

    That is the one with the least that may still be asked for, for the longest time.
    """
    requests = tokens = None
    for one in standings:
        unit = one.limit.unit
        if unit is _TOKENS:
            tokens = one if tokens is None or _tighter(one, tokens) else tokens
        elif unit is _REQUESTS:
            requests = one if requests is None or _tighter(one, requests) else requests
    found = () if requests is None else _said(_OF_REQUESTS, requests)
    return found if tokens is None else found + _said(_OF_TOKENS, tokens)


def _tighter(one: Standing, other: Standing) -> bool:
    left, there = one.limit.most - one.used, other.limit.most - other.used
    if left != there and (left > 0 or there > 0):  # else nothing is left of either, or as much
        return left < there
    return one.reset_ms > other.reset_ms


def _said(names: Sequence[bytes], one: Standing) -> Headers:
    of_most, of_remaining, of_reset = names
    limit, ms = one.limit, one.reset_ms
    return (
        (of_most, limit.said),
        (of_remaining, b"%d" % max(limit.most - one.used, 0)),
        (of_reset, b"%dms" % ms if 0 < ms < SECOND_MS else duration(ms).encode()),
    )


def refusal_headers(error: LimitReached) -> Headers:
    """Give the headers of a refused charge: when to ask again, and whether that would help.

    A day or a month that goes on for long is not worth a retry, nor is what can never pass: there
    ``x-should-retry`` keeps OpenAI's clients from trying.
    """
    match error:
        case RateLimited():
            said: Headers = ((b"retry-after", b"%d" % math.ceil(error.retry_after_s)),)
        case InsufficientQuota(ends_in_s=seconds):
            after = min(MAX_RETRY_AFTER_S, max(1, math.ceil(seconds)))
            said = ((b"retry-after", b"%d" % after),)
            if seconds > MAX_RETRY_AFTER_S:
                said += ((b"x-should-retry", b"false"),)
        case ChargeTooLarge():
            said = ((b"x-should-retry", b"false"),)
        case _:
            said = ((b"retry-after", b"%d" % MAX_RETRY_AFTER_S),)
    return (*said, *headers(error.standings))


def refusal_type(error: LimitReached) -> str:
    """Give the ``type`` of a refusal as OpenAI has it: what was counted, or that it is a quota."""
    quota = error.limit.period is not Period.MINUTE
    return "insufficient_quota" if quota else error.limit.unit.value


def refusal_code(error: LimitReached) -> str:
    """Give the ``code`` of a refusal."""
    quota = error.limit.period is not Period.MINUTE
    return "insufficient_quota" if quota else "rate_limit_exceeded"
