"""A limiter that tests ask one question after the other, with a clock that they set."""

import asyncio
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from emblem.accounts import Account, Charge, Grant, Quota, Spent, Standing, Unit
from emblem.ports import Limiter

NOON_MS = 1_795_262_400_000  # 2026-11-21 12:00 UTC
DAY_MS = 86_400_000
ONE = Charge()  # a request, of nothing else


@dataclass(slots=True)
class Clock:
    """Milliseconds since the epoch, as long as nobody moves them."""

    ms: int = NOON_MS

    def __call__(self) -> int:
        return self.ms


class Counting:
    """Asks a limiter on an event loop of its own."""

    def __init__(self, limiter: Limiter, clock: Clock) -> None:
        self.limiter = limiter
        self.clock = clock
        self._runner = asyncio.Runner()

    def charge(self, account: Account, charge: Charge = ONE) -> Grant:
        return self._runner.run(self.limiter.charge(account, charge))

    def refund(self, grant: Grant) -> None:
        self._runner.run(self.limiter.refund(grant))

    def peek(self, account: Account) -> tuple[Standing, ...]:
        return self._runner.run(self.limiter.peek(account))

    def seed(self, *spent: Spent) -> None:
        self._runner.run(self.limiter.seed(spent, now=self.clock.ms / 1000))

    def used(self, account: Account) -> list[int]:
        return [one.used for one in self.peek(account)]

    def turn(self) -> None:
        """Let the loop see what has come meanwhile, as that of a server always does."""
        for _ in range(5):
            self._runner.run(asyncio.sleep(0))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._runner.run(self.limiter.aclose())
        self._runner.close()


def account(key: str = "key_1", team: str | None = None, /, **limits: int) -> Account:
    """Make an account; limits that begin with ``team_`` are the team's."""
    own = {name: most for name, most in limits.items() if not name.startswith("team_")}
    teams = {name[5:]: most for name, most in limits.items() if name.startswith("team_")}
    return Account(key, Quota(**own), team or ("team_1" if teams else None), Quota(**teams))


def tokens(n: int, cost: int = 0) -> Charge:
    return Charge(1, n, cost)


def of(standings: tuple[Standing, ...], unit: Unit) -> Standing:
    """Give the one standing of a unit."""
    (found,) = (one for one in standings if one.limit.unit is unit)
    return found
