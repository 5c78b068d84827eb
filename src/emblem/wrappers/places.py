"""Places: the deployments of a pool for vectors, and what each of them has read."""

from dataclasses import dataclass, replace

from emblem.ports import Deploying, Embedder
from emblem.types import DeploymentState, EmbedRequest, Tokens
from emblem.wrappers.conduct import Conduct


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


class Place(Conduct[Member]):
    """A member of a pool, and what became of its requests. Times are monotonic seconds."""

    @property
    def embedder(self) -> Embedder:
        """The deployment itself."""
        return self.member.embedder

    def problem(self) -> str | None:
        """Say why it cannot answer, for a reason of its own; None where it can."""
        return self.member.embedder.problem()

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

    def _inner(self) -> DeploymentState:
        told = self.embedder.deployments() if isinstance(self.embedder, Deploying) else ()
        return told[0] if told else DeploymentState(self.name)


def tokens_of(request: EmbedRequest) -> list[int] | None:
    """Give the tokens of each input, where an engine counted them before it was embedded."""
    counted = [
        one.tokens
        for one in request.readings
        if isinstance(one, Reading) and one.tokens is not None
    ]
    return counted if counted and len(counted) == len(request.inputs) else None
