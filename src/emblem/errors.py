"""Every error that Emblem raises on purpose.

::

    EmblemError
    ├── InvalidRequest            the caller sent something that cannot be served as sent
    │   ├── InvalidInput          one or more of the texts; names every offending index
    │   ├── TooManyTokens         the texts together are longer than a request may be
    │   └── RefusedElsewhere      the server that it was passed on to refuses it; says why
    ├── UnknownModel              no model of that name is served
    ├── NotAuthenticated          no key, or not one of ours
    ├── SourceRefused             a key that may not be used from where it was
    ├── NoLongerAllowed           whose key was revoked, changed or lost its role while they asked
    ├── Repeated                  a request that is to be done once came again; says what it made
    ├── Overloaded                refused early; ``retry_after_s`` says when to come back
    ├── LimitReached              a limit of the key or of its team refuses; says which one
    │   ├── RateLimited           a minute's; ``retry_after_s`` says when to come back
    │   ├── InsufficientQuota     a day's or a month's; ``ends_in_s`` says when it is over
    │   └── ChargeTooLarge        more than the limit is in all, so that waiting does not help
    ├── LimitsUnavailable         the limits cannot be counted now
    ├── DeadlineExceeded          not answered in time
    ├── InvalidResult             a deployment answered with vectors that cannot be right
    ├── DeploymentFailed          a deployment could not answer at all
    ├── ConfigError               a file, flag or variable is wrong
    ├── ModelError                a model folder is missing, corrupt or not understood
    │   ├── SourcesExhausted      a model or file could be had from none of its sources
    │   └── UnknownFamily         an encoder of a family that has no graph here
    ├── LedgerUnavailable         the database of keys and usage cannot be used
    ├── SpaceChanged              a name would serve another space than it has served before
    └── MissingExtra              an optional part is not installed

Nothing here knows HTTP; ``api/problems.py`` is the one place that turns these into answers.
"""

import shlex
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # it imports numpy, which a command that only prints its help does without
    from emblem.accounts import Limit, Standing


class EmblemError(Exception):
    """The root. ``str(error)`` is fit to be shown to whoever caused it."""


class InvalidRequest(EmblemError):
    """The caller sent something that cannot be served; ``param`` names the field."""

    def __init__(self, message: str, *, param: str | None = None) -> None:
        super().__init__(message)
        self.param = param


class InvalidInput(InvalidRequest):
    """Some of the texts cannot be embedded; ``problems`` has (index, why) for each of them.

    ``called`` says what the text of an index is called where it came in no HTTP request.
    """

    MAX_SHOWN = 20

    def __init__(
        self,
        problems: Sequence[tuple[int, str]],
        *,
        called: Callable[[int], str] | None = None,
    ) -> None:
        name = called or "$.input[{}]".format
        shown = "; ".join(f"{name(index)} {why}" for index, why in problems[: self.MAX_SHOWN])
        rest = len(problems) - self.MAX_SHOWN
        more = f"; and {rest} more" if rest > 0 else ""
        message = f"{shown}{more}" if called else f"'$.input' is invalid: {shown}{more}."
        super().__init__(message, param="input")
        self.problems = tuple(problems)


class TooManyTokens(InvalidRequest):
    """The texts of one request together are longer than a request may be."""

    def __init__(self, requested: str, maximum: int) -> None:
        super().__init__(
            f"Requested {requested} tokens, max {maximum} tokens per request. "
            "Send the inputs in several requests.",
            param="input",
        )


class RefusedElsewhere(InvalidRequest):
    """Whoever a request was passed on to refuses it; ``kind`` and ``code`` are its own words."""

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        kind: str | None = None,
        code: str | None = None,
    ) -> None:
        super().__init__(message, param=param)
        self.kind = kind
        self.code = code


class UnknownModel(EmblemError):
    """No model of that name is served; ``hint`` says what to do about it."""

    def __init__(self, model: str, hint: str = "") -> None:
        super().__init__(
            f"The model `{model}` does not exist or you do not have access to it."
            + (f" {hint}" if hint else "")
        )
        self.model = model


class NotAuthenticated(EmblemError):
    """No key was given (``given`` is None), or one that opens nothing."""

    def __init__(self, given: str | None) -> None:
        super().__init__("no API key" if given is None else "incorrect API key")
        self.given = given


class SourceRefused(EmblemError):
    """A key was used from an address that is in none of its networks."""

    def __init__(self, address: str) -> None:
        super().__init__(f"This API key may not be used from {address or 'where it was used'}.")


class NoLongerAllowed(EmblemError):
    """A change was asked for with a key that was revoked, ran out or lost its role meanwhile.

    Or with a secret that was replaced meanwhile.
    """

    def __init__(self) -> None:
        super().__init__("the key that asks for this is no longer a live key of the role admin")


