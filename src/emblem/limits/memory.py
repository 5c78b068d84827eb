"""Limits counted in this process alone."""

import time
from collections.abc import Callable, Sequence
from functools import lru_cache

from emblem.accounts import (
    Account,
    Charge,
    Grant,
    Limit,
    Period,
    Spent,
    Standing,
    State,
    Unit,
)
from emblem.core.limits import (
    FRESH,
    MAX_PER_WINDOW,
    at_least,
    decide,
    limits_of,
    standings,
    take_back,
)
from emblem.core.refusals import refused

MEMORY = "memory"
SWEEP_FROM = 4096  # states, before any is looked at to be forgotten

_Limits = tuple[Limit, ...]
_Places = tuple[str, ...]  # of which limit of whom each state is, in the order of the limits


def wall_ms() -> int:
    """Milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


class MemoryLimiter:
    """Counts in a dictionary. Used on one event loop, and never waits.

    What is as if nothing had been asked for is forgotten once there are twice as many states as
    after the last look, so their number is bounded by those of the keys and teams in use.
    """

    def __init__(self, now_ms: Callable[[], int] = wall_ms) -> None:
        self._now_ms = now_ms
        self._states: dict[str, tuple[Limit, State]] = {}
        self._sweep_at = SWEEP_FROM

    def __len__(self) -> int:
        """Say how many states are held."""
        return len(self._states)

    async def charge(self, account: Account, charge: Charge) -> Grant:
        """Charge every limit of a key and its team, or none and raise LimitReached."""
        limits, places = _of(account)
        now_ms = self._now_ms()
        if not limits:
            return Grant(account, charge, now_ms, counted_by=MEMORY)
        held = self._held(places)
        decision = decide(limits, held, charge, now_ms)
        if decision.refusal is not None:
            self._go_back(limits, held, decision.states, now_ms)
            raise refused(decision.refusal, decision.standings, now_ms)
        self._keep(limits, places, decision.states, now_ms)
        return Grant(account, charge, now_ms, decision.standings, decision.states, MEMORY)

    async def refund(self, grant: Grant) -> None:
        """Take a charge back, once."""
        limits, places = _of(grant.account)
        now_ms = self._now_ms()
        after = take_back(limits, self._held(places), grant.states, grant.charge, now_ms)
        self._keep(limits, places, after, now_ms)

    async def peek(self, account: Account) -> tuple[Standing, ...]:
        """Say how each limit stands now."""
        limits, places = _of(account)
        now_ms = self._now_ms()
        return standings(limits, self._held(places), now_ms)

    async def seed(self, spent: Sequence[Spent], *, now: float) -> None:
        """Count at least this much for the day and the month of ``now``."""
        now_ms, at_ms = self._now_ms(), round(now * 1000)
        for one in spent:
            for unit, period, used in (
                (Unit.TOKENS, Period.DAY, one.tokens_today),
                (Unit.COST, Period.MONTH, one.cost_this_month),
            ):
                if used > 0:
                    limit = Limit(one.id, one.team, unit, period, MAX_PER_WINDOW)
                    place = _place(limit)
                    (before,) = self._held([place])
                    self._keep([limit], [place], [at_least(limit, before, used, at_ms)], now_ms)

    async def aclose(self) -> None:
        """Nothing is held that outlives the process."""

    def _go_back(
        self, limits: Sequence[Limit], held: Sequence[State], now: Sequence[State], now_ms: int
    ) -> None:
        """Note a clock that went back even where a charge is refused: time goes on from there."""
        for limit, before, state in zip(limits, held, now, strict=True):
            if before.at > now_ms:
                self._keep([limit], [_place(limit)], [state], now_ms)

    def _held(self, places: Sequence[str]) -> list[State]:
        held = self._states
        return [held[place][1] if place in held else FRESH for place in places]

    def _keep(
        self, limits: Sequence[Limit], places: Sequence[str], states: Sequence[State], now_ms: int
    ) -> None:
        kept = self._states
        for limit, place, state in zip(limits, places, states, strict=True):
            kept[place] = limit, state
        if len(kept) >= self._sweep_at:
            self._states = {
                place: (limit, state)
                for place, (limit, state) in kept.items()
                if standings([limit], [state], now_ms)[0].reset_ms
            }
            self._sweep_at = max(SWEEP_FROM, 2 * len(self._states))


@lru_cache(4096)
def _of(account: Account) -> tuple[_Limits, _Places]:
    """Give the limits of an account, and where their states are: worked out once for each."""
    limits = limits_of(account)
    return limits, tuple(map(_place, limits))


def _place(limit: Limit) -> str:
    return f"{'team' if limit.team else 'key'} {limit.unit} {limit.period} {limit.id}"
