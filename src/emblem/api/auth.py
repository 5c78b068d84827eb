"""Who is asking: a key in the Authorization header, or nobody."""

from collections.abc import Iterable
from typing import Protocol

from emblem.errors import NotAuthenticated
from emblem.ports import Key


class Keys(Protocol):
    """Knows which secrets are live keys. Answers from memory."""

    def check(self, secret: str) -> Key | None:
        """Give the key that a secret opens, or None."""
        ...


ANONYMOUS = "anonymous"


class Authenticator:
    """Turns headers into the id of a key. With ``keys`` None everybody is ANONYMOUS."""

    def __init__(self, keys: Keys | None) -> None:
        self._keys = keys

    def principal(self, headers: Iterable[tuple[bytes, bytes]]) -> str:
        """Give the id of the key. Raises NotAuthenticated."""
        if self._keys is None:
            return ANONYMOUS
        given = next((value for name, value in headers if name == b"authorization"), b"")
        scheme, _, secret = given.decode("latin-1").strip().partition(" ")
        secret = secret.strip()
        if scheme.lower() != "bearer" or not secret:
            raise NotAuthenticated(None)
        if (key := self._keys.check(secret)) is None:
            raise NotAuthenticated(secret)
        return key.id
