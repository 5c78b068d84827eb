"""The contracts between the parts, on one page."""

from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol, TypeVar, runtime_checkable

from emblem.accounts import (
    CLI,
    Account,
    Actor,
    By,
    Change,
    ChangesWanted,
    Charge,
    Grant,
    Key,
    KeysWanted,
    Observed,
    Once,
    Page,
    Quota,
    Spent,
    Standing,
    Sum,
    Team,
    Terms,
    Use,
    Window,
)
from emblem.space import Space
from emblem.types import (
    DeploymentState,
    EmbedRequest,
    EmbedResult,
    Reference,
    Row,
    Tokens,
    Vectors,
    Work,
)

T = TypeVar("T")


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
class Counting(Protocol):
    """What an embedder charges for inputs, told before they are embedded."""

    async def count(self, request: EmbedRequest) -> tuple[EmbedRequest, Tokens]:
        """Read every input, or raise what ``embed`` would raise for those that cannot be embedded.

        Gives the request with what was read in it, so that ``embed`` does not read it again, and
        (n,) int32: the tokens of each input, those that ``EmbedResult.tokens`` will have. Raises
        Overloaded where ``embed`` would, DeadlineExceeded and DeploymentFailed besides.
        """
        ...


@runtime_checkable
class Working(Protocol):
    """What an embedder can say of its own work."""

    def work(self) -> Work:
        """Say what waits, and what has been done since this was opened."""
        ...


@runtime_checkable
class Deploying(Protocol):
    """What an embedder can say of the places that serve its model."""

    def deployments(self) -> tuple[DeploymentState, ...]:
        """Say how each of them is, in the order of the configuration."""
        ...


@runtime_checkable
class Dated(Protocol):
    """An embedder that may find out that it was wrong."""

    def era(self) -> int:
        """Count how often that was found out: what was remembered in an era before is in doubt."""
        ...


@runtime_checkable
class Doubting(Protocol):
    """Who remembers how often vectors of a space were found to be wrong after they were given.

    Any thread or process may ask. Raises ModelError where that cannot be read or written.
    """

    def doubts(self, space: Space) -> int:
        """Say how often."""
        ...

    def doubt(self, space: Space, known: int) -> int:
        """Have it be once more than it was and than ``known``, and say how often it is now."""
        ...


class References(Protocol):
    """What deployments are held to: vectors of known texts, one set for each space.

    Any thread or process may ask. Every method raises ModelError where what is kept cannot be read
    or written, or is not what was written; the message names the file and says what to do.
    """

    def get(self, space: Space, texts: str) -> Reference | None:
        """Give the reference of a space for this set of texts, if there is one."""
        ...

    def put(self, space: Space, reference: Reference) -> Reference:
        """Keep a reference, unless there is one already, and give the one that is kept."""
        ...


class Passed(Protocol):
    """An answer that is passed on, of status 200. The secrets of whoever gives it are not in it.

    Reading it raises DeadlineExceeded, DeploymentFailed or InvalidResult.
    """

    @property
    def streams(self) -> bool:
        """Tell whether it comes as events."""
        ...

    async def whole(self) -> bytes:
        """Give all of it, a JSON object."""
        ...

    def events(self) -> AsyncGenerator[bytes, None]:
        """Give each server-sent event as it comes, with the empty line that ends it."""
        ...


class Passage(Protocol):
    """The way to a model elsewhere that gives no vectors: a request is passed on as it is."""

    @property
    def served_by(self) -> str:
        """What the deployment is called here."""
        ...

    @property
    def model(self) -> str:
        """What the upstream calls the model."""
        ...

    def send(self, content: bytes, deadline: float) -> AbstractAsyncContextManager[Passed]:
        """Send JSON, and give the answer inside; leaving before its end breaks the connection off.

        All of it is there by the ``deadline``, in seconds of the monotonic clock. Raises
        InvalidRequest, Overloaded, DeadlineExceeded, InvalidResult or DeploymentFailed.
        """
        ...

    async def aclose(self) -> None:
        """Close the connections."""
        ...


Asking = Callable[[Passage, float], AbstractAsyncContextManager[T]]
"""Asks by one way, within a deadline: inside is what has come so far, so that it can be used."""


class Passages(Deploying, Protocol):
    """The deployments of a model elsewhere that gives no vectors, one of which answers."""

    def answer(self, ask: Asking[T]) -> AbstractAsyncContextManager[T]:
        """Give the first answer that a deployment begins with; no other is asked from then on.

        Raises what ``ask`` does: of what deployments failed with, one error that names all of them.
        """
        ...

    async def aclose(self) -> None:
        """Close the connections of all."""
        ...


