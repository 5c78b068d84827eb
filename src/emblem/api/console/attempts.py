"""One attempt to sign in elsewhere: what is remembered between leaving for the provider and return.

It travels in a cookie of its own, sealed, so that nobody can fill this server's memory with attempts.
The session's cookie would not do: a browser sends it with nothing that another site begins, and the
provider's answer is that. Pure.
"""

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from hashlib import sha256

import msgspec

COOKIE = "emblem_sign_in"
LIFE_S = 600.0


class Attempt(msgspec.Struct, frozen=True, array_like=True):
    """What must come back, and what must not leave before. ``began`` is in seconds of the epoch.

    ``state`` comes back in the provider's answer, ``nonce`` in the ID token; ``verifier`` is what
    the code is asked for with (PKCE, RFC 7636).
    """

    state: str
    nonce: str
    verifier: str
    began: float

    @property
    def challenge(self) -> str:
        """What the provider is told of the verifier, by which it cannot be found: its SHA-256."""
        return _text(sha256(self.verifier.encode()).digest())


def attempt(token: Callable[[], str], now: float) -> Attempt:
    """Begin one. ``token`` gives another secret each time, of 43 characters or more."""
    return Attempt(token(), token(), token(), now)


def sealed(one: Attempt, secret: bytes) -> str:
    """Write it as a cookie that only this server can have written."""
    content = msgspec.json.encode(one)
    return f"{_text(content)}.{_text(_seal(content, secret))}"


def unsealed(cookie: str, secret: bytes, now: float) -> Attempt | None:
    """Read such a cookie; None for one that this server has not written, or not lately."""
    content, _, seal = cookie.partition(".")
    try:
        written = _bytes(content)
        if not hmac.compare_digest(_bytes(seal), _seal(written, secret)):
            return None
        found = msgspec.json.decode(written, type=Attempt)
    except ValueError:  # msgspec's errors are such, and those of base64
        return None
    return found if 0 <= now - found.began < LIFE_S else None


def _seal(content: bytes, secret: bytes) -> bytes:
    return hmac.digest(secret, b"emblem sign-in\0" + content, "sha256")


def _text(content: bytes) -> str:
    return urlsafe_b64encode(content).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    return urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
