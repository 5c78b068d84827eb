"""What is passed on to models elsewhere that give no vectors: their names, and what is charged.

What a request costs is known only once it is answered. It is charged before for what it may cost,
guessed by its size, and what the answer tells is what is counted in the end.
"""

import logging
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from emblem.accounts import Caller, Charge
from emblem.allowed import LISTED, may_ask
from emblem.charging import Charged
from emblem.errors import LimitReached, LimitsUnavailable, UnknownModel
from emblem.ports import Passage

log = logging.getLogger(__name__)

BYTES_PER_TOKEN = 4  # of JSON with ordinary English in it, more or less
MAX_TOKENS = 10**9  # of a request: no model has so many, and what counts them holds 64 bits


class Task(StrEnum):
    """What a model elsewhere is for."""

    CHAT = "chat"
    RERANK = "rerank"


# Where each of them is asked.
ADDRESSES = {Task.CHAT: "/v1/chat/completions", Task.RERANK: "/v1/rerank"}


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """A name that clients may send, and the way to the model that it stands for."""

    name: str
    task: Task
    passage: Passage
    created: int = 0  # in seconds since the epoch
    dialect: str = "cohere"  # of a reranker: how it is asked
    ask_for_usage: bool = True  # of a model for chat: whether streams are asked for their tokens


class Directory:
    """Every model that is passed on to. Fixed when the server starts."""

    def __init__(self, every: Iterable[Elsewhere] = ()) -> None:
        self._every = {one.name: one for one in every}

    def __iter__(self) -> Iterator[Elsewhere]:
        """Iterate over all of them, in the order of the configuration."""
        return iter(self._every.values())

    def named(self, name: str, caller: Caller) -> Elsewhere | None:
        """Give what a caller may ask for under a name, None where there is nothing."""
        found = self._every.get(name)
        return found if found is not None and may_ask(caller, name) else None

    def find(self, task: Task, name: str, caller: Caller) -> Elsewhere:
        """Find the model for a task. Raises UnknownModel."""
        found = self.named(name, caller)
        if found is not None and found.task is task:
            return found
        if found is not None:
            raise UnknownModel(name, f"It is for {found.task}: POST {ADDRESSES[found.task]}.")
        if not any(one.task is task for one in self):
            raise UnknownModel(
                name, f"No model for {task} is configured here: [{task}.NAME] in emblem.toml."
            )
        raise UnknownModel(name, LISTED)

    def listed(self, caller: Caller) -> Iterator[Elsewhere]:
        """Give what a caller may ask for, in the order of the configuration."""
        return (one for one in self if may_ask(caller, one.name))


def guessed(size: int) -> int:
    """Guess the tokens of so many bytes of JSON; at least one."""
    return max(1, math.ceil(size / BYTES_PER_TOKEN))


class Advance(Charged):
    """What is charged for one request before anybody knows what it costs."""

    __slots__ = ()

    async def pay(self, tokens: int) -> None:
        """Charge what a request may cost. Raises LimitReached or LimitsUnavailable."""
        if self._caller.limited:
            cost = self._charging.prices.cost(self._seen.model, tokens)
            charge = Charge(1, tokens, cost) if self._caller.counted else Charge(1)
            self._grant = await self._charging.charge(self._caller.account, charge)
        self._note(tokens)

    async def settle(self, tokens: int) -> None:
        """Note what it has cost: what is too much is given back, and more is charged if it may be.

        What the limits do not let pass then is used all the same, and counted with the usage.
        """
        self._note(tokens)
        grant = self._grant
        if grant is None or not self._caller.counted:
            return
        paid, cost = grant.charge, self._seen.cost
        if tokens < paid.tokens:
            over = Charge(0, paid.tokens - tokens, paid.cost - cost)
            await self._charging.refund(replace(grant, charge=over))
        elif tokens > paid.tokens:
            more = Charge(0, tokens - paid.tokens, cost - paid.cost)
            try:
                await self._charging.charge(self._caller.account, more)
            except (LimitReached, LimitsUnavailable):
                log.debug("what an answer cost beyond its advance is counted as usage alone")
