"""Places: the deployments of a pool, each with what it has in work and how it has done so far."""

from dataclasses import dataclass, field, replace
from math import inf

from emblem.core.balance import Load
from emblem.core.breaker import Breaker, Stance, Trip
from emblem.errors import DeploymentFailed, EmblemError, InvalidResult, Overloaded
from emblem.ports import Deploying, Embedder
from emblem.types import DeploymentState, EmbedRequest, Health, Tokens

# A deployment that refuses again and again without asking for a longer pause is given one.
REFUSED_S = 0.25
LONGEST_REFUSED_S = 30.0

_STANCES = {Stance.OPEN: Health.OPEN, Stance.HALF_OPEN: Health.PROBED}


@dataclass(frozen=True, slots=True)
class Member:
    """A deployment of a pool. ``kind`` is what it is, such as "local" or "openai".

    It gets ``weight`` parts of the requests, and ``max_concurrency`` at once at most. Where
    ``rests`` is true a request that it finds too many holds for all others, until it said to come
    back. An engine in this process, whose lanes are full apart from one another, does not rest; and
    what it counts of a text is exact.
    """

    name: str
    embedder: Embedder
    weight: float = 1.0
    max_concurrency: int = 64
    kind: str = ""
    rests: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """What one deployment read of an input, and how many tokens it counted.

    ``tokens`` is None where they are a guess, as they may be of a deployment that is elsewhere.
    """

    by: "Place"
    read: object
    tokens: int | None


class Place:
    """A member of a pool, and what became of its requests. Times are monotonic seconds."""

    def __init__(self, member: Member, trip: Trip) -> None:
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
    def embedder(self) -> Embedder:
        """The deployment itself."""
        return self.member.embedder

    @property
    def load(self) -> Load:
        """What it has in work."""
        return Load(self._requests, self.member.max_concurrency, self.member.weight)

    @property
    def full(self) -> bool:
        """Tell whether it has as many requests as it may have at once."""
        return self._requests >= self.member.max_concurrency

    def wait_s(self, now: float) -> float:
        """Give the seconds until it may be sent a request, 0 where it may now."""
        return max(0.0, self._rests_until - now, self._breaker.wait_s(now))

    def failing(self, now: float, beyond_s: float = 0.0) -> bool:
        """Tell whether it is left alone because it failed too often, for longer than that."""
        return self._breaker.wait_s(now) > beyond_s

    def begin(self, now: float) -> int:
        """Note a request that is sent to it, and give the ticket for what becomes of it."""
        self._requests += 1
        return self._breaker.begin(now)

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

    def own(self, request: EmbedRequest) -> EmbedRequest:
        """Give a request with what this deployment itself read of it, and nothing of another."""
        if not request.readings:
            return request
        read = tuple(
            [
                one.read if isinstance(one, Reading) and one.by is self else None
                for one in request.readings
            ]
        )
        mine = any(one is not None for one in read)
        return replace(request, readings=read if mine else ())

    def signed(self, read: EmbedRequest, tokens: Tokens) -> EmbedRequest:
        """Give a request that this deployment has read, so that no other takes that for its own."""
        if self.member.rests and not read.readings:  # it guessed, and has nothing to go on with
            return read
        given = read.readings or (None,) * len(read.inputs)
        counts = (None,) * len(tokens) if self.member.rests else tokens.tolist()
        signed = [Reading(self, *one) for one in zip(given, counts, strict=True)]
        return replace(read, readings=tuple(signed))

    def state(self, now: float) -> DeploymentState:
        """Say how it is."""
        inner = self.embedder
        told = inner.deployments() if isinstance(inner, Deploying) else ()
        state = told[0] if told else DeploymentState(self.name)
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
            retry_s=wait if wait > 0 else None,
        )

    def _health(self, state: DeploymentState, now: float) -> tuple[Health, str | None]:
        if state.health is not Health.SERVING:
            return state.health, state.problem
        if (problem := self.embedder.problem()) is not None:
            return Health.CLOSED, problem
        stance = self._breaker.stance(now)
        if stance is not Stance.CLOSED:
            return _STANCES[stance], f"failed too often, the last time with: {self._said}"
        if self._rests_until > now:
            return Health.RESTING, "asked for a pause"
        return Health.SERVING, None


@dataclass(slots=True, eq=False)
class Course:
    """What became of one request so far.

    ``tried`` were asked in this round, ``failures`` are the last ones of each deployment.
    ``suspects`` failed at what may be the text's fault: (place, ticket, error).
    """

    attempts: int = 0
    rounds: int = 0
    tried: set[Place] = field(default_factory=set)
    failures: dict[Place, EmblemError] = field(default_factory=dict)
    suspects: list[tuple[Place, int, InvalidResult]] = field(default_factory=list)

    def worth_asking(self, place: Place) -> bool:
        """Tell whether it may answer another time: not what it answered wrongly, or refuses for good."""
        failure = self.failures.get(place)
        lasting = isinstance(failure, DeploymentFailed) and failure.lasting
        return not lasting and not isinstance(failure, InvalidResult)


def tokens_of(request: EmbedRequest) -> list[int] | None:
    """Give the tokens of each input, where an engine counted them before it was embedded."""
    counted = [
        one.tokens
        for one in request.readings
        if isinstance(one, Reading) and one.tokens is not None
    ]
    return counted if counted and len(counted) == len(request.inputs) else None
