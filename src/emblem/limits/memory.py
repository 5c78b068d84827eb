"""Limits counted in this process alone."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from emblem.accounts import (
    Account,
    Charge,
    Grant,
    Held,
    Limit,
    Period,
    Spent,
    Standing,
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
SWEEP_FROM = 4096  # cells, before any is looked at to be forgotten
MAX_KNOWN = 4096  # accounts whose cells are at hand


def wall_ms() -> int:
    """Milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


@dataclass(slots=True, eq=False)
class _Cell:
    """What is held against a limit, however many accounts it is one of, and whatever its most is."""

    limit: Limit
    state: Held


@dataclass(slots=True, eq=False)
class _Known:
    """The limits of an account, and their cells."""

    account: Account
    limits: tuple[Limit, ...]
    cells: list[_Cell]


class MemoryLimiter:
    """Counts in a dictionary. Used on one event loop, and never waits.

    What is as if nothing had been asked for is forgotten once there are twice as many cells as
    after the last look, so their number is bounded by those of the keys and teams in use.
    """

    def __init__(self, now_ms: Callable[[], int] = wall_ms) -> None:
        self._now_ms = now_ms
        self._cells: dict[str, _Cell] = {}
        self._known: dict[
            str, _Known
        ] = {}  # by the keys' ids: found once, until cells are forgotten
        self._sweep_at = SWEEP_FROM

    def __len__(self) -> int:
        """Say how many cells are held."""
        return len(self._cells)

    async def charge(self, account: Account, charge: Charge) -> Grant:
        """Charge every limit of a key and its team, or none and raise LimitReached."""
        return self.charge_at_once(account, charge)

    def charge_at_once(self, account: Account, charge: Charge) -> Grant:
        """Charge as ``charge`` does, which never waits; see ``ports.Immediate``."""
        known = self._known.get(account.key)
        if known is None or known.account is not account:
            known = self._find(account)
        limits, cells, now_ms = known.limits, known.cells, self._now_ms()
        if not limits:
            return Grant(account, charge, now_ms, counted_by=MEMORY)
        decision = decide(limits, [cell.state for cell in cells], charge, now_ms)
        standing = decision.standings
        if decision.refusal is not None:
            for cell, one in zip(cells, standing, strict=True):
                # A clock that went back is noted even here: time goes on from there.
                if cell.state.at > now_ms:
                    cell.state = one
            raise refused(decision.refusal, standing, now_ms)
        for cell, one in zip(cells, standing, strict=True):
            cell.state = one
        return Grant(account, charge, now_ms, standing, standing, MEMORY)

    async def refund(self, grant: Grant) -> None:
        """Take a charge back, once."""
        known, now_ms = self._known.get(grant.account.key), self._now_ms()
        if known is None or known.account is not grant.account:
            known = self._find(grant.account)
        held = [cell.state for cell in known.cells]
        after = take_back(known.limits, held, grant.states, grant.charge, now_ms)
        for cell, state in zip(known.cells, after, strict=True):
            cell.state = state

    async def peek(self, account: Account) -> tuple[Standing, ...]:
        """Say how each limit stands now."""
        known = self._find(account)
        return standings(known.limits, [cell.state for cell in known.cells], self._now_ms())

    async def seed(self, spent: Sequence[Spent], *, now: float) -> None:
        """Count at least this much for the day and the month of ``now``."""
        at_ms = round(now * 1000)
        for one in spent:
            for unit, period, used in (
                (Unit.TOKENS, Period.DAY, one.tokens_today),
                (Unit.COST, Period.MONTH, one.cost_this_month),
            ):
                if used > 0:
                    limit = Limit(one.id, one.team, unit, period, MAX_PER_WINDOW)
                    self._sweep()
                    cell = self._cell(limit)
                    cell.state = at_least(limit, cell.state, used, at_ms)

    async def aclose(self) -> None:
        """Nothing is held that outlives the process."""

    def _find(self, account: Account) -> _Known:
        """Find the cells of an account, or make them."""
        self._sweep()
        if len(self._known) >= MAX_KNOWN:
            self._known.clear()
        limits = limits_of(account)
        cells = [self._cell(limit) for limit in limits]
        known = self._known[account.key] = _Known(account, limits, cells)
        return known

    def _cell(self, limit: Limit) -> _Cell:
        place = f"{'team' if limit.team else 'key'} {limit.unit} {limit.period} {limit.id}"
        cell = self._cells.get(place)
        if cell is None:
            cell = self._cells[place] = _Cell(limit, FRESH)
        cell.limit = limit
        return cell

    def _sweep(self) -> None:
        """Forget what is idle, where there are many cells. Nobody may be using one just now."""
        if len(self._cells) < self._sweep_at:
            return
        now_ms = self._now_ms()
        self._cells = {
            place: cell
            for place, cell in self._cells.items()
            if standings([cell.limit], [cell.state], now_ms)[0].reset_ms
        }
        self._known.clear()
        self._sweep_at = max(SWEEP_FROM, 2 * len(self._cells))
