"""Who is asking: a key in the Authorization header, or nobody; and from where."""

from collections.abc import Iterable
from typing import Protocol

from emblem.accounts import Caller, Key, Role, Team, Terms
from emblem.core.permission import allows_source
from emblem.errors import NotAuthenticated, SourceRefused
from emblem.ledger.secret import digest


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

    def key(self, headers: Iterable[tuple[bytes, bytes]], address: str, peer: str) -> Key | None:
        """Give whom a request's session stands for; None where it has no session.

        ``peer`` is who connected, which may be a proxy.

        Raises Problem where another site's page may have sent it.
        """
        ...

    def opened_with(self, headers: Iterable[tuple[bytes, bytes]], address: str, peer: str) -> bytes:
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
        found = self._known_now(headers, address, peer)
        if found is None and self._keys is not None:
            secret = _secret(headers) or ""
            key = await self._keys.look_up(secret)
            if key is None:
                raise NotAuthenticated(secret)
            found = self._let_in(self._keys, key, address)
        return found or EVERYBODY

    def still(self, headers: Iterable[tuple[bytes, bytes]], address: str, peer: str = "") -> None:
        """Raise what ``caller`` would raise now, where it did not before. Answers from memory."""
        if self._known_now(headers, address, peer) is None:
            raise NotAuthenticated(_secret(headers))

    def opened_with(
        self, headers: Iterable[tuple[bytes, bytes]], address: str, peer: str = ""
    ) -> bytes:
        """Give the SHA-256 of the secret that a request came with, or that opened its session."""
        secret = _secret(headers)
        if secret is None and self._sessions is not None:
            return self._sessions.opened_with(headers, address, peer)
        return digest(secret) if secret else b""

    def _known_now(
        self, headers: Iterable[tuple[bytes, bytes]], address: str, peer: str
    ) -> Caller | None:
        """Say who asks, from memory; None for a secret that is not known."""
        if self._keys is None:
            return EVERYBODY
        secret = _secret(headers)
        if secret is None and self._sessions is not None:
            person = self._sessions.key(headers, address, peer)
            if person is not None:
                self._keys.used(person)
                return self._caller(person, self._keys.team(person))
        if not secret:
            raise NotAuthenticated(None)
        key = self._keys.check(secret)
        return None if key is None else self._let_in(self._keys, key, address)

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


def _secret(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """Give the secret of a header; None where there is no such header, "" where it has none."""
    given = next((value for name, value in headers if name == b"authorization"), b"")
    if not given:
        return None
    scheme, _, secret = given.decode("latin-1").strip().partition(" ")
    return secret.strip() if scheme.lower() == "bearer" else ""
