"""Who is asking: a key in the Authorization header, or nobody; and from where."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol

from emblem.accounts import Caller, Key, Role, Team, Terms
from emblem.core.permission import allows_source
from emblem.errors import NotAuthenticated, SourceRefused
from emblem.ledger.secret import digest

RawHeaders = Iterable[tuple[bytes, bytes]]


class Keys(Protocol):
    """Knows which secrets are live keys."""

    def check(self, secret: str) -> Key | None:
        """Give the key that a secret opens, or None. Answers from memory."""
        ...

    async def look_up(self, secret: str) -> Key | None:
        """Give the key that a secret opens which ``check`` did not know, or None."""
        ...

    def team(self, key: Key) -> Team | None:
        """Give the team that a key belongs to, from memory. Raises LedgerUnavailable."""
        ...

    def used(self, key: Key) -> None:
        """Note that a key was used now."""
        ...


class Sessions(Protocol):
    """Knows for whom sessions in browsers stand."""

    def key(self, headers: RawHeaders, address: str, peer: str) -> Key | None:
        """Give whom a request's session stands for; None where it has no session.

        ``peer`` is who connected, which may be a proxy.

        Raises Problem where another site's page may have sent it.
        """
        ...

    def opened_with(self, headers: RawHeaders, address: str, peer: str) -> bytes:
        """Give the SHA-256 of the secret that opened a request's session; b"" where none did."""
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


@dataclass(slots=True, eq=False)  # not frozen: one is made for each request
class Visit:
    """Who makes a request, with what and from where. Without a ``secret`` it has a session."""

    caller: Caller
    secret: str | None = field(repr=False)
    headers: RawHeaders = field(repr=False)
    address: str
    peer: str


class Authenticator:
    """Turns headers into a caller. With ``keys`` None everybody is EVERYBODY."""

    def __init__(self, keys: Keys | None, sessions: Sessions | None = None) -> None:
        self._keys = keys
        self._sessions = sessions
        self._known: dict[str, Caller] = {}  # by the keys' ids, so that each is worked out once

    async def visit(self, headers: RawHeaders, address: str, peer: str = "") -> Visit:
        """Say who asks from an address. Without a key in its header a session may say so.

        Raises NotAuthenticated, SourceRefused, LedgerUnavailable, and what sessions raise.
        """
        return self.known(headers, address, peer) or await self.look_up(headers, address, peer)

    def known(self, headers: RawHeaders, address: str, peer: str) -> Visit | None:
        """Say from memory who asks, as ``visit`` does; None for a secret that is not known."""
        keys, secret = self._keys, _secret(headers)
        if keys is None:
            return Visit(EVERYBODY, secret, headers, address, peer)
        if secret is None and self._sessions is not None:
            person = self._sessions.key(headers, address, peer)
            if person is not None:
                keys.used(person)
                caller = self._caller(person, keys.team(person))
                return Visit(caller, None, headers, address, peer)
        if not secret:
            raise NotAuthenticated(None)
        key = keys.check(secret)
        if key is None:
            return None
        return Visit(self._let_in(keys, key, address), secret, headers, address, peer)

    async def look_up(self, headers: RawHeaders, address: str, peer: str) -> Visit:
        """Say who asks with a secret that was not known; as ``visit``."""
        secret = _secret(headers) or ""
        key = None if self._keys is None else await self._keys.look_up(secret)
        if self._keys is None or key is None:
            raise NotAuthenticated(secret)
        return Visit(self._let_in(self._keys, key, address), secret, headers, address, peer)

    def still(self, visit: Visit) -> None:
        """Raise what ``visit`` would raise now, where it did not before. Answers from memory."""
        keys, secret = self._keys, visit.secret
        # As long as the key is the very same, so is all that was looked at.
        if keys is None or (secret and keys.check(secret) is visit.caller.key):
            return
        if self.known(visit.headers, visit.address, visit.peer) is None:
            raise NotAuthenticated(secret)

    def opened_with(self, visit: Visit) -> bytes:
        """Give the SHA-256 of the secret that a request came with, or that opened its session."""
        if visit.secret is None and self._sessions is not None:
            return self._sessions.opened_with(visit.headers, visit.address, visit.peer)
        return digest(visit.secret) if visit.secret else b""

    def _let_in(self, keys: Keys, key: Key, address: str) -> Caller:
        if not allows_source(key.terms.sources, address):
            raise SourceRefused(address)
        keys.used(key)
        return self._caller(key, keys.team(key))

    def _caller(self, key: Key, team: Team | None) -> Caller:
        known = self._known.get(key.id)
        if known is not None and known.key is key and known.team is team:
            return known
        if len(self._known) >= MAX_KNOWN:  # keys come and go
            self._known.clear()
        caller = self._known[key.id] = Caller(key, team)
        return caller


def _secret(headers: RawHeaders) -> str | None:
    """Give the secret of a header; None where there is no such header, "" where it has none."""
    for name, value in headers:
        if name == b"authorization":
            scheme, _, secret = value.decode("latin-1").strip().partition(" ")
            # An empty header is sent by clients that have no key.
            return (secret.strip() if scheme.lower() == "bearer" else "") if value else None
    return None
