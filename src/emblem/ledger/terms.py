"""What a key may be given: terms as people write them, checked and in one form. Pure."""

import re
from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import ip_network

from emblem.accounts import Quota, Role, Terms
from emblem.core.limits import MAX_PER_MINUTE, MAX_PER_WINDOW
from emblem.errors import InvalidRequest
from emblem.ledger.secret import as_stored, key_name
from emblem.types import Lane

MAX_OWNER = 128
MAX_GLOB = 200
MAX_LISTED = 100  # globs, or networks, of one key
BILLION = 10**9

_SPAN = re.compile(r"([0-9]{1,6})([mhdw])")
_MONEY = re.compile(r"([0-9]{1,15})(?:\.([0-9]{1,9}))?")
_SECONDS = {"m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_AT_MOST = {
    "requests_per_minute": MAX_PER_MINUTE,
    "tokens_per_minute": MAX_PER_MINUTE,
    "tokens_per_day": MAX_PER_WINDOW,
    "cost_per_month": MAX_PER_WINDOW,
}


def checked(terms: Terms, now: float | None = None) -> Terms:
    """Give terms in the form that is stored, or raise InvalidRequest naming what is wrong.

    With ``now`` a key that would have expired already is refused, too.
    """
    if now is not None and terms.expires is not None and terms.expires <= now:
        raise InvalidRequest("a key cannot expire before it is made", param="expires")
    return replace(
        terms,
        name=key_name(terms.name),
        owner=_owner(terms.owner),
        models=globs(terms.models),
        sources=networks(terms.sources),
        quota=limited(terms.quota),
    )


def globs(given: tuple[str, ...]) -> tuple[str, ...]:
    """Check globs of models' names."""
    for one in given:
        if not one or len(one) > MAX_GLOB or not one.isprintable() or " " in one:
            raise InvalidRequest(
                f"a glob of models must have 1 to {MAX_GLOB} printable characters without spaces, "
                f"such as bge-*, not {one[:MAX_GLOB]!r}",
                param="models",
            )
    return _distinct(given, "models")


def networks(given: tuple[str, ...]) -> tuple[str, ...]:
    """Check networks, and give each in its one form: an address is a network of its own."""
    return _distinct(tuple(map(_network, given)), "sources")


def limited(quota: Quota) -> Quota:
    """Check limits: whole numbers from 1 up, within what can be counted exactly."""
    for name, most in _AT_MOST.items():
        value = getattr(quota, name)
        if value is not None and not (type(value) is int and 1 <= value <= most):
            raise InvalidRequest(
                f"{name} must be a whole number from 1 to {most}, not {value!r}", param=name
            )
    return quota


def role(text: str) -> Role:
    """Read a role."""
    try:
        return Role(text)
    except ValueError:
        expected = ", ".join(Role)
        raise InvalidRequest(f"a role is one of {expected}, not {text!r}", param="role") from None


def lane(text: str) -> Lane | None:
    """Read a default priority; "auto" is none."""
    if text == "auto":
        return None
    try:
        return Lane(text)
    except ValueError:
        raise InvalidRequest(
            f"a priority is one of {', '.join(Lane)}, auto, not {text!r}", param="priority"
        ) from None


def moment(text: str, now: float) -> float | None:
    """Read when something ends, in seconds since the epoch; "never" is None.

    A span such as 30d, 12h, 45m or 2w counts from ``now``; a date is its first moment in UTC, and
    a time without a zone is in UTC.
    """
    if text == "never":
        return None
    if text[:1].isdigit() and _SPAN.fullmatch(text):
        return now + span(text)
    try:
        read = datetime.fromisoformat(text)
        return (read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise InvalidRequest(
            f"an end is a span such as 30d or 12h, a date such as 2030-12-31, or never, not {text!r}",
            param="expires",
        ) from None


def span(text: str) -> float:
    """Read a span such as 30d, 12h, 45m or 2w, in seconds; "0" is none at all."""
    found = _SPAN.fullmatch(text)
    if found is None and text != "0":
        raise InvalidRequest(f"a span is a number and m, h, d or w, such as 30d, not {text!r}")
    return 0.0 if found is None else float(int(found[1]) * _SECONDS[found[2]])


def billionths(text: str) -> int:
    """Read an amount of money, such as 12.50, in billionths."""
    found = _MONEY.fullmatch(text)
    if found is None:
        raise InvalidRequest(
            f"an amount of money is a number such as 12.50, with at most 9 decimals, not {text!r}",
            param="cost_per_month",
        )
    return int(found[1]) * BILLION + int((found[2] or "").ljust(9, "0"))


def _owner(given: str) -> str:
    owner = as_stored(given)
    if len(owner) > MAX_OWNER or not owner.isprintable():
        raise InvalidRequest(
            f"an owner must have at most {MAX_OWNER} printable characters", param="owner"
        )
    return owner


def _network(given: str) -> str:
    # A zone may be any text, and means something on one machine only: no network has one.
    plain = "" if "%" in given else given.strip()
    try:
        return str(ip_network(plain))
    except ValueError as error:
        hint = ""
        if "host bits" in str(error):
            hint = f"; did you mean {ip_network(plain, strict=False)}?"
        raise InvalidRequest(
            f"a source must be a network such as 10.0.0.0/8 or an address, not {given[:100]!r}{hint}",
            param="sources",
        ) from None


def _distinct(given: tuple[str, ...], param: str) -> tuple[str, ...]:
    if len(given) > MAX_LISTED:
        raise InvalidRequest(f"{param} may list at most {MAX_LISTED}", param=param)
    return tuple(dict.fromkeys(given))
