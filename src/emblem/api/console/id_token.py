"""ID tokens: who a provider says has signed in, believed only where every part of it fits. Pure.

Source: OpenID Connect Core 1.0, section 3.1.3.7. Signatures and times are joserfc's, of the extra
``oidc``, imported where it is used.
"""

import hmac
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from emblem.api.console.people import Person, in_order, is_name
from emblem.api.problems import Detail, Problem

if TYPE_CHECKING:
    from joserfc.jwk import KeySet

# Signed with a provider's private key. Never with a secret that both have (HS256), and never not at
# all (none): whoever knows a client's secret, or nothing, could make such tokens.
ALGORITHMS = (
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512"),
    *("EdDSA", "Ed25519"),
)
LEEWAY_S = 60  # by which two clocks may differ
MAX_GROUPS = 1000
REFUSED = "sign_in_refused"

Claims = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Asked:
    """What a token must be an answer to. ``algorithms`` are those that the provider uses."""

    issuer: str
    client_id: str
    nonce: str
    algorithms: tuple[str, ...]


class UnknownKey(Exception):
    """A token is signed with a key that is not among those given; there may be new ones."""


def refused(why: str) -> Problem:
    """Say that somebody cannot be signed in, and why."""
    return Problem(403, Detail(f"You are not signed in: {why}.", code=REFUSED))


def key_set(keys: Iterable[object]) -> "KeySet":
    """Give the keys of a provider, without those that are not understood or sign nothing."""
    from joserfc.errors import JoseError
    from joserfc.jwk import JWKRegistry, KeySet

    found = []
    for one in keys:
        if not isinstance(one, dict) or one.get("kty") not in ("RSA", "EC", "OKP"):
            continue
        if one.get("use", "sig") == "sig":
            with suppress(JoseError, ValueError, TypeError, KeyError):
                found.append(JWKRegistry.import_key(one))
    return KeySet(found)


def read_id_token(token: str, keys: "KeySet", asked: Asked, now: float) -> Claims:
    """Give what a token says. Raises Problem, or UnknownKey where its key is not among ``keys``."""
    from joserfc import jwt
    from joserfc.errors import ClaimError, InvalidKeyIdError, JoseError

    try:
        claims = jwt.decode(token, keys, algorithms=asked.algorithms).claims
    except InvalidKeyIdError:
        raise UnknownKey from None
    except (JoseError, ValueError, TypeError, KeyError):
        raise refused("the provider's ID token is not signed as it should be") from None
    registry = jwt.JWTClaimsRegistry(
        now=int(now),
        leeway=LEEWAY_S,
        iss={"essential": True, "value": asked.issuer},
        aud={"essential": True, "value": asked.client_id},
        sub={"essential": True},
        exp={"essential": True},
        iat={"essential": True},
    )
    try:
        registry.validate(claims)
    except ClaimError as error:
        raise refused(f"the provider's ID token is refused ({error.error})") from None
    _check_party(claims, asked)
    given = claims.get("nonce")
    if not isinstance(given, str) or not hmac.compare_digest(given.encode(), asked.nonce.encode()):
        raise refused("the provider's ID token is the answer to another attempt")
    return claims


def _check_party(claims: Claims, asked: Asked) -> None:
    """Refuse a token of several audiences, or one that was made for another party."""
    audience = claims["aud"]
    several = isinstance(audience, list) and len(audience) > 1
    if claims.get("azp", None if several else asked.client_id) != asked.client_id:
        raise refused("the provider's ID token was made for another client")


def person(claims: Claims, name_claim: str, groups_claim: str) -> Person:
    """Give whom claims are about. Raises Problem where they do not say it."""
    name = claims.get(name_claim)
    if not isinstance(name, str) or not is_name(name.strip()):
        raise refused(
            f"the provider does not say your name in the claim {name_claim!a}; see "
            "console_oidc_name_claim and console_oidc_scopes"
        )
    # Some say nothing of it, and some say it as a text.
    if name_claim == "email" and claims.get("email_verified") not in (None, True, "true"):
        raise refused("the provider has not verified your address")
    return Person(name.strip(), in_order(_groups(claims.get(groups_claim), groups_claim)))


def _groups(given: object, claim: str) -> Sequence[str]:
    if given is None:
        return ()
    if isinstance(given, str):
        return (given,)
    if not isinstance(given, list) or not all(isinstance(one, str) for one in given):
        raise refused(f"the provider's claim {claim!a} is no list of groups")
    if len(given) > MAX_GROUPS:
        raise refused(f"the provider's claim {claim!a} has more than {MAX_GROUPS} groups")
    return given
