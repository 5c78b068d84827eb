"""Charging: what a request costs is taken from its key's and its team's limits before the work."""

import asyncio
import logging

from emblem.accounts import Caller, Charge, Grant, Observed, Standing
from emblem.core.prices import Prices
from emblem.errors import DeploymentFailed, LimitsUnavailable
from emblem.ports import Counting, Limiter
from emblem.types import EmbedRequest

log = logging.getLogger(__name__)


class Charging:
    """Charges requests to their callers, and gives back what came to nothing. On one event loop.

    ``prices`` are by the models' own names.
    """

    def __init__(self, limiter: Limiter, prices: Prices | None = None) -> None:
        self.limiter = limiter
        self.prices = prices or Prices()
        self._refunds: set[asyncio.Task[None]] = set()

    def bill(self, caller: Caller, model: str, seen: Observed) -> "Bill":
        """Begin to charge a caller for one request to a model, noting in ``seen`` what it costs."""
        return Bill(self, caller, model, seen)

    async def refund(self, grant: Grant) -> None:
        """Give a charge back, also when whoever waits for that leaves meanwhile."""
        task = asyncio.ensure_future(self._refunded(grant))
        self._refunds.add(task)
        task.add_done_callback(self._refunds.discard)
        await asyncio.shield(task)

    async def _refunded(self, grant: Grant) -> None:
        try:
            await self.limiter.refund(grant)
        except LimitsUnavailable:
            log.warning("a charge was not given back: the limits cannot be counted now")


class Bill:
    """What one request is charged, all of it once."""

    __slots__ = ("_caller", "_charging", "_grant", "_model", "_seen")

    def __init__(self, charging: Charging, caller: Caller, model: str, seen: Observed) -> None:
        self._charging = charging
        self._caller = caller
        self._model = model
        self._seen = seen
        self._grant: Grant | None = None

    @property
    def standings(self) -> tuple[Standing, ...]:
        """How the limits stood right after the charge; none where there are none."""
        return self._grant.standings if self._grant else ()

    async def pay(self, counter: Counting | None, request: EmbedRequest) -> EmbedRequest:
        """Charge a request, and give it with what was read to count its tokens, if they count.

        ``counter`` is what will embed it, None where that cannot tell its tokens beforehand.
        Raises LimitReached, LimitsUnavailable, and what reading the inputs raises; nothing is
        charged then.
        """
        caller = self._caller
        if not caller.limited:
            return request
        tokens = cost = 0
        if caller.counted:
            if counter is None:
                raise DeploymentFailed(f"{self._model} cannot tell how many tokens a text has.")
            request, each = await counter.count(request)
            tokens = int(each.sum())
            cost = self._charging.prices.cost(self._model, tokens)
        charge = Charge(1, tokens, cost)
        self._grant = await self._charging.limiter.charge(caller.account, charge)
        self._seen.tokens, self._seen.cost = tokens, cost
        return request

    def settle(self, tokens: int) -> None:
        """Note what an answer cost: what was charged, where its tokens were counted for that."""
        self._seen.tokens = tokens
        self._seen.cost = self._charging.prices.cost(self._model, tokens)

    async def give_back(self) -> None:
        """Take the charge back: there is no answer, and the failure is the server's."""
        self._seen.tokens = self._seen.cost = 0
        grant, self._grant = self._grant, None
        if grant is not None:
            await self._charging.refund(grant)
