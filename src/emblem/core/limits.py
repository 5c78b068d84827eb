"""Whether a charge is within limits, decided exactly. Pure: the time and the states come in.

A minute's limit is a leaky bucket used as a meter, which is the Generic Cell Rate Algorithm in the
second of the two equivalent forms that ITU-T Recommendation I.371 and the ATM Forum describe, the
continuous-state leaky bucket. A charge of c adds c · 60,000 to what is held; each millisecond takes
the limit away; nothing may be held beyond limit · 60,000. So a whole minute's worth may come at
once, and within t milliseconds never more than limit + limit · t / 60,000. A day and a month are
the calendar's, in UTC, and simply counted.

All numbers are integers below 2**53, so that the same arithmetic on doubles, in ``limits.lua``,
gives the same answers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import inf

import msgspec

from emblem.accounts import MINUTE_MS as MINUTE_MS  # for whoever reads what is held
from emblem.accounts import (
    Account,
    Charge,
    Grant,
    Held,
    Limit,
    Period,
    Quota,
    Standing,
    State,
    Unit,
)

DAY_MS = 86_400_000

# Beyond these a limit is as good as none: two of the largest charges must still add up exactly.
MAX_PER_MINUTE = 2**52 // MINUTE_MS
MAX_PER_WINDOW = 2**52

FRESH = State()
NOTHING = Charge(0)

# To look a member of an enumeration up takes as long as the arithmetic.
_MINUTE, _DAY = Period.MINUTE, Period.DAY


@dataclass(frozen=True, slots=True)
class Refusal:
    """Which limit refuses, and for how many milliseconds; None where waiting does not help.

    ``at_least`` tells that more may have been requested: nobody has counted it to the end.
    """

    limit: Limit
    used: int
    requested: int
    wait_ms: int | None
    at_least: bool = False


class Decision(msgspec.Struct, gc=False):
    """What becomes of the states, and how the limits stand then.

    Where there is a refusal nothing was charged.
    """

    standings: tuple[Standing, ...]
    refusal: Refusal | None = None

    @property
    def states(self) -> tuple[State, ...]:
        """What is held against each limit."""
        return tuple([State(one.held, one.at) for one in self.standings])


@lru_cache(4096)
def limits_of(account: Account) -> tuple[Limit, ...]:
    """Give every limit that a charge of this account must keep, the key's before its team's."""
    own = _limits(account.key, account.quota, team=False)
    return (
        own if account.team is None else own + _limits(account.team, account.team_quota, team=True)
    )


def _limits(id_: str, quota: Quota, *, team: bool) -> tuple[Limit, ...]:
    every = (
        (Unit.REQUESTS, Period.MINUTE, quota.requests_per_minute, MAX_PER_MINUTE),
        (Unit.TOKENS, Period.MINUTE, quota.tokens_per_minute, MAX_PER_MINUTE),
        (Unit.TOKENS, Period.DAY, quota.tokens_per_day, MAX_PER_WINDOW),
        (Unit.COST, Period.MONTH, quota.cost_per_month, MAX_PER_WINDOW),
    )
    return tuple(
        Limit(id_, team, unit, period, min(most, ceiling))
        for unit, period, most, ceiling in every
        if most is not None
    )


def decide(
    limits: Sequence[Limit], states: Sequence[Held], charge: Charge, now_ms: int
) -> Decision:
    """Charge all limits or none of them. Where the clock went back nothing drains."""
    amounts = charge.amounts
    standing: list[Standing] = []
    # All in one loop: requests wait for this, and calls would take longer than the arithmetic.
    for limit, state in zip(limits, states, strict=True):
        held, full, asked, drains = state.held, limit.full, amounts[limit.place], limit.drains
        if drains is not None:
            # A limit that was lowered is used up at most: more would shut it for hours.
            if held > full:
                held = full
            if held and now_ms > state.at:
                held -= drains * (now_ms - state.at)
                if held < 0:
                    held = 0
            at, held = now_ms, held + asked * MINUTE_MS
            used, reset_ms = -(-held // MINUTE_MS), -(-held // (drains or 1))
        else:
            at, day = state.at, now_ms // DAY_MS
            number, ends_ms = (day, (day + 1) * DAY_MS) if limit.period is _DAY else _month_of(day)
            # A window that has begun is not left because a clock goes back a little: its limit
            # would be there twice. One further ahead was begun by a clock that was wrong.
            if at == number + 1:
                ends_ms = window_start_ms(limit.period, at + 1)
            elif at != number:
                held, at = 0, number
            used = held = held + asked
            reset_ms = ends_ms - now_ms if held else 0
        if asked and held > full:  # whoever asks for nothing has room
            return Decision(*refuse(limits, settle_all(limits, states, now_ms), charge, now_ms))
        standing.append(Standing(limit, used, reset_ms, held, at))
    return Decision(tuple(standing))


def refuse(
    limits: Sequence[Limit], states: Sequence[Held], charge: Charge, now_ms: int
) -> tuple[tuple[Standing, ...], Refusal]:
    """Say which limit refuses a charge for longest: once it is over, all of them allow it.

    The states are settled, and one of them at least refuses; raises ValueError where none does.
    """
    standing = standings(limits, states, now_ms)
    refusals = []
    for one, state in zip(standing, states, strict=True):
        asked = amount(one.limit, charge)
        if asked and state.held + asked * scale(one.limit) > one.limit.full:
            wait_ms = _wait_ms(one.limit, state, asked, now_ms)
            refusals.append(Refusal(one.limit, one.used, asked, wait_ms))
    return standing, max(refusals, key=lambda one: inf if one.wait_ms is None else one.wait_ms)


def take_back(
    limits: Sequence[Limit],
    states: Sequence[Held],
    granted: Sequence[Held],
    charge: Charge,
    now_ms: int,
) -> tuple[Held, ...]:
    """Give the states after a refund. ``granted`` are those from right after the charge."""
    return _taken(limits, settle_all(limits, states, now_ms), granted, charge)


def lowered(grant: Grant, over: Charge) -> Grant:
    """Give a grant as it would be had so much less been charged: for what is taken back of the rest."""
    paid = grant.charge
    left = Charge(paid.requests - over.requests, paid.tokens - over.tokens, paid.cost - over.cost)
    if not grant.states:  # of one who counts nothing
        return msgspec.structs.replace(grant, charge=left)
    limits = limits_of(grant.account)
    # Right after the charge they are settled.
    states = _taken(limits, grant.states, grant.states, over)
    standing = standings(limits, states, grant.at_ms)
    return msgspec.structs.replace(grant, charge=left, standings=standing, states=states)


def at_least(limit: Limit, state: Held, used: int, at_ms: int) -> Held:
    """Give a calendar's state with at least so much used in the window of ``at_ms``."""
    number = window(limit.period, at_ms)
    if state.at > number:  # that window is over
        return state
    held = state.held if state.at == number else 0
    return State(max(held, min(used, MAX_PER_WINDOW)), number)


