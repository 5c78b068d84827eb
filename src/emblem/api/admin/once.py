"""``Idempotency-Key``: a request that is to be done once, however often it comes."""

import hashlib

import msgspec

from emblem.accounts import Once
from emblem.api.admin.desk import Asked, conflict
from emblem.api.problems import Problem, invalid

HEADER = "idempotency-key"
REPEATED = "idempotent-replayed"
MAX_LENGTH = 255


def once(asked: Asked, what: str, body: msgspec.Struct) -> Once | None:
    """Give what this request is known by, None where it has no such header. Raises Problem."""
    name = asked.header(HEADER)
    if name is None:
        return None
    if not (0 < len(name) <= MAX_LENGTH and name.isascii() and name.isprintable()):
        raise invalid(
            f"Idempotency-Key must have 1 to {MAX_LENGTH} printable ASCII characters.",
            "Idempotency-Key",
        )
    # Whose it is belongs to it: nobody meets the requests of others.
    token = "\n".join((asked.by.who, what, name))
    said = msgspec.json.encode(body, order="deterministic")
    return Once(hashlib.sha256(token.encode()).digest(), hashlib.sha256(said).digest())


def reused() -> Problem:
    """Say that something else was asked for under the same header."""
    return conflict(
        "Another body was sent with this Idempotency-Key within the last day. Send the same again, "
        "or another key.",
        "idempotency_key_reused",
        "Idempotency-Key",
    )