class Beyond(Protocol):
    """What is remembered of texts beyond a process's memory, by the keys of their entries.

    An entry is that of ``core.reuse``. Used on one event loop. Nothing here raises on purpose: what
    is not at hand in time is not known.
    """

    async def find(self, keys: Sequence[bytes], width: int) -> list[bytes | None]:
        """Give the entry of each key, of so many numbers; None where none is known."""
        ...

    def put(self, keys: Sequence[bytes], entries: Sequence[bytes]) -> None:
        """Have the entries kept, in place of those that the keys had. Never waits."""
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


class Limiter(Protocol):
    """Counts what keys and teams ask for, and refuses what goes beyond their limits.

    Used on one event loop. Every method may raise LimitsUnavailable.
    """

    async def charge(self, account: Account, charge: Charge) -> Grant:
        """Charge every limit of a key and its team, or none of them and raise LimitReached."""
        ...

    async def refund(self, grant: Grant) -> None:
        """Take a charge back, once: what has drained since, or was of another day, is gone."""
        ...

    async def peek(self, account: Account) -> tuple[Standing, ...]:
        """Say how each limit stands now, the key's before its team's."""
        ...

    async def seed(self, spent: Sequence[Spent], *, now: float) -> None:
        """Count at least this much for the day and the month of ``now``.

        What is counted already is never lowered, so this may be repeated.
        """
        ...

    async def aclose(self) -> None:
        """Let go of whatever is held."""
        ...


@runtime_checkable
class Immediate(Protocol):
    """A limiter that never waits: a coroutine for each charge would take as long as to decide it."""

    def charge_at_once(self, account: Account, charge: Charge) -> Grant:
        """Charge as ``Limiter.charge`` does."""
        ...


class KeyBook(Protocol):
    """Keys, what they allow, and the secrets that open them.

    Whatever changes something writes the audit in the same transaction and returns once that is
    on the disk. Unknown ids and terms that cannot be meant raise InvalidRequest. ``now`` is in
    seconds since the epoch.
    """

    def issue(
        self, terms: Terms, *, now: float, by: Actor = CLI, once: Once | None = None
    ) -> tuple[Key, str]:
        """Make a key and return it with its secret, which is shown once and never stored.

        Raises Repeated where that was done ``once`` within the last day.
        """
        ...

    def refuse_again(self, once: Once | None, *, now: float) -> None:
        """Raise Repeated for what was done ``once`` within the last day, before anything is read.

        Whoever makes a key asks again within the change itself.
        """
        ...

    def adopt(
        self, terms: Terms, digest: bytes, last_four: str, *, now: float, by: Actor = CLI
    ) -> Key:
        """Make a key of a secret that was made elsewhere, known by its SHA-256."""
        ...

    def every(self) -> list[Key]:
        """Every key, the revoked ones too, oldest first."""
        ...

    def get(self, key_id: str) -> Key | None:
        """The key with this id, if there is one."""
        ...

    def search(self, wanted: KeysWanted, page: Page, *, now: float) -> list[Key]:
        """A page of the keys that are wanted, by the time they were made and their ids."""
        ...

    def names(self, ids: Iterable[str]) -> dict[str, str]:
        """What the keys with these ids are called, the revoked ones too."""
        ...

    def find(self, digest: bytes) -> Key | None:
        """The key that the secret with this SHA-256 opens, if there is one."""
        ...

    def change(
        self, key_id: str, how: Callable[[Terms], Terms], *, now: float, by: Actor = CLI
    ) -> Key:
        """Give a key other terms: ``how`` is given those that it has, which nobody changes meanwhile.

        Raises InvalidRequest for a key that is revoked, and what ``how`` raises.
        """
        ...

    def rotate(
        self, key_id: str, *, overlap_s: float, now: float, by: Actor = CLI
    ) -> tuple[Key, str]:
        """Give a key a new secret; those that it had open it for ``overlap_s`` longer."""
        ...

    def revoke(self, name: str, *, now: float, by: Actor = CLI) -> int:
        """Revoke every live key of that name or id and return how many there were."""
        ...

    def touch(self, used: Mapping[str, float]) -> None:
        """Record when keys were last used, by their ids. What is later already stays."""
        ...

    def version(self) -> int:
        """A number that grows with every change of a key or a team."""
        ...


