"""Who is asking: a key in the Authorization header, or nobody; and from where."""

from collections.abc import Iterable
from typing import Protocol

from emblem.accounts import Key, Terms
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


ANONYMOUS = "anonymous"
EVERYBODY = Key(ANONYMOUS, Terms(ANONYMOUS), 0.0)


class Authenticator:
    """Turns headers into a key. With ``keys`` None everybody is EVERYBODY."""

    def __init__(self, keys: Keys | None) -> None:
        self._keys = keys

    async def principal(self, headers: Iterable[tuple[bytes, bytes]], address: str) -> Key:
        """Give the key of whoever asks from an address.

        Raises NotAuthenticated, SourceRefused, and LedgerUnavailable.
        """
        if self._keys is None:
            return EVERYBODY
        given = next((value for name, value in headers if name == b"authorization"), b"")
        scheme, _, secret = given.decode("latin-1").strip().partition(" ")
        secret = secret.strip()
        if scheme.lower() != "bearer" or not secret:
            raise NotAuthenticated(None)
        key = self._keys.check(secret) or await self._keys.look_up(secret)
        if key is None:
            raise NotAuthenticated(secret)
        if not allows_source(key.terms.sources, address):
            raise SourceRefused(address)
        return key