class Repeated(EmblemError):
    """A request that is to be done once was done before; ``subject`` is the id of what it made.

    ``same`` tells whether the same was asked for then.
    """

    def __init__(self, subject: str, *, same: bool) -> None:
        super().__init__(f"that was asked for before{'' if same else ', in other words'}")
        self.subject = subject
        self.same = same


class Overloaded(EmblemError):
    """More work is queued than can be done soon. ``retry_after_s`` is 1…60.

    ``everywhere`` tells that it is so whatever lane is asked for.
    """

    def __init__(self, message: str, retry_after_s: float, *, everywhere: bool = False) -> None:
        super().__init__(message)
        self.retry_after_s = min(60.0, max(1.0, retry_after_s))
        self.everywhere = everywhere


class LimitReached(EmblemError):
    """A charge was refused, and nothing was charged.

    ``limit`` is the one that refused, or the one of several that must be waited for longest.
    ``standings`` say how all of the limits stand.
    """

    def __init__(self, message: str, limit: "Limit", standings: "Sequence[Standing]" = ()) -> None:
        super().__init__(message)
        self.limit = limit
        self.standings = tuple(standings)


class RateLimited(LimitReached):
    """A minute's limit is used up. ``retry_after_s`` is 1…60; ``wait_ms`` is the exact time."""

    def __init__(
        self, message: str, limit: "Limit", wait_ms: int, standings: "Sequence[Standing]" = ()
    ) -> None:
        super().__init__(message, limit, standings)
        self.wait_ms = wait_ms
        self.retry_after_s = min(60.0, max(1.0, wait_ms / 1000))


class InsufficientQuota(LimitReached):
    """A day's or a month's limit is used up; ``ends_in_s`` is how long that day or month lasts."""

    def __init__(
        self, message: str, limit: "Limit", wait_ms: int, standings: "Sequence[Standing]" = ()
    ) -> None:
        super().__init__(message, limit, standings)
        self.wait_ms = wait_ms
        self.ends_in_s = wait_ms / 1000


class ChargeTooLarge(LimitReached):
    """More was asked for at once than a limit ever allows."""


class LimitsUnavailable(EmblemError):
    """What counts the limits of keys does not answer."""

    def __init__(self) -> None:
        super().__init__(
            "The limits of API keys cannot be counted at the moment. Please try again later."
        )


class DeadlineExceeded(EmblemError):
    """The answer was not ready when it had to be."""


class InvalidResult(EmblemError):
    """A deployment answered with vectors that cannot be right.

    ``of_one_text`` tells that a single text may have caused it, and that others may be well.
    """

    def __init__(self, deployment: str, what: str, *, of_one_text: bool = False) -> None:
        super().__init__(f"{deployment} returned an invalid result: {what}")
        self.deployment = deployment
        self.what = what
        self.of_one_text = of_one_text


class DeploymentFailed(EmblemError):
    """A deployment could not answer at all. ``lasting`` tells that asking it again soon is of no use.

    ``unasked`` tells that it cannot be asked for just this, of which another may be. A later request
    may be answered in ``retry_after_s`` seconds, 1…60.
    """

    def __init__(
        self,
        message: str,
        *,
        lasting: bool = False,
        unasked: bool = False,
        retry_after_s: float = 1.0,
    ) -> None:
        super().__init__(message)
        self.retry_after_s = min(60.0, max(1.0, retry_after_s))
        self.lasting = lasting or unasked
        self.unasked = unasked


class ConfigError(EmblemError):
    """A configuration file, flag or variable is wrong."""


class ModelError(EmblemError):
    """A model's files are missing, corrupt or not understood; says which file and field."""


class SourcesExhausted(ModelError):
    """None of an asset's sources could give it; the message says why each one failed."""


class UnknownFamily(ModelError):
    """An encoder of a family that has no graph here; a shipped graph or torch may yet run it."""


class LedgerUnavailable(EmblemError):
    """The database of keys, spaces and usage cannot be used; one line says why, and no password."""


class SpaceChanged(EmblemError):
    """Names would serve vectors of other spaces than those they have served before.

    ``changes`` has (name, the space before, the space now) for each of them.
    """

    def __init__(self, changes: Sequence[tuple[str, str, str]]) -> None:
        each = "; ".join(
            f"the name `{name}` has served the space {before} and would now serve {now}"
            for name, before, now in changes
        )
        names = " ".join(shlex.quote(name) for name, _, _ in changes)
        super().__init__(
            f"{each[0].upper()}{each[1:]}. Vectors of two spaces cannot be compared, so every "
            "index filled under such a name would give wrong results. Serve the new model under "
            "another name, or, when nothing depends on the old vectors any more, run: "
            f"emblem rebind {names}"
        )
        self.changes = tuple(changes)


class MissingExtra(EmblemError):
    """An optional part is needed and not installed; the message has the line that fixes it."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} needs an optional part: pip install 'emblem[{extra}]'")
        self.extra = extra
