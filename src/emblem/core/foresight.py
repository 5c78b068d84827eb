"""How limits stand a while after they were last heard of, and what they refuse in any case. Pure.

Nobody is asked, so what others were charged meanwhile is not known, and nothing is refused here that
would pass, unless something was given back. Rounding counts for whoever asks.
"""

from collections.abc import Iterable
from math import inf

from emblem.accounts import Charge, Period, Standing, Unit
from emblem.core.limits import MINUTE_MS, Refusal, amount

SECONDS = 60  # of a minute
SLACK_MS = 2  # what rounding twice may have taken from a time


def later(standing: Standing, passed_ms: int) -> Standing:
    """Give how a limit stands, at the best, so many milliseconds after this was said of it."""
    limit = standing.limit
    if limit.period is Period.MINUTE:
        held = max(0, _held(standing) - limit.most * passed_ms)
        return Standing(limit, -(-held // MINUTE_MS), -(-held // max(1, limit.most)))
    left = standing.reset_ms - passed_ms
    return Standing(limit, standing.used, left) if left > 0 else Standing(limit, 0, 0)


def passes(standings: Iterable[Standing], tokens: int, cost: int) -> bool:
    """Tell whether limits let a request of so much pass. What passed once they stood so passes later."""
    asked = 1, tokens, cost  # in the order of Unit
    for one in standings:
        limit = one.limit
        if one.used + asked[limit.place] > limit.most:
            return False
    return True


def readable(standings: Iterable[Standing], per_token: int) -> int | None:
    """Give how many tokens a request may have for the limits to let it pass; None for any number.

    ``per_token`` is what a token costs, in billionths. What flows into a minute's limit within a
    second counts as if it were there: whoever counts the tokens may need so long.
    """
    found = []
    for one in standings:
        limit = one.limit
        if limit.unit is Unit.TOKENS:
            soon = limit.most // SECONDS if limit.period is Period.MINUTE else 0
            found.append(min(limit.most, one.remaining + soon))
        elif limit.unit is Unit.COST and per_token:
            found.append(one.remaining // per_token)
    return min(found, default=None)


def foreseen(
    standings: Iterable[Standing], least: Charge, *, unread: bool = False
) -> Refusal | None:
    """Say which limit refuses for longest what costs at least so much; None where none need do so.

    How long to wait for a minute's tokens depends on how many there are, and nobody is to be told
    too little. So they have a say only where it would never pass, unless the rest is left
    ``unread``: then the time is that after which all of the limit is there.
    """
    refusals = [
        Refusal(one.limit, one.used, asked, wait_ms, at_least=one.limit.unit is not Unit.REQUESTS)
        for one in standings
        if one.remaining < (asked := amount(one.limit, least))
        and (wait_ms := _wait_ms(one, asked, unread=unread)) != 0
    ]
    return max(refusals, key=lambda one: inf if one.wait_ms is None else one.wait_ms, default=None)


def _wait_ms(standing: Standing, asked: int, *, unread: bool) -> int | None:
    """Give how long to wait, and no less than is needed; 0 where that may be nothing."""
    limit = standing.limit
    if asked > limit.most:
        return None
    if limit.period is not Period.MINUTE:
        return standing.reset_ms
    if limit.unit is not Unit.REQUESTS:
        return standing.reset_ms + SLACK_MS if unread else 0
    least_ms = -(-(_held(standing) + (asked - limit.most) * MINUTE_MS) // limit.most)
    return least_ms + SLACK_MS if least_ms > 0 else 0


def _held(standing: Standing) -> int:
    """Give the least that is held against a minute's limit: what is said of it was rounded up."""
    by_use = (standing.used - 1) * MINUTE_MS + 1
    by_time = (standing.reset_ms - 1) * standing.limit.most + 1
    return max(0, by_use, by_time) if standing.used else 0
