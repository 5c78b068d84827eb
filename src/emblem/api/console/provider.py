"""The provider of OpenID Connect: what it says of itself, its keys, and what it gives for a code.

Sources: OpenID Connect Discovery 1.0 and Core 1.0, RFC 6749 section 4.1.3, RFC 7517. Its addresses
come from its own description, whose address comes from the configuration; redirects are not followed.
"""

import asyncio
import logging
import ssl
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import quote_plus, urlsplit

import httpx2
import msgspec

from emblem.api.console.id_token import ALGORITHMS, UnknownKey, key_set, refused
from emblem.api.problems import Detail, Problem
from emblem.config import Oidc

if TYPE_CHECKING:
    from joserfc.jwk import KeySet

log = logging.getLogger(__name__)

TIMEOUT_S = 10.0  # for one question
MAX_BYTES = 1 << 20  # of one answer
FRESH_S = 3600.0  # after which its description and keys are asked for again
AGAIN_S = 10.0  # between two questions for keys that may be new

T = TypeVar("T")
_BASIC, _POST = "client_secret_basic", "client_secret_post"


class Description(msgspec.Struct, frozen=True):
    """What a provider says of itself, as far as it is of use here."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str = ""
    token_endpoint_auth_methods_supported: tuple[str, ...] = (_BASIC,)
    id_token_signing_alg_values_supported: tuple[str, ...] = ("RS256",)
    authorization_response_iss_parameter_supported: bool = False

    @property
    def algorithms(self) -> tuple[str, ...]:
        """Those of its ways of signing that are believed."""
        offered = self.id_token_signing_alg_values_supported
        return tuple(one for one in ALGORITHMS if one in offered)


class Tokens(msgspec.Struct, frozen=True):
    """What a provider gives for a code. Both are secrets."""

    id_token: str
    access_token: str = ""


class _Keys(msgspec.Struct, frozen=True):
    keys: list[object]


def failed(what: str) -> Problem:
    """Say, to whoever signs in and to the log, that the provider does not do its part."""
    log.warning("signing in through OpenID Connect: the provider %s", what)
    return Problem(
        502, Detail(f"You are not signed in: the provider {what}.", code="sign_in_failed")
    )


class Provider:
    """Asks one provider. Used on one event loop; holds no connections.

    ``transport`` answers in place of the network; ``now`` gives monotonic seconds.
    """

    def __init__(
        self,
        settings: Oidc,
        transport: httpx2.AsyncBaseTransport | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.settings = settings
        self._transport = transport
        self._now = now
        self._asking = asyncio.Lock()
        self._tls: ssl.SSLContext | None = None
        self._described: tuple[float, Description] | None = None
        self._keys: tuple[float, KeySet] | None = None

    async def described(self) -> Description:
        """Give what it says of itself. Raises Problem."""
        async with self._asking:
            if self._described is None or self._now() - self._described[0] >= FRESH_S:
                place = self.settings.issuer.rstrip("/") + "/.well-known/openid-configuration"
                found = await self._read("GET", place, Description)
                self._check(found)
                self._described = self._now(), found
            return self._described[1]

    async def keys(self, *, unknown: bool = False) -> "KeySet":
        """Give its keys; with ``unknown`` a token names one that is none of them. Raises Problem."""
        place = (await self.described()).jwks_uri
        async with self._asking:
            age = self._now() - self._keys[0] if self._keys else FRESH_S
            if self._keys is None or age >= (AGAIN_S if unknown else FRESH_S):
                found = await self._read("GET", place, _Keys)
                self._keys = self._now(), key_set(found.keys)
            return self._keys[1]

    async def with_keys(self, read: "Callable[[KeySet], T]") -> T:
        """Read a token with its keys, and with newer ones where those do not know it.

        Raises Problem, and what ``read`` raises.
        """
        for unknown in (False, True):
            try:
                return read(await self.keys(unknown=unknown))
            except UnknownKey:
                continue
        raise refused("the provider's ID token is signed with a key that it does not publish")

    async def tokens(self, code: str, verifier: str) -> Tokens:
        """Give what a code opens. Raises Problem."""
        about, own = await self.described(), self.settings
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": own.redirect_uri,
            "code_verifier": verifier,
        }
        headers = {}
        methods = about.token_endpoint_auth_methods_supported
        if own.client_secret and (_BASIC in methods or _POST not in methods):
            headers["authorization"] = _basic(own.client_id, own.client_secret)
        else:
            form["client_id"] = own.client_id
            if own.client_secret:
                form["client_secret"] = own.client_secret
        return await self._read("POST", about.token_endpoint, Tokens, headers, form)

    async def about(self, access_token: str, subject: object) -> Mapping[str, object]:
        """Give what it says of a person besides; nothing where it has no such address.

        Raises Problem, also where that is about somebody else.
        """
        place = (await self.described()).userinfo_endpoint
        if not place or not access_token:
            return {}
        headers = {"authorization": f"Bearer {access_token}"}
        found = await self._read("GET", place, dict[str, object], headers)
        if found.get("sub") != subject:
            raise failed("answers about somebody else than was asked about")
        return found

    def _check(self, found: Description) -> None:
        if found.issuer != self.settings.issuer:
            raise failed(
                f"calls itself {found.issuer[:200]!a}; console_oidc_issuer must be that, to the letter"
            )
        plain = self.settings.issuer.startswith("http:")  # on this machine, as the settings see to
        places = (found.authorization_endpoint, found.token_endpoint, found.jwks_uri)
        for one in (*places, *filter(None, [found.userinfo_endpoint])):
            if urlsplit(one).scheme not in (("https", "http") if plain else ("https",)):
                raise failed(f"has the address {one[:200]!a}, which is not https")
        if not found.algorithms:
            raise failed(f"signs ID tokens in none of these ways: {', '.join(ALGORITHMS)}")

    async def _read(
        self,
        method: str,
        place: str,
        kind: type[T],
        headers: Mapping[str, str] | None = None,
        form: Mapping[str, str] | None = None,
    ) -> T:
        what = urlsplit(place).path
        try:
            async with asyncio.timeout(TIMEOUT_S):
                status, content = await self._ask(method, place, headers or {}, form)
        except TimeoutError:
            raise failed(f"did not answer within {TIMEOUT_S:g} s at {what!a}") from None
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise failed(f"cannot be reached at {what!a} ({type(error).__name__})") from None
        if status != httpx2.codes.OK:
            raise failed(f"answered with {status} at {what!a}")
        try:
            return msgspec.json.decode(content, type=kind)
        except (ValueError, RecursionError):
            raise failed(f"answered at {what!a} with what is not understood") from None

    async def _ask(
        self, method: str, place: str, headers: Mapping[str, str], form: Mapping[str, str] | None
    ) -> tuple[int, bytes]:
        client = httpx2.AsyncClient(
            transport=self._transport,
            verify=await self._verifying(place),
            trust_env=not self.settings.issuer.startswith("http:"),
            timeout=TIMEOUT_S,
            follow_redirects=False,
        )
        own = {"accept": "application/json", **headers}
        content = bytearray()
        async with client, client.stream(method, place, headers=own, data=form) as answer:
            async for part in answer.aiter_bytes():
                content += part
                if len(content) > MAX_BYTES:
                    raise failed(f"answered with more than {MAX_BYTES:,} bytes")
            return answer.status_code, bytes(content)

    async def _verifying(self, place: str) -> ssl.SSLContext | bool:
        """Give what certificates are verified with. To read it takes a while, in a thread, once."""
        if place.startswith("http:") or self._transport is not None:
            return False
        if self._tls is None:
            self._tls = await asyncio.to_thread(httpx2.create_ssl_context)
        return self._tls


def _basic(name: str, secret: str) -> str:
    """Give a client's name and secret as a header: RFC 6749 has both encoded as in a form first."""
    auth = httpx2.BasicAuth(quote_plus(name), quote_plus(secret))
    request = next(auth.sync_auth_flow(httpx2.Request("POST", "https://provider.invalid")))
    return request.headers["authorization"]
