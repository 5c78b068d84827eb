"""Who is asking: a key in the Authorization header, or nobody; and from where."""

from collections.abc import Iterable
from typing import Protocol

from emblem.accounts import Caller, Key, Role, Team, Terms
from emblem.core.permission import allows_source
from emblem.errors import NotAuthenticated, SourceRefused


class Keys(Protocol):
    """Knows which secrets are live keys."""

    def check(self, secret: str) -> Key | None:
        """Give the key that a secret opens, or None. Answers from memory."""
        ...

    async def look_up(self, secret: str) -> Key | None:
        """Give the key that a secret opens which ``check`` did not know, or None."""
        ...

    def team(self, key: Key) -> Team | None:
        """Give the team that a key belongs to, from memory."""
        ...


class Sessions(Protocol):
    """Knows for whom sessions in browsers stand."""

    def key(self, headers: Iterable[tuple[bytes, bytes]], address: str, peer: str) -> Key | None:
        """Give whom a request's session stands for; None where it has no session.

        ``peer`` is who connected, which may be a proxy.

        Raises Problem where another site's page may have sent it.
        """
        ...


ANONYMOUS = "anonymous"
EVERYBODY = Caller(Key(ANONYMOUS, Terms(ANONYMOUS, role=Role.ADMIN), 0.0))

MAX_KNOWN = 10_000

# What each role opens besides: the first address that fits, itself and all below it.
_DOORS = (("/admin", Role.ADMIN), ("/ps", Role.READ), ("/metrics", Role.READ))
_RANKS = (Role.INFERENCE, Role.READ, Role.ADMIN)


def role_wanted(path: str, role: Role) -> Role | None:
    """Give the role that a path needs, where this one does not open it."""
    for door, needed in _DOORS:
        if path == door or path.startswith(f"{door}/"):
            return None if _RANKS.index(role) >= _RANKS.index(needed) else needed
    return None


class Authenticator:
    """Turns headers into a caller. With ``keys`` None everybody is EVERYBODY."""

    def __init__(self, keys: Keys | None, sessions: Sessions | None = None) -> None:
        self._keys = keys
        self._sessions = sessions
        self._known: dict[str, Caller] = {}  # by the keys' ids, so that each is worked out once

    async def caller(
        self, headers: Iterable[tuple[bytes, bytes]], address: str, peer: str = ""
    ) -> Caller:
        """Say who asks from an address. Without a key in its header a session may say so.

        Raises NotAuthenticated, SourceRefused, LedgerUnavailable, and what sessions raise.
        """
        if self._keys is None:
            return EVERYBODY
        given = next((value for name, value in headers if name == b"authorization"), b"")
        scheme, _, secret = given.decode("latin-1").strip().partition(" ")
        secret = secret.strip()
        if not given and self._sessions is not None:
            person = self._sessions.key(headers, address, peer)
            if person is not None:
                return self._caller(person, self._keys.team(person))
        if scheme.lower() != "bearer" or not secret:
            raise NotAuthenticated(None)
        key = self._keys.check(secret) or await self._keys.look_up(secret)
        if key is None:
            raise NotAuthenticated(secret)
        if not allows_source(key.terms.sources, address):
            raise SourceRefused(address)
        return self._caller(key, self._keys.team(key))

    def _caller(self, key: Key, team: Team | None) -> Caller:
        known = self._known.get(key.id)
        if known is not None and known.key is key and known.team is team:
            return known
        if len(self._known) >= MAX_KNOWN:  # keys come and go
            self._known.clear()
        caller = self._known[key.id] = Caller(key, team)
        return caller
