"""No limits at all: for a server whose keys are to have none."""

import time
from collections.abc import Sequence

from emblem.accounts import Account, Charge, Grant, Spent, Standing


class Unlimited:
    """Allows whatever is asked for and counts nothing; a ``Limiter``."""

    async def charge(self, account: Account, charge: Charge) -> Grant:
        """Allow it."""
        return Grant(account, charge, int(1000 * time.time()))

    async def refund(self, grant: Grant) -> None:
        """Have nothing to give back."""

    async def peek(self, account: Account) -> tuple[Standing, ...]:  # noqa: ARG002 - of all limiters
        """Say that there are no limits."""
        return ()

    async def seed(self, spent: Sequence[Spent], *, now: float) -> None:
        """Leave what was spent alone."""

    async def aclose(self) -> None:
        """Hold nothing."""
