"""The console's addresses: its page and files, and signing in and out."""

from typing import TYPE_CHECKING, Annotated, Protocol

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from emblem import __version__
from emblem.accounts import Key, Role, Team
from emblem.api.body import BodyReader
from emblem.api.console.files import asset, page, plotly_version, routed, secured
from emblem.api.console.origin import from_elsewhere, header
from emblem.api.console.people import NotWelcome, People
from emblem.api.console.sessions import (
    COOKIE,
    NOBODY,
    Holding,
    Sessions,
    check_token,
    cross_site,
    set_session,
)
from emblem.api.console.shelves import Session
from emblem.api.problems import Detail, Problem, permission_denied, unparsed, unsupported
from emblem.core.permission import allows_source
from emblem.errors import NotAuthenticated, SourceRefused
from emblem.ledger.secret import digest

if TYPE_CHECKING:  # it asks over HTTP, and what it needs for that takes a while to import
    from emblem.api.console.signing_in import SigningIn

MAX_BODY_BYTES = 4096
BODY_TIMEOUT_S = 10.0


class Ring(Holding, Protocol):
    """Knows keys by their secrets, and teams by their names."""

    def check(self, secret: str) -> Key | None:
        """Give the key that a secret opens, or None. Answers from memory."""
        ...

    async def look_up(self, secret: str) -> Key | None:
        """Give the key that a secret opens which ``check`` did not know, or None."""
        ...

    def team_called(self, name: str) -> Team | None:
        """Give the team of an id or a name, from memory."""
        ...


class SignIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A key to sign in with."""

    key: Annotated[str, msgspec.Meta(max_length=512)]


class Ways(msgspec.Struct, frozen=True):
    """How one may sign in here. ``oidc`` is where one begins to, through whoever ``provider`` is."""

    key: bool
    proxy: bool
    oidc: str = ""
    provider: str = ""


class SessionItem(msgspec.Struct, frozen=True, kw_only=True):
    """Who is signed in. ``csrf`` goes into the header x-emblem-csrf of every request.

    ``problem`` says why somebody whom a proxy names is not let in.
    """

    object: str = "console.session"
    signed_in: bool
    name: str = ""
    key: str = ""
    role: Role | None = None
    may_leave: bool = False
    csrf: str = ""
    problem: str | None = None
    ways: Ways
    version: str = __version__
    plotly: str


class Door:
    """Answers who is signed in, and lets people in and out. Used on one event loop.

    With ``ring`` None nobody is asked for a key, and everybody is in.
    """

    def __init__(
        self,
        ring: Ring | None,
        sessions: Sessions | None,
        people: People = NOBODY,
        signing_in: "SigningIn | None" = None,
    ) -> None:
        self._ring = ring
        self.sessions = self._sessions = sessions
        self._people = people
        self._signing_in = signing_in
        self._bodies = BodyReader(MAX_BODY_BYTES, BODY_TIMEOUT_S, 64 * MAX_BODY_BYTES)

    def routes(self) -> list[Route]:
        """Give the routes."""
        return [
            routed("/console", page),
            routed("/console/assets/{file:path}", asset),
            routed("/console/session", self.seen),
            routed("/console/session", self.enter, "POST"),
            routed("/console/session", self.leave, "DELETE"),
            *(self._signing_in.routes() if self._signing_in else ()),
        ]

    async def seen(self, request: Request) -> Response:
        """Say who is signed in. Whoever a trusted proxy names is signed in by asking."""
        if self._ring is None or self._sessions is None:
            return self._answer(_everybody(self._ways()))
        headers = request.scope["headers"]
        found = self._sessions.find(headers, _address(request), _peer(request))
        if found is not None:
            return self._answer(self._item(found))
        return self._by_proxy(request, self._sessions)

    async def enter(self, request: Request) -> Response:
        """Sign in with a key of the role admin."""
        headers, address = request.scope["headers"], _address(request)
        self._refuse_elsewhere(request)
        if not header(headers, b"content-type"):
            raise unsupported("Content-Type", "", "application/json")
        async with self._bodies.read(headers, request.receive) as content:
            given = _read(content)
        if self._ring is None or self._sessions is None:
            return self._answer(_everybody(self._ways()))
        key = self._ring.check(given) or await self._ring.look_up(given)
        if key is None:
            raise NotAuthenticated(given)
        if not allows_source(key.terms.sources, address):
            raise SourceRefused(address)
        if key.terms.role is not Role.ADMIN:
            raise permission_denied(Role.ADMIN)
        self._sessions.end(headers)
        cookie, made = self._sessions.begin(key, digest(given))
        return self._with_cookie(request, cookie, self._item(made))

    async def leave(self, request: Request) -> Response:
        """Sign out. Whoever is not signed in is told so, too."""
        headers = request.scope["headers"]
        self._refuse_elsewhere(request)
        if self._sessions is not None:
            found = self._sessions.find(headers, _address(request), _peer(request))
            if found is not None:
                check_token(found, headers)
            self._sessions.end(headers)
        answer = self._answer(self._nobody())
        answer.delete_cookie(
            COOKIE, path="/", secure=self._secure(request), httponly=True, samesite="strict"
        )
        return answer

    def _by_proxy(self, request: Request, sessions: Sessions) -> Response:
        person = self._people.proxy.person(request.scope["headers"], _peer(request))
        if person is None:
            return self._answer(self._nobody())
        try:
            key = self._people.key(person)
        except NotWelcome as error:
            return self._answer(self._nobody(str(error)))
        cookie, made = sessions.begin(key, person=person)
        return self._with_cookie(request, cookie, self._item(made))

    def _refuse_elsewhere(self, request: Request) -> None:
        headers = request.scope["headers"]
        hosts = (header(headers, b"host"), header(headers, b"x-forwarded-host"))
        if from_elsewhere(headers, hosts):
            raise cross_site()

    def _secure(self, request: Request) -> bool:
        if request.scope.get("scheme") == "https":
            return True
        said = header(request.scope["headers"], b"x-forwarded-proto") or ""
        return self._people.proxy.trusts(_peer(request)) and said.strip().lower() == "https"

    def _ways(self) -> Ways:
        other = self._signing_in
        return Ways(
            key=self._ring is not None,
            proxy=bool(self._people.proxy.header),
            oidc=other.start_url if other else "",
            provider=other.host if other else "",
        )

    def _item(self, session: Session) -> SessionItem:
        key = session.key
        return SessionItem(
            signed_in=True,
            name=key.terms.name,
            key=key.id,
            role=key.terms.role,
            # Whoever a proxy names is signed in again by asking.
            may_leave=session.person is None or not session.person.by_proxy,
            csrf=session.token,
            ways=self._ways(),
            plotly=plotly_version(),
        )

    def _nobody(self, problem: str | None = None) -> SessionItem:
        return SessionItem(
            signed_in=False, problem=problem, ways=self._ways(), plotly=plotly_version()
        )

    def _with_cookie(self, request: Request, value: str, item: SessionItem) -> Response:
        answer = self._answer(item)
        set_session(answer, value, secure=self._secure(request))
        return answer

    @staticmethod
    def _answer(item: SessionItem) -> Response:
        return secured(Response(msgspec.json.encode(item), media_type="application/json"))


def _everybody(ways: Ways) -> SessionItem:
    return SessionItem(
        signed_in=True,
        name="no keys are asked for",
        role=Role.ADMIN,
        ways=ways,
        plotly=plotly_version(),
    )


def _address(request: Request) -> str:
    return (request.scope.get("client") or ("",))[0]


def _peer(request: Request) -> str:
    """Give who connected: the edge's outside has put the address that a proxy names before it."""
    peer: str = request.scope.get("emblem.peer") or _address(request)
    return peer


def _read(content: bytes) -> str:
    try:
        return msgspec.json.decode(content, type=SignIn).key
    except msgspec.ValidationError:
        raise Problem(400, Detail('The body must be {"key": "…"}.', param="key")) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        # Its own words might quote what was sent, and that may be a key.
        raise unparsed(ValueError("it is not JSON"), b"{}") from None
