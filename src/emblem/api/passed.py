"""What is passed on to models elsewhere that give no vectors: their names, and what is charged.

What a request costs is known only once it is answered. It is charged before for what it may cost,
guessed by its size, and what the answer tells is what is counted in the end.
"""

import logging
import math
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Generic, Protocol, TypeVar

from starlette.types import Receive, Scope

from emblem.accounts import Caller, Charge, Observed
from emblem.allowed import LISTED, may_ask
from emblem.api.body import BodyReader
from emblem.api.embeddings import MAX_USER, quoted
from emblem.api.limits import headers as limit_headers
from emblem.api.problems import Headers, Problem, invalid
from emblem.api.tags import tags
from emblem.charging import Charged, Charging
from emblem.errors import InvalidRequest, LimitReached, LimitsUnavailable, UnknownModel
from emblem.ports import Passages

log = logging.getLogger(__name__)

BYTES_PER_TOKEN = 4  # of JSON with ordinary English in it, more or less
MAX_TOKENS = 10**9  # of a request: no model has so many, and what counts them holds 64 bits


class Task(StrEnum):
    """What a model elsewhere is for. OpenTelemetry calls a chat so, too, and has no name for a ranking."""

    CHAT = "chat"
    RERANK = "rerank"


# Where each of them is asked.
ADDRESSES = {Task.CHAT: "/v1/chat/completions", Task.RERANK: "/v1/rerank"}


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """A name that clients may send, and the ways to the model that it stands for."""

    name: str
    task: Task
    passages: Passages
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

    async def settle(self, tokens: int, written: int = 0) -> None:
        """Note what it has cost: what is too much is given back, and more is charged if it may be.

        ``written`` of the tokens are the answer's. What the limits do not let pass then is used all
        the same, and counted with the usage.
        """
        self._note(tokens)
        self._seen.written = written
        grant = self._grant
        if grant is None or not self._caller.counted:
            return
        paid, cost = grant.charge, self._seen.cost
        if tokens < paid.tokens:
            await self._lower(grant)
        elif tokens > paid.tokens:
            more = Charge(0, tokens - paid.tokens, cost - paid.cost)
            try:
                await self._charging.charge(self._caller.account, more)
            except (LimitReached, LimitsUnavailable):
                log.debug("what an answer cost beyond its advance is counted as usage alone")


class Body(Protocol):
    """What is read of a request, whatever it is for."""

    @property
    def model(self) -> str | None:
        """The model that it names."""
        ...

    @property
    def user(self) -> str:
        """Whom it is for, in its own words."""
        ...

    @property
    def inputs(self) -> int:
        """How many texts it has."""
        ...


B = TypeVar("B", bound=Body)


@dataclass(frozen=True, slots=True)
class Taken(Generic[B]):
    """A request that was let in: what it asks, of which model, and what it is charged."""

    asked: B = field(repr=False)
    model: Elsewhere
    advance: Advance
    seen: Observed

    def headers(self, served_by: str) -> Headers:
        """Give what an answer says besides."""
        served = ((b"x-served-by", quoted(served_by)),)
        return (*served, *limit_headers(self.advance.standings))


class Door:
    """Lets in requests that are passed on: reads them, and finds their model."""

    def __init__(self, directory: Directory, bodies: BodyReader, charging: Charging) -> None:
        self._directory = directory
        self._bodies = bodies
        self._charging = charging

    @asynccontextmanager
    async def taken(
        self, task: Task, scope: Scope, receive: Receive, read: Callable[[bytes], B]
    ) -> AsyncIterator[Taken[B]]:
        """Let one request in, which stays in memory inside. Raises Problem or EmblemError.

        What is wrong with it, inside too before anything is paid, counts as a request all the same.
        """
        caller: Caller = scope["state"]["caller"]
        seen: Observed = scope["state"]["seen"]
        seen.operation = task
        advance = Advance(self._charging, caller, seen)
        async with self._bodies.read(scope["headers"], receive) as content:
            try:
                seen.tags = tags(scope["headers"])
                asked = read(content)
                model = self._directory.find(task, _named(scope, asked.model), caller)
                seen.user, seen.inputs, seen.model = asked.user[:MAX_USER], asked.inputs, model.name
                yield Taken(asked, model, advance, seen)
            except (Problem, InvalidRequest, UnknownModel):
                await advance.count_wrong()
                raise


def _named(scope: Scope, in_body: str | None) -> str:
    """Give the model that path and body name between them. Raises Problem."""
    in_path: str = scope.get("path_params", {}).get("model", "")
    if not in_path and not in_body:
        raise invalid("you must provide a model parameter", "model")
    if in_path and in_body and in_path != in_body:
        raise invalid(
            f"The path names the model `{in_path}` and the body `{in_body}`. "
            "Send one of the two, or the same in both.",
            "model",
        )
    return in_path or in_body or ""
