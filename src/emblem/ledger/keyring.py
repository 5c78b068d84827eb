"""Who is calling: keys checked from memory, at the speed of a dictionary."""

import asyncio
import hmac
import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from math import inf

from emblem.accounts import Key, Quota, Role, Secret, Team, Terms
from emblem.errors import LedgerUnavailable
from emblem.ledger.secret import digest
from emblem.ports import Ledger

log = logging.getLogger(__name__)

ENVIRONMENT = "EMBLEM_API_KEY"  # the id of the key that is set there
REFRESH_S = 0.5  # between two looks at the ledger
REREAD_S = 30.0  # after which everything is read, though nothing is said to have changed
HOLD_S = 60.0  # how long keys are accepted from memory while the ledger cannot be read
SAVE_S = 10.0  # between two records of when keys were used
MAX_LOOKUPS = 8  # wrong keys that may ask the ledger between two looks at it


@dataclass(frozen=True, slots=True)
class _Opener:
    """A secret, the key that it opens, and until when."""

    digest: bytes
    key: Key
    until: float


class KeyRing:
    """Says whose key a secret is. Threads may share one.

    Live keys and teams are held in memory. Once ``open`` was called a thread asks the ledger every
    ``refresh_s`` whether any has changed, and reads them again where one has: a key that another
    process revoked stops working within that time. Keys and secrets that expire do so to the
    second, without a question. While the ledger cannot be read, what is held goes on being accepted
    for ``hold_s``; then ``check`` raises LedgerUnavailable.

    ``on_new_limits`` is called, by whatever thread reads, when a key or a team that was there got a
    day's or a month's limit that it lacked.

    ``extra`` holds SHA-256 digests of keys that are always accepted, as administrators, such as
    the one in the environment. ``clock`` gives seconds since the epoch, ``now`` monotonic ones.
    """

    def __init__(
        self,
        ledger: Ledger,
        extra: Iterable[bytes] = (),
        *,
        clock: Callable[[], float] = time.time,
        now: Callable[[], float] = time.monotonic,
        refresh_s: float = REFRESH_S,
    ) -> None:
        self._ledger = ledger
        self._extra = {one: _Opener(one, _from_environment(one), inf) for one in extra}
        self._clock = clock
        self._now = now
        self._refresh_s = refresh_s
        self._reading = threading.Lock()
        # Both are replaced, never changed: they are read without the lock.
        self._held = self._extra
        self._teams: dict[str, Team] = {}
        self._quotas: dict[tuple[bool, str], Quota] = {}  # of keys and of teams
        self.on_new_limits: Callable[[], object] = lambda: None
        self._version = -1
        self._looked_at = -inf
        self._read_at = -inf
        self._lookups_left = MAX_LOOKUPS
        self._problem = ""
        self._used: dict[str, float] = {}
        self._saved: dict[str, float] = {}
        self._saved_at = -inf
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    def open(self) -> None:
        """Read the keys, and go on looking. Raises LedgerUnavailable where they cannot be read."""
        self.refresh()
        self._thread = threading.Thread(target=self._follow, name="emblem-keys", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop looking, and record when keys were last used as far as that is possible."""
        self._closing.set()
        if self._thread is not None:
            self._thread.join()
        try:
            self.save_used(at_once=True)
        except LedgerUnavailable as error:
            log.warning("when keys were last used is not recorded: %s", error)

    def check(self, secret: str) -> Key | None:
        """Give the live key that a secret opens now, or None. Never asks the ledger."""
        return self.held(digest(secret))

    def held(self, given: bytes) -> Key | None:
        """Give the live key that a secret with this SHA-256 opens now; see ``check``."""
        opener = self._held.get(given)
        # The dictionary has compared them already; this says so in constant time.
        if opener is None or not hmac.compare_digest(opener.digest, given):
            return None
        if given in self._extra:
            return opener.key
        if self._now() - self._looked_at > HOLD_S:
            raise LedgerUnavailable(self._problem or "the keys have not been read for too long")
        return None if self._clock() >= opener.until else opener.key

    def used(self, key: Key) -> None:
        """Note that a key was used now, for ``save_used``; one that the ledger lacks is left out."""
        if key.secrets and key.id != ENVIRONMENT:
            self._used[key.id] = self._clock()

    async def look_up(self, secret: str) -> Key | None:
        """Check a secret that is not held, after asking the ledger what is new.

        So a new key works at once; but only ``MAX_LOOKUPS`` times between two looks at the ledger:
        whoever floods the server with wrong keys costs no more than that. Raises LedgerUnavailable.
        """
        if self._lookups_left > 0:
            self._lookups_left -= 1
            await asyncio.to_thread(self.refresh)
        elif self._problem:
            raise LedgerUnavailable(self._problem)
        return self.check(secret)

    def team(self, key: Key) -> Team | None:
        """Give the team that a key belongs to, from memory; None where it belongs to none.

        Raises LedgerUnavailable where the team is not known: it may have limits.
        """
        if key.terms.team is None:
            return None
        team = self._teams.get(key.terms.team)
        if team is None:
            raise LedgerUnavailable("the team of a key has not been read")
        return team

    def team_called(self, name: str) -> Team | None:
        """Give the team of an id or a name, from memory."""
        teams = self._teams
        found = (team for team in teams.values() if team.name == name)
        return teams.get(name) or next(found, None)

    def refresh(self) -> None:
        """Look at the ledger, and read what has changed. Raises LedgerUnavailable."""
        with self._reading:
            started = self._now()
            try:
                version = self._ledger.keys.version()
                if version != self._version or started - self._read_at >= REREAD_S:
                    self._read()
                    self._version, self._read_at = version, started
            except LedgerUnavailable as error:
                self._problem = str(error)
                raise
            self._looked_at, self._problem = started, ""

    def save_used(self, *, at_once: bool = False) -> None:
        """Record in the ledger when keys were last used; now and then, unless it is to be at once.

        Raises LedgerUnavailable; what could not be recorded is tried again by the next call.
        """
        if not at_once and self._now() - self._saved_at < SAVE_S:
            return
        self._saved_at = self._now()
        used = dict(self._used)
        fresh = {one: at for one, at in used.items() if self._saved.get(one) != at}
        self._ledger.keys.touch(fresh)
        self._saved = used

    def _read(self) -> None:
        # Teams after keys: a team is made before its keys, so none of these is without its own.
        keys = self._ledger.keys.every()
        teams = {team.id: team for team in self._ledger.teams.every()}
        live = [key for key in keys if key.revoked is None]
        self._teams = teams
        self._held = {
            **{one.digest: _opener(one, key) for key in live for one in key.secrets},
            **self._extra,
        }
        before, self._quotas = self._quotas, _quotas(live, teams)
        if any(_newly_limited(before.get(one), now) for one, now in self._quotas.items()):
            self.on_new_limits()

    def _follow(self) -> None:
        """Look at the ledger again and again, and say once that it cannot be read."""
        said = False
        while not self._closing.wait(self._refresh_s):
            try:
                self.refresh()
            except LedgerUnavailable as error:
                if not said:
                    log.warning("%s; keys are accepted from memory for %g s", error, HOLD_S)
                said = True
            except Exception:
                if not said:
                    log.exception("the keys cannot be read")
                said = True
            else:
                if said:
                    log.warning("the keys can be read again")
                said = False
            self._lookups_left = MAX_LOOKUPS


def _quotas(keys: Iterable[Key], teams: Mapping[str, Team]) -> dict[tuple[bool, str], Quota]:
    of_keys = {(False, key.id): key.terms.quota for key in keys}
    return of_keys | {(True, team.id): team.quota for team in teams.values()}


def _newly_limited(before: Quota | None, now: Quota) -> bool:
    """Tell whether what was there got a day's or a month's limit, whose use nobody has counted."""
    return before is not None and (
        (before.tokens_per_day is None and now.tokens_per_day is not None)
        or (before.cost_per_month is None and now.cost_per_month is not None)
    )


def _opener(secret: Secret, key: Key) -> _Opener:
    ends = (secret.expires, key.terms.expires)
    return _Opener(secret.digest, key, min((one for one in ends if one is not None), default=inf))


def _from_environment(digest: bytes) -> Key:
    terms = Terms(ENVIRONMENT, role=Role.ADMIN)
    return Key(ENVIRONMENT, terms, 0.0, (Secret(digest, "", 0.0),))
