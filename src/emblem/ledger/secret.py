"""What a key looks like, and what is kept of it. Pure: randomness comes in."""

import base64
import hashlib
import re
import unicodedata

from emblem.errors import InvalidRequest

PREFIX = "sk-"
ENTROPY_BYTES = 32
ID_BYTES = 8
MAX_NAME = 64

_ID = re.compile(rf"(key|team)_[0-9a-f]{{{2 * ID_BYTES}}}")


def secret(entropy: bytes) -> str:
    """Write 32 random bytes as a key: "sk-" and 43 characters that are safe in a URL or a shell."""
    return PREFIX + base64.urlsafe_b64encode(entropy).rstrip(b"=").decode()


def key_id(entropy: bytes) -> str:
    """Write 8 random bytes as the id of a key."""
    return f"key_{entropy.hex()}"


def team_id(entropy: bytes) -> str:
    """Write 8 random bytes as the id of a team."""
    return f"team_{entropy.hex()}"


def digest(given: str) -> bytes:
    """SHA-256 of a key: all that is ever stored. A key has 256 random bits, so no salt is needed.

    Anything that a client may send has a digest, lone surrogates too.
    """
    return hashlib.sha256(given.encode("utf-8", "surrogatepass")).digest()


def key_name(given: str) -> str:
    """Give a key's name in the form that is stored, or raise InvalidRequest.

    A name has 1 to 64 printable characters and does not look like an id, so that revoking "by name
    or id" is never ambiguous.
    """
    return _name(given, "key")


def team_name(given: str) -> str:
    """Give a team's name in the form that is stored, or raise InvalidRequest."""
    return _name(given, "team")


def as_stored(name: str) -> str:
    """Give a name as it would be stored: composed, without space around it. Always answers."""
    return unicodedata.normalize("NFC", name).strip()


def _name(given: str, what: str) -> str:
    name = as_stored(given)
    if not name or len(name) > MAX_NAME or not name.isprintable():
        raise InvalidRequest(
            f"a {what}'s name must have 1 to {MAX_NAME} printable characters, not {_shown(given)}",
            param="name",
        )
    if _ID.fullmatch(name):
        raise InvalidRequest(f"a {what}'s name must not look like an id: {name}", param="name")
    return name


def _shown(given: str) -> str:
    return repr(given) if len(given) <= MAX_NAME else f"{len(given)} of them"
