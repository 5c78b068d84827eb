"""Signing in through OpenID Connect: to the provider and back (authorization code flow with PKCE).

Source: OpenID Connect Core 1.0, section 3.1; RFC 7636; RFC 9207.
"""

import hmac
import logging
import re
import secrets
import time
from collections.abc import Callable
from html import escape
from urllib.parse import urlencode, urlsplit

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from emblem.api.console import attempts
from emblem.api.console.attempts import Attempt
from emblem.api.console.files import routed, secured
from emblem.api.console.id_token import REFUSED, Asked, person, read_id_token, refused
from emblem.api.console.origin import cookie
from emblem.api.console.people import NotWelcome, People, Person
from emblem.api.console.provider import Description, Provider
from emblem.api.console.sessions import Sessions, set_session
from emblem.api.problems import Detail, Problem, problem_of
from emblem.errors import Overloaded

log = logging.getLogger(__name__)

START, BACK = "/console/oidc/start", "/console/oidc/callback"
MAX_AT_ONCE = 16  # that the provider is asked about
MAX_PARAMETER = 8192  # characters of what a browser brings
_ERROR = re.compile(r"[a-z_]{1,64}")

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Not signed in · Emblem</title>
<link rel="icon" href="../assets/icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="../assets/app.css">
</head>
<body>
<main>
<h1>Not signed in</h1>
<p class="problem" role="alert">{message}</p>
<p><a class="button" href="../../console">Back to the console</a></p>
</main>
</body>
</html>
"""


class SigningIn:
    """Sends people to the provider, and lets them in when they come back. Used on one event loop.

    ``secret`` seals attempts, and is the same in all processes of a server. ``clock`` gives seconds
    of the epoch.
    """

    def __init__(
        self,
        provider: Provider,
        people: People,
        sessions: Sessions,
        secret: bytes,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._provider = provider
        self._own = provider.settings
        self._people = people
        self._sessions = sessions
        self._secret = secret
        self._clock = clock
        self._busy = 0
        self.start_url = self._own.url + START
        self.host = self._own.host

    def routes(self) -> list[Route]:
        """Give the routes."""
        return [routed(START, self.start), routed(BACK, self.back)]

    async def start(self, _: Request) -> Response:
        """Send a browser to the provider."""
        try:
            about = await self._provider.described()
        except Problem as problem:
            return _page(problem)
        one = attempts.attempt(lambda: secrets.token_urlsafe(32), self._clock())
        answer = secured(RedirectResponse(self._asking(about, one), 303))
        answer.set_cookie(
            attempts.COOKIE,
            attempts.sealed(one, self._secret),
            max_age=int(attempts.LIFE_S),
            path="/",
            secure=self._own.url.startswith("https:"),
            httponly=True,
            samesite="lax",  # a strict one would not come back with a browser that the provider sends
        )
        return answer

    async def back(self, request: Request) -> Response:
        """Let somebody in whom the provider sends back, or say in a page why not."""
        try:
            answer = await self._let_in(request)
        except Problem as problem:
            answer = _page(problem)
        except Overloaded as error:
            answer = _page(problem_of(error, ""))
        answer.delete_cookie(
            attempts.COOKIE, path="/", secure=self._own.url.startswith("https:"), httponly=True
        )
        return answer

    async def _let_in(self, request: Request) -> Response:
        given = {name: value[:MAX_PARAMETER] for name, value in request.query_params.items()}
        one = self._attempt(request, given.get("state", ""))
        if "error" in given:
            what = given["error"] if _ERROR.fullmatch(given["error"]) else "an error"
            raise refused(f"the provider answered with {what}")
        if self._busy >= MAX_AT_ONCE:
            raise Overloaded("Too many people sign in at once. Please try again later.", 1)
        self._busy += 1
        try:
            who = await self._who(one, given)
        finally:
            self._busy -= 1
        try:
            key = self._people.key(who)
        except NotWelcome as error:
            raise Problem(403, Detail(str(error), code=REFUSED)) from None
        value, _ = self._sessions.begin(key, person=who)
        # The page itself needs no cookie, and what it asks for is of this site: it has the session's.
        answer = secured(RedirectResponse(f"{self._own.url}/console", 303))
        set_session(answer, value, secure=self._own.url.startswith("https:"))
        return answer

    def _attempt(self, request: Request, state: str) -> Attempt:
        """Give the attempt that a browser began here and comes back from."""
        held = cookie(request.scope["headers"], attempts.COOKIE)
        one = attempts.unsealed(held, self._secret, self._clock()) if held else None
        if one is None:
            raise refused(
                "this browser has not begun to sign in here within the last "
                f"{attempts.LIFE_S / 60:.0f} minutes; begin again"
            )
        if not hmac.compare_digest(state.encode(), one.state.encode()):
            raise refused("this is the answer to another attempt; begin again")
        return one

    async def _who(self, one: Attempt, given: dict[str, str]) -> Person:
        """Ask the provider who it is that it has sent. Raises Problem."""
        about, own = await self._provider.described(), self._own
        said = given.get(
            "iss", None if about.authorization_response_iss_parameter_supported else own.issuer
        )
        if said != own.issuer:
            raise refused("this is the answer of another provider")
        if not given.get("code"):
            raise refused("the provider answered without a code")
        tokens = await self._provider.tokens(given["code"], one.verifier)
        asked = Asked(own.issuer, own.client_id, one.nonce, about.algorithms)
        claims = await self._provider.with_keys(
            lambda keys: read_id_token(tokens.id_token, keys, asked, self._clock())
        )
        if not {own.name_claim, own.groups_claim} <= claims.keys():
            # Many providers keep an ID token short and say the rest where they are asked.
            claims = {**await self._provider.about(tokens.access_token, claims["sub"]), **claims}
        return person(claims, own.name_claim, own.groups_claim)

    def _asking(self, about: Description, one: Attempt) -> str:
        """Give the address that a browser is sent to."""
        query = urlencode(
            {
                "response_type": "code",
                "client_id": self._own.client_id,
                "redirect_uri": self._own.redirect_uri,
                "scope": " ".join(self._own.scopes),
                "state": one.state,
                "nonce": one.nonce,
                "code_challenge": one.challenge,
                "code_challenge_method": "S256",
            }
        )
        place = about.authorization_endpoint
        return f"{place}{'&' if urlsplit(place).query else '?'}{query}"


def _page(problem: Problem) -> Response:
    """Say in a page what is wrong."""
    if problem.detail.code == REFUSED:
        log.warning("signing in through OpenID Connect: %s", ascii(problem.detail.message))
    answer = secured(
        HTMLResponse(PAGE.format(message=escape(problem.detail.message)), problem.status)
    )
    answer.raw_headers.extend(problem.headers)
    return answer
