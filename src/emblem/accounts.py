"""Who may ask for how much, and what was asked: the values of the ledger. They hold data only.

Times are seconds since the epoch. Money is in billionths of the currency in which prices are given:
a price per million tokens is then a whole number for each token.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from math import inf

import msgspec

from emblem.types import Lane


class Role(StrEnum):
    """What a key opens: the models; besides, everybody's usage; besides, the administration."""

    INFERENCE = "inference"
    READ = "read"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Quota:
    """How much may be asked for; None is no limit.

    The two limits of a minute are token buckets, filled evenly; a day and a month are the
    calendar's, in UTC.
    """

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    tokens_per_day: int | None = None
    cost_per_month: int | None = None  # billionths

    @property
    def unlimited(self) -> bool:
        """Tell whether anything may be asked for."""
        return self == Quota()


@dataclass(frozen=True, slots=True)
class Secret:
    """One of the secrets that open a key, as its SHA-256; two while a key is being rotated."""

    digest: bytes
    last_four: str
    created: float
    expires: float | None = None


@dataclass(frozen=True, slots=True)
class Team:
    """Whom keys belong to. What it allows holds for all of its keys together."""

    id: str
    name: str
    created: float
    models: tuple[str, ...] = ()
    quota: Quota = Quota()


@dataclass(frozen=True, slots=True)
class Terms:
    """What a key is for and what it allows: all that may be changed about it.

    ``models`` are globs of the names that it may ask for, and ``sources`` the networks (CIDR) that
    it may be used from; empty means any. ``priority`` is the lane of requests that name none.
    """

    name: str
    owner: str = ""
    team: str | None = None  # its id
    role: Role = Role.INFERENCE
    expires: float | None = None
    models: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    quota: Quota = Quota()
    priority: Lane | None = None


@dataclass(frozen=True, slots=True)
class Key:
    """What is known of an API key. The key itself is kept nowhere."""

    id: str
    terms: Terms
    created: float
    secrets: tuple[Secret, ...] = ()
    revoked: float | None = None
    last_used: float | None = None


class KeyState(StrEnum):
    """Whether a key works: it does, its time is over, or it was revoked."""

    LIVE = "live"
    EXPIRED = "expired"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True)
class KeysWanted:
    """Which keys are asked for; None is any.

    ``team`` is an id, and ``search`` a part of a name, an owner or an id, or the last characters
    of a secret, in upper or lower case.
    """

    name: str | None = None
    team: str | None = None
    role: Role | None = None
    state: KeyState | None = None
    search: str = ""


@dataclass(frozen=True, slots=True)
class Once:
    """What makes a request that came before known again: two SHA-256.

    ``token`` is of who asks and of what they call the request, ``body`` of what is asked for.
    """

    token: bytes
    body: bytes


# This and some below are structs, and not frozen: each request makes them anew on the event loop, and
# a dataclass takes up to three times as long, a frozen one nine times. None can be part of a cycle.
class Use(msgspec.Struct, gc=False):
    """One request that was answered, or refused after its key was known. Never the texts.

    ``cost`` is in billionths; ``user`` is what the request named so, and ``tags`` at most five
    values of ``x-emblem-tag``.
    """

    id: str  # of the request: a record is kept once, however often it is written
    at: float
    key: str
    team: str | None
    model: str
    space: str
    served_by: str
    inputs: int
    tokens: int
    hits: int
    status: int
    ms: float
    cost: int = 0
    user: str = ""
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Window:
    """Which uses are asked for: from ``since`` up to but not including ``until``, and of whom."""

    since: float = 0.0
    until: float = inf
    key: str | None = None
    team: str | None = None
    model: str | None = None


class By(StrEnum):
    """What uses may be grouped by; see ``Sum.group``. Days, hours and minutes are those of UTC.

    A use with several tags counts for each of them, one without any for "".
    """

    KEY = "key"  # its id
    TEAM = "team"  # its id, "" for none
    MODEL = "model"
    STATUS = "status"
    DAY = "day"  # 2026-11-21
    HOUR = "hour"  # 2026-11-21T09:00Z
    MINUTE = "minute"  # 2026-11-21T09:05Z; only where there are records
    SPACE = "space"
    SERVED_BY = "served_by"
    USER = "user"
    TAG = "tag"


