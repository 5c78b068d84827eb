"""Sessions of the console: a random id in a cookie, and whom it stands for.

A session of a key is that key: it ends when the key is revoked, expires or is used from where it
may not be. One of somebody whom a proxy or a provider has signed in ends when their groups open nothing. Every request with the cookie must also carry the session's token in a header, which
another site's page cannot read or set.
"""

import hmac
import secrets
import time
from collections.abc import Callable, Iterable
from hashlib import sha256
from typing import Protocol

from starlette.responses import Response

from emblem.accounts import Key
from emblem.api.console.origin import cookie, from_elsewhere, header
from emblem.api.console.people import NotWelcome, People, Person, Proxy
from emblem.api.console.shelves import MemoryShelf, Session, Shelf
from emblem.api.problems import Detail, Problem
from emblem.core.permission import allows_source

COOKIE = "emblem_session"
TOKEN_HEADER = b"x-emblem-csrf"
LIFE_S = 8 * 3600.0
IDLE_S = 3600.0
MAX_SESSIONS = 1000
MAX_EACH = 50  # of one key or person: nobody drives out all others by beginning one after another
NOTED_S = 10.0  # how exactly it is kept when a session was last used

RawHeaders = Iterable[tuple[bytes, bytes]]


class Holding(Protocol):
    """Knows which digests of secrets are those of live keys."""

    def held(self, digest: bytes) -> Key | None:
        """Give the live key that a secret with this SHA-256 opens now, or None. From memory."""
        ...


NOBODY = People(Proxy(), (), lambda _: None)  # is signed in by others


class Sessions:
    """All sessions of one server. Used on one event loop.

    ``now`` gives monotonic seconds, the same in all processes that share a shelf.
    """

    def __init__(
        self,
        keys: Holding,
        people: People = NOBODY,
        now: Callable[[], float] = time.monotonic,
        shelf: Shelf | None = None,
    ) -> None:
        self._keys = keys
        self._people = people
        self._now = now
        self._shelf = shelf or MemoryShelf()

    def begin(
        self, key: Key, digest: bytes = b"", person: Person | None = None
    ) -> tuple[str, Session]:
        """Open a session; give its cookie, and it."""
        now = self._now()
        self._forget_old(now, key)
        value = secrets.token_urlsafe(32)
        made = Session(secrets.token_urlsafe(32), now, now, key, digest, person)
        self._shelf.put(_name(value), made)
        return value, made

    def end(self, headers: RawHeaders) -> None:
        """Close the session of a request, if it has one."""
        value = cookie(headers, COOKIE)
        if value is not None:
            self._shelf.drop(_name(value))

    def find(self, headers: RawHeaders, address: str, peer: str) -> Session | None:
        """Give the session of a request's cookie while it holds. Its token is not looked at.

        ``peer`` is who connected, which may be a proxy.
        """
        given = list(headers)
        value = cookie(given, COOKIE)
        found = None if value is None else self._shelf.get(_name(value))
        if value is None or found is None:
            return None
        now = self._now()
        if not self._live(found, now) or not self._holds(found, given, address, peer):
            self._shelf.drop(_name(value))
            return None
        if now - found.used >= NOTED_S:
            found.used = now
            self._shelf.put(_name(value), found)
        return found

    def key(self, headers: RawHeaders, address: str, peer: str) -> Key | None:
        """Give whom a request's session stands for; None where it has no session.

        Raises Problem where the session's token is missing, or another site has sent it.
        """
        given = list(headers)
        found = self.find(given, address, peer)
        if found is None:
            return None
        check_token(found, given)
        return found.key

    def opened_with(self, headers: RawHeaders, address: str, peer: str) -> bytes:
        """Give the SHA-256 of the secret that opened a request's session; b"" where none did."""
        found = self.find(headers, address, peer)
        return b"" if found is None else found.digest

    def _holds(self, one: Session, headers: RawHeaders, address: str, peer: str) -> bool:
        if one.digest:
            key = self._keys.held(one.digest)
            if key is None or not allows_source(key.terms.sources, address):
                return False
            one.key = key  # as it is now: its role may be another
            return True
        return one.person is not None and self._still(one, one.person, headers, peer)

    def _still(self, one: Session, person: Person, headers: RawHeaders, peer: str) -> bool:
        if person.by_proxy and self._people.proxy.person(headers, peer) != person:
            return False
        try:
            now = self._people.key(person)  # groups may open less than they did, or a team be gone
        except NotWelcome:
            return False
        if now != one.key:
            one.key = now
        return True

    @staticmethod
    def _live(one: Session, now: float) -> bool:
        return now - one.opened < LIFE_S and now - one.used < IDLE_S

    def _forget_old(self, now: float, key: Key) -> None:
        """Forget what has ended, and the oldest where there are too many, of this key or in all."""
        left = []
        for name, one in self._shelf.every():
            if self._live(one, now):
                left.append((one.opened, name, one.key.id))
            else:
                self._shelf.drop(name)
        left.sort()
        own = [one for one in left if one[2] == key.id]
        for _, name, _ in (*own[: -MAX_EACH + 1], *left[: max(0, len(left) - MAX_SESSIONS + 1)]):
            self._shelf.drop(name)


def set_session(response: Response, value: str, *, secure: bool) -> None:
    """Give a browser its session's cookie. Without an age it ends with the browser; here it ends sooner."""
    response.set_cookie(COOKIE, value, path="/", secure=secure, httponly=True, samesite="strict")


def check_token(session: Session, headers: RawHeaders) -> None:
    """Raise Problem where a request of a session is not from the console's own page."""
    given = list(headers)
    token = header(given, TOKEN_HEADER) or ""
    hosts = (header(given, b"host"), header(given, b"x-forwarded-host"))
    same = hmac.compare_digest(token.encode(), session.token.encode())
    if not same or from_elsewhere(given, hosts):
        raise cross_site()


def cross_site() -> Problem:
    """Say that another site's page may not do this."""
    message = (
        "This request did not come from the console's own page, and nothing was done. "
        "Load the page again."
    )
    return Problem(403, Detail(message, code="cross_site_request"))


def _name(value: str) -> str:
    """Give what a session is kept under: who reads that finds no cookie in it."""
    return sha256(value.encode("latin-1", "replace")).hexdigest()
