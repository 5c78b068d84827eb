"""Conduct: what a deployment has in work, how it has done so far, and what became of one request."""

from collections.abc import Hashable
from dataclasses import dataclass, field, replace
from math import inf
from typing import Generic, Protocol, TypeVar

from emblem.core.balance import Load
from emblem.core.breaker import Breaker, Stance, Trip
from emblem.errors import DeploymentFailed, EmblemError, InvalidResult, Overloaded
from emblem.types import DeploymentState, Health

# A deployment that refuses again and again without asking for a longer pause is given one.
REFUSED_S = 0.25
LONGEST_REFUSED_S = 30.0

_STANCES = {Stance.OPEN: Health.OPEN, Stance.HALF_OPEN: Health.PROBED}


class Part(Protocol):
    """A deployment among others.

    Where it ``rests`` a request that it finds too many holds for all others, until it said to come
    back.
    """

    @property
    def name(self) -> str:
        """What it is called."""
        ...

    @property
    def weight(self) -> float:
        """How many parts of the requests it gets."""
        ...

    @property
    def max_concurrency(self) -> int:
        """How many requests it gets at once, at most."""
        ...

    @property
    def kind(self) -> str:
        """What it is, such as "local" or "openai"."""
        ...

    @property
    def rests(self) -> bool:
        """Whether it asks for a pause from all requests, not from one."""
        ...


M = TypeVar("M", bound=Part)
P = TypeVar("P", bound=Hashable)


class Conduct(Generic[M]):
    """A deployment, and what became of its requests. Times are monotonic seconds."""

    def __init__(self, member: M, trip: Trip) -> None:
        self.member = member
        self._breaker = Breaker(trip)
        self._requests = self._answered = self._failures = self._invalid = 0
        self._refusals = 0  # in a row
        self._rests_until = -inf
        self._said: str | None = None  # what the last failure was

    @property
    def name(self) -> str:
        """What the deployment is called."""
        return self.member.name

    @property
    def load(self) -> Load:
        """What it has in work."""
        return Load(self._requests, self.member.max_concurrency, self.member.weight)

    @property
    def full(self) -> bool:
        """Tell whether it has as many requests as it may have at once."""
        return self._requests >= self.member.max_concurrency

    def problem(self) -> str | None:
        """Say why it cannot answer, for a reason of its own; None where it can."""
        return None

    def wait_s(self, now: float) -> float:
        """Give the seconds until it may be sent a request, 0 where it may now."""
        return max(0.0, self._rests_until - now, self._breaker.wait_s(now))

    def again_s(self, now: float) -> float:
        """Give the seconds until it may be found well again, or its pause ends; 0 where it may now."""
        return max(0.0, self._rests_until - now, self._breaker.half_open_s(now))

    def failing(self, now: float, beyond_s: float = 0.0) -> bool:
        """Tell whether it is left alone because it failed too often, for longer than that."""
        return self._breaker.wait_s(now) > beyond_s

    def begin(self, now: float) -> int:
        """Note a request that is sent to it, and give the ticket for what becomes of it."""
        self._requests += 1
        return self._breaker.begin(now)

    def begun(self, ticket: int, now: float) -> None:
        """Note an answer that has begun and may yet take long: it is there, whatever comes."""
        self._refusals = 0
        if self._breaker.stance(now) is not Stance.CLOSED:
            self._breaker.end(ticket, now, failed=False)

    def done(self) -> None:
        """Note that a request is over, whatever became of it."""
        self._requests -= 1

    def answered(self, ticket: int, now: float) -> None:
        """Note a request that was answered."""
        self._answered += 1
        self._refusals = 0
        self._breaker.end(ticket, now, failed=False)

    def left(self, ticket: int) -> None:
        """Note a request that says nothing of the deployment: its sender left, or was wrong."""
        self._breaker.leave(ticket)

    def refused(self, ticket: int, now: float, error: Overloaded) -> None:
        """Note a request that was too many for it."""
        self._breaker.leave(ticket)
        if self.member.rests:
            growing = REFUSED_S * 2.0 ** min(self._refusals, 32)
            pause = max(error.retry_after_s, min(LONGEST_REFUSED_S, growing))
            self._rests_until = max(self._rests_until, now + pause)
            self._refusals += 1

    def failed(self, ticket: int, now: float, error: Exception) -> None:
        """Note a request that it did not answer, or not with what can be right."""
        self._failures += 1
        self._invalid += isinstance(error, InvalidResult)
        self._said = str(error)
        self._breaker.end(ticket, now, failed=True)

    def state(self, now: float) -> DeploymentState:
        """Say how it is."""
        state = self._inner()
        health, problem = self._health(state, now)
        wait = self.wait_s(now)
        return replace(
            state,
            name=self.name,
            kind=self.member.kind,
            health=health,
            problem=problem,
            requests=self._requests,
            max_requests=self.member.max_concurrency,
            weight=self.member.weight,
            answered=self._answered,
            failures=self._failures,
            invalid=self._invalid,
            retry_s=wait if wait > 0 else state.retry_s,
        )

    def _inner(self) -> DeploymentState:
        """Give what the deployment says of itself."""
        return DeploymentState(self.name)

    def _health(self, state: DeploymentState, now: float) -> tuple[Health, str | None]:
        if state.health is not Health.SERVING:
            return state.health, state.problem
        if (problem := self.problem()) is not None:
            return Health.CLOSED, problem
        stance = self._breaker.stance(now)
        if stance is not Stance.CLOSED:
            return _STANCES[stance], f"failed too often, the last time with: {self._said}"
        if self._rests_until > now:
            return Health.RESTING, "asked for a pause"
        return Health.SERVING, None


@dataclass(slots=True, eq=False)
class Course(Generic[P]):
    """What became of one request so far.

    ``tried`` were asked in this round, ``failures`` are the last ones of each deployment.
    ``suspects`` failed at what may be the text's fault: (place, ticket, error).
    """

    attempts: int = 0
    rounds: int = 0
    tried: set[P] = field(default_factory=set)
    failures: dict[P, EmblemError] = field(default_factory=dict)
    suspects: list[tuple[P, int, InvalidResult]] = field(default_factory=list)

    def worth_asking(self, place: P) -> bool:
        """Tell whether it may answer another time: not what it answered wrongly, or refuses for good."""
        if not self.failures:
            return True
        failure = self.failures.get(place)
        lasting = isinstance(failure, DeploymentFailed) and failure.lasting
        return not lasting and not isinstance(failure, InvalidResult)
