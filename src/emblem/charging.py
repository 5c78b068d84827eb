"""Charging: what a request costs is taken from its key's and its team's limits before the work."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from math import inf

import msgspec

from emblem.accounts import Account, Caller, Charge, Grant, Observed, Standing, Unit
from emblem.core.foresight import foreseen, later, passes, readable
from emblem.core.limits import limits_of, lowered
from emblem.core.prices import Prices
from emblem.core.refusals import refused
from emblem.errors import DeploymentFailed, LimitReached, LimitsUnavailable, TooManyTokens
from emblem.limits.memory import MEMORY
from emblem.ports import Counting, Immediate, Limiter
from emblem.types import EmbedRequest, Tokens
from emblem.waiting import begun

log = logging.getLogger(__name__)


HEARD_S = 5.0  # for so long it is believed how limits stand: another process may give back
MAX_HEARD = 10_000
HALF_A_MINUTE_MS = 30_000

# What has no more is read in a few milliseconds, and whoever sent it is told exactly when to come
# back. Of anything larger no more is read than the limits may let pass.
READ_IN_ANY_CASE = 8192  # characters


# How the limits of an account stood at the earliest moment that this can be true of.
_Heard = tuple[Account, float, tuple[Standing, ...]]


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

    def bill(self, caller: Caller, seen: Observed) -> "Bill":
        """Begin to charge a caller for one request, noting in ``seen`` what it costs.

        By the time that it is to be paid ``seen`` has its model.
        """
        return Bill(self, caller, seen)

    def refuse_early(self, caller: Caller, model: str, inputs: int) -> None:
        """Refuse what the limits refuse in any case, before anything is read of it.

        Each of ``inputs`` is at least a token. Nobody is asked: what counts is how the limits stood
        when this caller's were last charged. Raises LimitReached.
        """
        if not caller.limited:
            return
        account, cost = caller.account, self.prices.cost(model, inputs)
        heard = self._heard_of(account)
        if heard is None or not passes(heard[2], inputs, cost):
            self._refuse_foreseen(self._standings(account), Charge(1, inputs, cost))

    def count(
        self, caller: Caller, model: str, counter: Counting, request: EmbedRequest, cut: int
    ) -> Awaitable[tuple[EmbedRequest, Tokens]]:
        """Have the tokens of a request counted, no further than the limits may let it pass.

        A text is charged for one in ``cut`` of its tokens at least. Raises what ``counter`` does,
        and LimitReached where there are more than are left.
        """
        if sum(map(len, request.inputs)) <= READ_IN_ANY_CASE:
            return counter.count(request)
        return self._count_within(caller, model, counter, request, cut)

    async def _count_within(
        self, caller: Caller, model: str, counter: Counting, request: EmbedRequest, cut: int
    ) -> tuple[EmbedRequest, Tokens]:
        standings = self._standings(caller.account)
        most = readable(standings, self.prices.per_token(model))
        own = request.max_total_tokens
        if most is None or (own is not None and own <= cut * most):
            return await counter.count(request)
        try:
            read, each = await counter.count(replace(request, max_total_tokens=cut * most))
        except TooManyTokens:
            least = Charge(1, most + 1, self.prices.cost(model, most + 1))
            self._refuse_foreseen(standings, least, unread=True)
            raise
        return replace(read, max_total_tokens=own), each

    def _refuse_foreseen(
        self, standings: tuple[Standing, ...], least: Charge, *, unread: bool = False
    ) -> None:
        refusal = foreseen(standings, least, unread=unread)
        if refusal is not None:
            # Times are rounded here: the minute that is nearest is the one that is meant.
            raise refused(refusal, standings, int(1000 * self._clock()) + HALF_A_MINUTE_MS)

    @property
    def limiter(self) -> Limiter:
        """Who counts."""
        return self._limiter

    @limiter.setter
    def limiter(self, limiter: Limiter) -> None:
        self._limiter = limiter
        self._immediate = limiter if isinstance(limiter, Immediate) else None

    async def charge(self, account: Account, charge: Charge) -> Grant:
        """Charge an account, and keep in mind how its limits stand. As ``Limiter.charge``."""
        grant = self.charge_at_once(account, charge)
        if grant is not None:
            return grant
        at = self._now()
        try:
            grant = await self._limiter.charge(account, charge)
        except LimitReached as error:
            self._hear(account, at, error.standings)
            raise
        self._hear(account, at, grant.standings)
        return grant

    def charge_at_once(self, account: Account, charge: Charge) -> Grant | None:
        """Charge as ``charge`` does where nobody has to be waited for; None where somebody has."""
        if self._immediate is None:
            return None
        at = self._now()
        try:
            grant = self._immediate.charge_at_once(account, charge)
        except LimitReached as error:
            self._hear(account, at, error.standings)
            raise
        self._hear(account, at, grant.standings)
        return grant

    async def count_wrong(self, account: Account) -> None:
        """Charge a request that cannot be answered as it is: one of the minute's, and no tokens.

        Raises LimitReached where there is none left.
        """
        if any(limit.unit is Unit.REQUESTS for limit in limits_of(account)):
            try:
                await self.charge(account, Charge(1))
            except LimitsUnavailable:
                log.debug("a wrong request is not counted: the limits cannot be counted now")

    def _heard_of(self, account: Account) -> _Heard | None:
        """Give what was last heard of an account as it is: its limits may have changed."""
        heard = self._heard.get(account.key)
        if heard is None or heard[0] is account or heard[0] == account:
            return heard
        return None

    def _hear(self, account: Account, at: float, standings: tuple[Standing, ...]) -> None:
        if len(self._heard) >= MAX_HEARD:
            self._heard.clear()
        self._heard[account.key] = (account, at, standings)

    def _standings(self, account: Account) -> tuple[Standing, ...]:
        """Say how limits stand at the best."""
        heard, now = self._heard_of(account), self._now()
        _, at, standings = heard or (account, -inf, ())
        if now - at > HEARD_S:
            return tuple([Standing(limit, 0, 0) for limit in limits_of(account)])
        passed_ms = -int(-1000 * (now - at) // 1)
        return tuple([later(one, passed_ms) for one in standings])

    async def refund(self, grant: Grant) -> None:
        """Give a charge back, also when whoever waits for that leaves meanwhile."""
        if grant.account.team is None:
            self._heard.pop(grant.account.key, None)
        else:
            self._heard.clear()  # others share its limits
        work = self._refunded(grant)
        # Memory has no need to wait, and a task takes longer than all of it.
        task = begun(work) if grant.counted_by == MEMORY else asyncio.create_task(work)
        if task is None:
            return
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


class Charged:
    """What one request was charged, which can be taken back."""

    __slots__ = ("_caller", "_charging", "_grant", "_seen")

    def __init__(self, charging: Charging, caller: Caller, seen: Observed) -> None:
        self._charging = charging
        self._caller = caller
        self._seen = seen
        self._grant: Grant | None = None

    @property
    def standings(self) -> tuple[Standing, ...]:
        """How the limits stood right after the charge; none where there are none."""
        return self._grant.standings if self._grant else ()

    async def give_back(self) -> None:
        """Take the charge back: there is no answer."""
        self._seen.tokens = self._seen.cost = 0
        grant, self._grant = self._grant, None
        if grant is not None:
            await self._charging.refund(grant)

    async def count_wrong(self) -> None:
        """Leave a request of the minute charged, and nothing else: it is answered with what is wrong.

        Raises LimitReached where it was not charged yet, and none is left.
        """
        self._seen.tokens = self._seen.cost = 0
        grant, self._grant = self._grant, None
        if grant is None:
            await self._charging.count_wrong(self._caller.account)
        elif grant.charge.tokens or grant.charge.cost:
            rest = Charge(0, grant.charge.tokens, grant.charge.cost)
            await self._charging.refund(msgspec.structs.replace(grant, charge=rest))

    async def _lower(self, grant: Grant) -> None:
        """Give back what was charged beyond what is noted; the rest is what may be given back later."""
        paid, seen = grant.charge, self._seen
        over = Charge(0, paid.tokens - seen.tokens, paid.cost - seen.cost)
        self._grant = lowered(grant, over)
        await self._charging.refund(msgspec.structs.replace(grant, charge=over))

    def _note(self, tokens: int) -> None:
        self._seen.tokens = tokens
        self._seen.cost = self._charging.prices.cost(self._seen.model, tokens)


class Bill(Charged):
    """What one request for vectors is charged, all of it once."""

    __slots__ = ()

    async def pay(
        self, counter: Counting | None, request: EmbedRequest, cut: int = 1
    ) -> EmbedRequest:
        """Charge a request, and give it with what was read to count its tokens, if they count.

        ``counter`` is what will embed it, None where that cannot tell its tokens beforehand; of
        ``cut`` tokens of a text it charges one at least. Raises LimitReached, LimitsUnavailable,
        and what reading the inputs raises; nothing is charged then.
        """
        caller, charging, model = self._caller, self._charging, self._seen.model
        tokens = cost = 0
        if caller.counted:
            if counter is None:
                raise DeploymentFailed(f"{model} cannot tell how many tokens a text has.")
            request, each = await charging.count(caller, model, counter, request, cut)
            # Of a few numbers this is the sum in a third of the time.
            tokens = sum(each.tolist())
            cost = charging.prices.cost(model, tokens)
        account, due = caller.account, Charge(1, tokens, cost)
        grant = charging.charge_at_once(account, due)
        self._grant = await charging.charge(account, due) if grant is None else grant
        self._seen.tokens, self._seen.cost = tokens, cost
        return request

    def settle(self, tokens: int) -> bool:
        """Note what an answer cost, and tell whether more was charged, which ``lower`` gives back.

        None was where its tokens were counted exactly, and some where they were a bound.
        """
        if tokens != self._seen.tokens:  # those that were charged are noted
            self._note(tokens)
        return self._grant is not None and tokens < self._grant.charge.tokens

    async def lower(self) -> None:
        """Give back what was charged beyond what an answer cost."""
        if self._grant is not None:
            await self._lower(self._grant)