@dataclass(frozen=True, slots=True)
class Page:
    """Which records are wanted of those in a window: ``size`` of them, after one with this mark.

    A mark is a record's time and id; None is the beginning.
    """

    size: int = 1000
    after: tuple[float, str] | None = None
    newest_first: bool = False


@dataclass(frozen=True, slots=True)
class Sum:
    """Uses added up. ``group`` has a value for each field that they were grouped by.

    ``errors`` are answers of 400 and above; ``ms`` are the percentiles 50, 95 and 99 of the
    milliseconds of all other answers, None where there was none or nobody asked for them.
    """

    group: tuple[str, ...] = ()
    requests: int = 0
    errors: int = 0
    inputs: int = 0
    tokens: int = 0
    hits: int = 0
    cost: int = 0
    ms: tuple[float, float, float] | None = None


@dataclass(frozen=True, slots=True)
class Actor:
    """Who changes something, for the audit: the id of a key or "cli", and from which address.

    ``digest`` is the SHA-256 of the key's secret that was used, where there was one: what it asks
    for is done only while it opens the key.
    """

    who: str
    source: str = ""
    digest: bytes = field(default=b"", repr=False)


CLI = Actor("cli")


@dataclass(frozen=True, slots=True)
class Change:
    """One line of the audit: who did what to which thing, when and from where."""

    at: float
    who: str  # the id of a key, or "cli"
    what: str  # such as "key.revoke"
    subject: str  # the id of what was changed
    source: str = ""  # an address
    details: dict[str, object] = field(default_factory=dict)
    id: int | None = None  # in the order of the audit, once it is written


@dataclass(frozen=True, slots=True)
class ChangesWanted:
    """Which lines of the audit are asked for; None is any.

    ``what`` is one such as "key.revoke", or what stands before the point for all of its kind.
    """

    subject: str | None = None
    who: str | None = None
    what: str | None = None
    since: float = 0.0
    until: float = inf  # which does not count


MINUTE_MS = 60_000


class Unit(StrEnum):
    """What a limit counts; cost is in billionths."""

    REQUESTS = "requests"
    TOKENS = "tokens"
    COST = "cost"


class Period(StrEnum):
    """Over what a limit counts."""

    MINUTE = "minute"
    DAY = "day"
    MONTH = "month"


class Charge(msgspec.Struct, gc=False):
    """What a request asks for. ``cost`` is in billionths."""

    requests: int = 1
    tokens: int = 0
    cost: int = 0

    @property
    def amounts(self) -> tuple[int, int, int]:
        """What is asked for, in the order of Unit."""
        return self.requests, self.tokens, self.cost


@dataclass(frozen=True, slots=True)
class Account:
    """Who is charged: a key, by its id, and the team that it belongs to. Both must allow."""

    key: str
    quota: Quota = Quota()
    team: str | None = None
    team_quota: Quota = Quota()
    # What is known of an account is looked up for each request, by far more numbers than need be.
    _hash: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        own = hash((self.key, self.quota, self.team, self.team_quota))
        object.__setattr__(self, "_hash", own)

    def __hash__(self) -> int:
        return self._hash


@dataclass(frozen=True, slots=True)
class Limit:
    """One limit of one key, or of one team: at most so many of a unit in a period.

    ``full`` is how much may be held against it (see State), and ``drains`` how much of that goes each
    millisecond, None for a day's or a month's; ``place`` is where ``Charge.amounts`` has what is
    asked of it, and ``said`` is ``most`` as headers say it.
    """

    id: str  # of the key or the team
    team: bool
    unit: Unit
    period: Period
    most: int
    full: int = field(init=False, repr=False, compare=False)
    drains: int | None = field(init=False, repr=False, compare=False)
    place: int = field(init=False, repr=False, compare=False)
    said: bytes = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        minute = self.period is Period.MINUTE
        object.__setattr__(self, "full", self.most * (MINUTE_MS if minute else 1))
        object.__setattr__(self, "drains", self.most if minute else None)
        object.__setattr__(self, "place", [*Unit].index(self.unit))
        object.__setattr__(self, "said", b"%d" % self.most)


