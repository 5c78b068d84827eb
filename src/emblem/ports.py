"""The contracts between the parts, on one page."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from emblem.space import Space
from emblem.types import EmbedRequest, EmbedResult, Row, Vectors, Work


class Embedder(Protocol):
    """Turns texts into vectors of one space.

    A local engine, an upstream and everything that wraps them have this shape. ``embed`` is called
    from the event loop, any number of times at once. Cancelling it drops the work. It raises
    InvalidRequest, Overloaded, DeadlineExceeded, InvalidResult or DeploymentFailed, and nothing
    else on purpose.
    """

    @property
    def space(self) -> Space:
        """The space of every vector that this gives at full width."""
        ...

    async def embed(self, request: EmbedRequest) -> EmbedResult:
        """Embed every text of the request, or raise; never a part of them."""
        ...

    def problem(self) -> str | None:
        """Why this cannot answer now, such as "is shutting down"; None where it can."""
        ...

    async def aclose(self) -> None:
        """Stop, and free what is held. Work that is waiting fails with DeploymentFailed."""
        ...


@runtime_checkable
class Examining(Protocol):
    """What an embedder can say of inputs without embedding them."""

    async def examine(self, request: EmbedRequest, wrong: Mapping[int, str]) -> None:
        """Raise InvalidInput, naming every input that cannot be embedded; see ``embed``.

        ``wrong`` has those that are known to be wrong, by their index, and why.
        """
        ...


@runtime_checkable
class Working(Protocol):
    """What an embedder can say of its own work."""

    def work(self) -> Work:
        """Say what waits, and what has been done since this was opened."""
        ...


class Stream(Protocol):
    """One line of execution on a device. Used by one thread only."""

    def run(self, row: Row) -> Vectors:
        """Give the last hidden state of every token of the row: (T, width) float32.

        A backend that runs a whole model (``model.Modules``) pools by itself and gives one vector
        for each sequence: (n, width) float32.

        The sequences of a row do not see one another. What is returned may be overwritten by the
        next call.
        """
        ...


class Backend(Protocol):
    """Runs tensors in this process."""

    @property
    def width(self) -> int:
        """Numbers per token."""
        ...

    @property
    def row_tokens(self) -> int:
        """Tokens in a row beyond which throughput hardly grows."""
        ...

    @property
    def streams(self) -> int:
        """How many streams may run at once."""
        ...

    def stream(self) -> Stream:
        """Open a stream. Called once by each thread that runs one."""
        ...

    def row_bytes(self, tokens: int) -> int:
        """Predicted bytes of working memory for a row of that many tokens."""
        ...

    def close(self) -> None:
        """Free the device. Called once, when no stream runs any more."""
        ...


@runtime_checkable
class Spare(Protocol):
    """A backend that can run a row beside those of all its streams, which give way to it."""

    def spare(self) -> Stream:
        """Open one more stream, where there are several. Called once, by the thread that runs it."""
        ...


@runtime_checkable
class Instant(Protocol):
    """A backend that runs a short row in less time than handing it to a thread would take."""

    @property
    def instant_tokens(self) -> int:
        """Tokens in a row up to which that is so."""
        ...


@dataclass(frozen=True, slots=True)
class Key:
    """What is known of an API key. The key itself is kept nowhere.

    Times are seconds since the epoch.
    """

    id: str
    name: str
    digest: bytes
    last_four: str
    created: float
    revoked: float | None = None


class Ledger(Protocol):
    """Keys, and the space that each name serves. Safe to use from several processes."""

    def issue(self, name: str, *, now: float) -> tuple[Key, str]:
        """Make a key and return it with its secret, which is shown once and never stored."""
        ...

    def keys(self) -> list[Key]:
        """Every key, the revoked ones too, oldest first."""
        ...

    def find(self, digest: bytes) -> Key | None:
        """The key with this SHA-256, if there is one."""
        ...

    def revoke(self, name: str, *, now: float) -> int:
        """Revoke every live key of that name or id and return how many there were."""
        ...

    def spaces(self) -> dict[str, tuple[str, str]]:
        """For each name that was ever served: the identity and the short form of its space."""
        ...

    def bind(self, name: str, identity: str, written: str, *, now: float) -> None:
        """Record the space that a name serves, unless one is recorded already."""
        ...

    def unbind(self, name: str) -> bool:
        """Forget the space of a name; false where none was recorded."""
        ...

    def close(self) -> None:
        """Let go of the database."""
        ...