def settle_all(limits: Sequence[Limit], states: Sequence[Held], now_ms: int) -> tuple[State, ...]:
    """Give the states as they are now: what drained is gone, and so is what was used before today."""
    return decide(limits, states, NOTHING, now_ms).states


def standings(limits: Sequence[Limit], states: Sequence[Held], now_ms: int) -> tuple[Standing, ...]:
    """Say how limits stand."""
    return decide(limits, states, NOTHING, now_ms).standings


def amount(limit: Limit, charge: Charge) -> int:
    """Give what a charge asks of a limit, in the limit's unit."""
    return charge.amounts[limit.place]


def scale(limit: Limit) -> int:
    """Give how much of what is held one of the limit's unit is."""
    return MINUTE_MS if limit.period is _MINUTE else 1


def _wait_ms(limit: Limit, state: Held, asked: int, now_ms: int) -> int | None:
    if asked > limit.most:
        return None
    if limit.period is _MINUTE:
        return _ceil(state.held + (asked - limit.most) * MINUTE_MS, limit.most)
    return window_start_ms(limit.period, state.at + 1) - now_ms


def _taken(
    limits: Sequence[Limit], settled: Sequence[Held], granted: Sequence[Held], charge: Charge
) -> tuple[Held, ...]:
    return tuple(
        [
            _without(limit, now, then, asked) if (asked := amount(limit, charge)) else now
            for limit, now, then in zip(limits, settled, granted, strict=True)
        ]
    )


def _without(limit: Limit, settled: Held, granted: Held, asked: int) -> Held:
    """Take one charge out of a settled state.

    Of a minute's, no more than must still be there of it: had it never been made, what came before
    it would have drained the sooner. So nobody gets more through by what is refunded late.
    """
    if limit.period is _MINUTE:
        left = max(0, granted.held - limit.most * max(0, settled.at - granted.at))
        return State(max(0, settled.held - min(asked * MINUTE_MS, left)), settled.at)
    if settled.at != granted.at:
        return settled
    return State(max(0, settled.held - asked), settled.at)


def window(period: Period, now_ms: int) -> int:
    """Give the number of the day since the epoch, or of the month since year 0, both in UTC."""
    day = now_ms // DAY_MS
    return day if period is _DAY else _month(day)


def window_start_ms(period: Period, number: int) -> int:
    """Give when a day or a month begins, in milliseconds since the epoch."""
    return DAY_MS * (number if period is _DAY else _first_day(number))


@lru_cache(8)
def _month_of(day: int) -> tuple[int, int]:
    """Give the number of the month that a day is in, and when it ends."""
    number = _month(day)
    return number, _first_day(number + 1) * DAY_MS


def _month(day: int) -> int:
    number = 1970 * 12 + day * 12 // 365 + 1  # never too small, for years are longer than that
    while _first_day(number) > day:
        number -= 1
    return number


def _first_day(number: int) -> int:
    """Give the day, since the epoch, on which a month since year 0 begins.

    Source: ``days_from_civil`` in H. Hinnant, "chrono-Compatible Low-Level Date Algorithms": years
    begin in March, so that a leap day is their last.
    """
    year, month = divmod(number - 2, 12)
    days = 365 * year + year // 4 - year // 100 + year // 400 + (153 * month + 2) // 5
    return days - 719_468


def _ceil(number: int, divisor: int) -> int:
    return -(-number // divisor)