class State(msgspec.Struct, gc=False):
    """What is held against a limit, and as of when.

    For a minute's limit ``held`` is in sixty-thousandths of the unit and drains by the limit each
    millisecond, and ``at`` is in milliseconds since the epoch. For a day's or a month's ``held`` is
    what was used, and ``at`` the number of the day since the epoch, or of the month since year 0.
    """

    held: int = 0
    at: int = 0


class Standing(msgspec.Struct, gc=False):
    """How much of a limit is used, and in how many milliseconds none of it would be.

    ``held`` and ``at`` are those of the State that says so, 0 where nobody counted it.
    """

    limit: Limit
    used: int
    reset_ms: int
    held: int = 0
    at: int = 0

    @property
    def remaining(self) -> int:
        """How much may still be asked for at once."""
        most, used = self.limit.most, self.used
        return most - used if most > used else 0


Held = State | Standing  # whatever says what is held against a limit


class Grant(msgspec.Struct, gc=False):
    """A charge that was allowed: when, and how each limit stood right after it.

    ``states`` go with ``standings``, and ``counted_by`` names who counts; both are for the refund.
    """

    account: Account
    charge: Charge
    at_ms: int
    standings: tuple[Standing, ...] = ()
    states: tuple[Held, ...] = ()
    counted_by: str = ""


@dataclass(slots=True, eq=False)
class Caller:
    """Who asks: a key and the team that it belongs to, and the account that is charged for it.

    ``counted`` tells that one of their limits is on tokens or cost, ``limited`` that there is any.
    """

    key: Key
    team: Team | None = None
    account: Account = field(init=False)
    limited: bool = field(init=False)
    counted: bool = field(init=False)

    def __post_init__(self) -> None:
        own, team = self.key.terms.quota, self.team
        self.account = (
            Account(self.key.id, own)
            if team is None
            else Account(self.key.id, own, team.id, team.quota)
        )
        quotas = (own, self.account.team_quota)
        self.limited = not all(one.unlimited for one in quotas)
        self.counted = any(
            most is not None
            for one in quotas
            for most in (one.tokens_per_minute, one.tokens_per_day, one.cost_per_month)
        )


class Observed(msgspec.Struct, eq=False, gc=False):
    """What is known of one request, filled in on its way; "", 0 or None where it came not so far.

    ``route`` is the template of its address, such as "/v1/models/{id:path}", and ``status`` is 499
    where the client left; ``operation`` is what the model was to do, as OpenTelemetry calls it,
    and ``first_s`` the seconds until a streamed answer began.
    ``tokens`` and ``cost``, in billionths, are what was charged or would
    have been; ``written`` of the tokens are an answer's, of a model that writes; ``hits`` are the
    inputs that were not computed for it. ``code`` and ``refused_by``
    say what became of one that was refused: the answer's code, and the limit.
    """

    id: str
    method: str
    at: float  # when it came, in seconds since the epoch
    route: str = ""
    key: str = ""
    team: str | None = None
    model: str = ""  # its own name, whatever it was asked for as
    space: str = ""
    served_by: str = ""
    inputs: int = 0
    tokens: int = 0
    hits: int = 0
    cost: int = 0
    user: str = ""
    tags: tuple[str, ...] = ()
    status: int = 0
    seconds: float = 0.0
    code: str = ""
    refused_by: Limit | None = None
    written: int = 0
    operation: str = "embeddings"
    first_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Spent:
    """What a key or a team has used of the calendar's limits so far, as the ledger has it."""

    id: str
    team: bool
    tokens_today: int = 0
    cost_this_month: int = 0  # billionths