class TeamBook(Protocol):
    """Teams. Changes are as ``KeyBook`` makes them; two teams never have one name."""

    def create(
        self,
        name: str,
        models: tuple[str, ...] = (),
        quota: Quota = Quota(),  # noqa: B008 - it is frozen
        *,
        now: float,
        by: Actor = CLI,
        once: Once | None = None,
    ) -> Team:
        """Make a team. Raises Repeated where that was done ``once`` within the last day."""
        ...

    def every(self) -> list[Team]:
        """Every team, by name."""
        ...

    def change(
        self, team_id: str, how: Callable[[Team], Team], *, now: float, by: Actor = CLI
    ) -> Team:
        """Give a team another name, models or limits: ``how`` is given the team as it is.

        Nobody changes it meanwhile. Raises what ``how`` raises.
        """
        ...

    def delete(self, team_id: str, *, now: float, by: Actor = CLI) -> None:
        """Forget a team; raises InvalidRequest while live keys belong to it."""
        ...


class SpaceBook(Protocol):
    """The space that each name serves."""

    def every(self) -> dict[str, tuple[str, str]]:
        """For each name that was ever served: the identity and the short form of its space."""
        ...

    def bind(self, name: str, identity: str, written: str, *, now: float) -> None:
        """Record the space that a name serves, unless one is recorded already."""
        ...

    def unbind(self, name: str, *, now: float, by: Actor = CLI) -> bool:
        """Forget the space of a name; false where none was recorded."""
        ...


class AuditBook(Protocol):
    """Who did what to which thing. Read here; written by the books whose things change."""

    def changes(
        self, *, limit: int = 100, before: int | None = None, wanted: ChangesWanted | None = None
    ) -> list[Change]:
        """The newest changes first, all or those that are wanted, before the one with this id."""
        ...


class UsageBook(Protocol):
    """What was used, when and by whom. Every method may be called from several processes at once."""

    def add(self, uses: Sequence[Use]) -> int:
        """Write records, all in one transaction; one whose id is there already is left as it is.

        Gives how many came too late: their hour's records have been pruned.
        """
        ...

    def sums(self, window: Window, by: Sequence[By] = (), *, percentiles: bool = True) -> list[Sum]:
        """Add up the uses of a window for each group, in the order of the groups.

        Without ``by`` there is one sum, whatever was used. Where records were pruned an hour counts
        as a whole, in the window that it begins in; what only records tell raises InvalidRequest.
        """
        ...

    def summed(
        self,
        window: Window,
        by: Sequence[By] = (),
        *,
        percentiles: bool = True,
        at_most: int | None = None,
    ) -> tuple[list[Sum], Sum]:
        """Do as ``sums``, and give the sum of all beside them: each use once, of the same moment.

        Raises InvalidRequest where more than ``at_most`` records and sums would be read for that.
        """
        ...

    def records(self, window: Window, page: Page) -> list[Use]:
        """Give the records of a window by time and id, a page of them. Pruned ones are gone."""
        ...

    def pruned_until(self, window: Window) -> float | None:
        """Give up to when records of a window are pruned, None where none are."""
        ...

    def spent(self, now: float) -> list[Spent]:
        """What each key and team was charged for the day and the month of ``now``."""
        ...

    def roll_up(self, now: float, stop: Callable[[], bool] = lambda: False) -> int:
        """Make the sums of hours that are over and have changed; gives how many were made.

        Ends before the next hour where ``stop`` says so.
        """
        ...

    def prune(self, before: float, stop: Callable[[], bool] = lambda: False) -> int:
        """Forget the records of hours that ended before then, and keep their sums.

        Gives how many were forgotten. An hour whose sums are not made yet is left for later, and so
        is the rest where ``stop`` says so. Of an hour that is begun no record is read any more.
        """
        ...


class Observer(Protocol):
    """Hears of each request once it was answered, on the event loop."""

    def observed(self, one: Observed) -> None:
        """Take note of a request, which is not changed any more. Never waits and never raises."""
        ...


class UsageLog(Protocol):
    """Takes a record of each request, on the event loop."""

    def record(self, use: Use) -> None:
        """Take a record, to be written soon. Never waits and never raises."""
        ...


class Ledger(Protocol):
    """The books over one database. Safe to use from several threads and processes.

    Every method of theirs raises LedgerUnavailable where the database cannot be used.
    """

    @property
    def keys(self) -> KeyBook:
        """Keys and their secrets."""
        ...

    @property
    def teams(self) -> TeamBook:
        """Whom keys belong to."""
        ...

    @property
    def spaces(self) -> SpaceBook:
        """What each name serves."""
        ...

    @property
    def usage(self) -> UsageBook:
        """What was used."""
        ...

    @property
    def audit(self) -> AuditBook:
        """What was changed."""
        ...

    def close(self) -> None:
        """Let go of the database."""
        ...
