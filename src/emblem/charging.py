"""Charging: what a request costs is taken from its key's and its team's limits before the work."""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from emblem.accounts import Account, Caller, Charge, Grant, Observed, Standing
from emblem.core.foresight import foreseen, later
from emblem.core.limits import limits_of
from emblem.core.prices import Prices
from emblem.core.refusals import refused
from emblem.errors import DeploymentFailed, LimitReached, LimitsUnavailable
from emblem.ports import Counting, Limiter
from emblem.types import EmbedRequest

log = logging.getLogger(__name__)


HEARD_S = 5.0  # for so long it is believed how limits stand: another process may give back
MAX_HEARD = 10_000
HALF_A_MINUTE_MS = 30_000


@dataclass(slots=True)
class _Heard:
    """How the limits of an account stood at the earliest moment that this can be true of."""

    account: Account
    at: float
    standings: tuple[Standing, ...]


class Charging:
    """Charges requests to their callers, and gives back what came to nothing. On one event loop.

    ``prices`` are by the models' own names. ``clock`` gives seconds since the epoch, ``now``
    monotonic ones.
    """

    def __init__(
        self,
        limiter: Limiter,
        prices: Prices | None = None,
        *,
        clock: Callable[[], float] = time.time,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.limiter = limiter
        self.prices = prices or Prices()
        self._clock = clock
        self._now = now
        self._heard: dict[str, _Heard] = {}  # by the keys' ids
        self._refunds: set[asyncio.Task[None]] = set()

    def bill(self, caller: Caller, model: str, seen: Observed) -> "Bill":
        """Begin to charge a caller for one request to a model, noting in ``seen`` what it costs."""
        return Bill(self, caller, model, seen)

    def refuse_early(self, caller: Caller, model: str, inputs: int) -> None:
        """Refuse what the limits refuse in any case, before anything is read of it.

        Each of ``inputs`` is at least a token. Nobody is asked: what counts is how the limits stood
        when this caller's were last charged. Raises LimitReached.
        """
        if not caller.limited:
            return
        standings = self._standings(caller.account)
        least = Charge(1, inputs, self.prices.cost(model, inputs))
        refusal = foreseen(standings, least)
        if refusal is not None:
            # Times are rounded here: the minute that is nearest is the one that is meant.
            raise refused(refusal, standings, int(1000 * self._clock()) + HALF_A_MINUTE_MS)

    async def charge(self, account: Account, charge: Charge) -> Grant:
        """Charge an account, and keep in mind how its limits stand. As ``Limiter.charge``."""
        at = self._now()
        try:
            grant = await self.limiter.charge(account, charge)
        except LimitReached as error:
            self._hear(_Heard(account, at, tuple(error.standings)))
            raise
        self._hear(_Heard(account, at, grant.standings))
        return grant

    def _hear(self, heard: _Heard) -> None:
        if len(self._heard) >= MAX_HEARD:
            self._heard.clear()
        self._heard[heard.account.key] = heard

    def _standings(self, account: Account) -> tuple[Standing, ...]:
        """Say how limits stand at the best."""
        heard, now = self._heard.get(account.key), self._now()
        if heard is None or heard.account != account or now - heard.at > HEARD_S:
            return tuple([Standing(limit, 0, 0) for limit in limits_of(account)])
        passed_ms = -int(-1000 * (now - heard.at) // 1)
        return tuple([later(one, passed_ms) for one in heard.standings])

    async def refund(self, grant: Grant) -> None:
        """Give a charge back, also when whoever waits for that leaves meanwhile."""
        if grant.account.team is None:
            self._heard.pop(grant.account.key, None)
        else:
            self._heard.clear()  # others share its limits
        task = asyncio.ensure_future(self._refunded(grant))
        self._refunds.add(task)
        task.add_done_callback(self._refunds.discard)
        await asyncio.shield(task)

    async def aclose(self) -> None:
        """Wait until all is given back that is being given back."""
        while self._refunds:
            await asyncio.gather(*self._refunds, return_exceptions=True)

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
        self._grant = await self._charging.charge(caller.account, charge)
        self._seen.tokens, self._seen.cost = tokens, cost
        return request

    def settle(self, tokens: int) -> None:
        """Note what an answer cost: what was charged, where its tokens were counted for that."""
        self._seen.tokens = tokens
        self._seen.cost = self._charging.prices.cost(self._model, tokens)

    async def give_back(self) -> None:
        """Take the charge back: there is no answer."""
        self._seen.tokens = self._seen.cost = 0
        grant, self._grant = self._grant, None
        if grant is not None:
            await self._charging.refund(grant)
