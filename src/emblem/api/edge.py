"""The outermost layer: what every request passes before it reaches a route, and every answer after.

In this order: an id, the key and its role, a place among the requests in progress, the route. The embeddings
route is reached directly and everything else through Starlette, whose routing would cost more than
a third of the requests per second.
"""

import logging
import random
import re
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from emblem.accounts import Observed
from emblem.api.auth import Authenticator, role_wanted
from emblem.api.embeddings import SUFFIX, ClientGone, Embeddings, respond
from emblem.api.problems import (
    Problem,
    internal,
    permission_denied,
    problem_of,
    unknown_url,
    wrong_method,
)
from emblem.errors import EmblemError, LimitReached, Overloaded
from emblem.ports import Observer

log = logging.getLogger(__name__)

# These need no key: probes and the description of the API itself. No model's path may match.
OPEN = re.compile(
    r"/(health|ready|openapi\.json|docs(/assets/[^/]+)?"
    r"|console(/session|/oidc/(start|callback)|/assets/(pages/)?[a-z0-9.-]+\.(js|css|svg))?)"
)

EMBEDDINGS = (SUFFIX, "/{model}" + SUFFIX)  # the routes of requests for vectors
CLIENT_LEFT = 499

_SLASHES = re.compile(r"//+")


class Edge:
    """An ASGI application around the routes. Used on one event loop.

    Routes find the caller in ``scope["state"]``: as ``principal``, its key, as ``caller``, the key
    and its team, as ``source``, the address that the request came from, and as ``secret``, the
    SHA-256 of the secret that let it in; ``still`` raises once that would let nobody in any more;
    ``seen`` is what is known of the request. One whose errors have another shape puts what gives it
    into ``scope["emblem.shape"]``. Each of ``observers`` hears of each request once it was answered.
    """

    def __init__(
        self,
        app: ASGIApp,
        embeddings: Embeddings,
        authenticator: Authenticator,
        max_requests: int,
        observers: Sequence[Observer] = (),
    ) -> None:
        if max_requests < 1:
            raise ValueError("max_requests must be at least 1")
        self._app = app
        self._embeddings = embeddings
        self._authenticator = authenticator
        self._max_requests = max_requests
        self._tell = tuple(one.observed for one in observers)
        self._in_progress = 0
        self._ids = random.Random()  # noqa: S311 - they are to be unique, not secret

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; lifespan messages go to the application inside."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        at = time.time()
        # The later ones come behind the earlier ones, as in UUIDs of version 7: a database that keeps
        # them in order then writes to the end of its index, and not to a page of it for each.
        name = f"req_{int(1000 * at) << 80 | self._ids.getrandbits(80):032x}"
        reply = _Reply(send, name)
        seen = Observed(name, scope["method"], at)
        path: str = scope["path"]
        if "//" in path or path.endswith("/"):
            scope["path"] = _SLASHES.sub("/", path).rstrip("/") or "/"
        scope["app"] = self  # so that the router raises what it cannot route
        self._in_progress += 1
        try:
            await self._answer(scope, receive, reply, seen)
        except ClientGone:
            reply.status = CLIENT_LEFT
        except Exception as error:  # noqa: BLE001 - the client must hear of it
            problem = _problem(error, scope, reply.request_id)
            seen.code = problem.detail.code or problem.detail.type
            if isinstance(error, LimitReached):
                seen.refused_by = error.limit
            await reply.problem(scope.get("emblem.shape", _unchanged)(problem))
        finally:
            self._in_progress -= 1
            self._observe(scope, reply, seen)

    def _observe(self, scope: Scope, reply: "_Reply", seen: Observed) -> None:
        """Tell all who are to hear of a request."""
        seen.status = reply.status or CLIENT_LEFT
        seen.seconds = reply.elapsed_s
        if not seen.route:
            seen.route = getattr(scope.get("route"), "path", "")
        for tell in self._tell:
            tell(seen)

    async def _answer(
        self, scope: Scope, receive: Receive, reply: "_Reply", seen: Observed
    ) -> None:
        path: str = scope["path"]
        if embeds := path.endswith(SUFFIX):
            seen.route = EMBEDDINGS[path != SUFFIX]
        elif OPEN.fullmatch(path):
            await self._app(scope, receive, reply.send)
            return
        headers, address = scope["headers"], (scope.get("client") or ("",))[0]
        peer = scope.get("emblem.peer", address)
        visit = self._authenticator.known(headers, address, peer)
        if visit is None:
            visit = await self._authenticator.look_up(headers, address, peer)
        still = partial(self._authenticator.still, visit)
        receive = _whole(receive, still)
        caller, key = visit.caller, visit.caller.key
        seen.key, seen.team = key.id, key.terms.team
        if self._in_progress > self._max_requests:
            raise Overloaded("Too many requests are in progress. Please try again later.", 1)
        if not embeds:
            if (wanted := role_wanted(path, key.terms.role)) is not None:
                raise permission_denied(wanted)
            secret = self._authenticator.opened_with(visit)
            scope["state"] = {
                "principal": key, "caller": caller, "source": address, "secret": secret,
                "seen": seen, "still": still,
            }  # fmt: skip
            await self._app(scope, receive, reply.send)
        elif scope["method"] == "POST":
            await self._embeddings(scope, receive, reply.send, caller, seen)
        else:
            raise wrong_method(scope["method"], path, "POST")


def _unchanged(problem: Problem) -> Problem:
    return problem


def _problem(error: Exception, scope: Scope, request_id: str) -> Problem:
    """Give the answer to whatever was raised."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, EmblemError):
        return _translated(error, request_id)
    if isinstance(error, HTTPException):
        return _routing_problem(error, scope)
    log.error("%s failed", request_id, exc_info=error)  # the client is to learn nothing from it
    return internal(request_id)


def _translated(error: EmblemError, request_id: str) -> Problem:
    """Translate an error, and log what the operator has to know of."""
    problem = problem_of(error, request_id)
    if problem.status == HTTPStatus.INTERNAL_SERVER_ERROR:
        log.error("%s failed", request_id, exc_info=error)
    elif problem.status == HTTPStatus.BAD_GATEWAY:
        log.error("%s failed: %s", request_id, error)
    return problem


def _routing_problem(error: HTTPException, scope: Scope) -> Problem:
    """Translate what Starlette's router raises."""
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        allowed = (error.headers or {}).get("Allow", "GET")
        return wrong_method(scope["method"], scope["path"], allowed)
    return unknown_url(scope["method"], scope["path"])


def _whole(receive: Receive, check: Callable[[], None]) -> Receive:
    """Receive a body, and once all of it is there ask again whether its key may be used.

    A body may take minutes to come, and a key may be revoked meanwhile.
    """
    whole = False

    async def received() -> Message:
        nonlocal whole
        message = await receive()
        if not whole and message["type"] == "http.request" and not message.get("more_body"):
            whole = True
            check()
        return message

    return received


class _Reply:
    """Sends an answer with the headers that every answer has."""

    def __init__(
        self, send: Send, request_id: str, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._send = send
        self._clock = clock
        self._started = clock()
        self._answered = False
        self.request_id = request_id
        self.status = 0

    @property
    def elapsed_s(self) -> float:
        """Seconds since the request came."""
        return self._clock() - self._started

    def send(self, message: Message) -> Awaitable[None]:
        if message["type"] == "http.response.start":
            self._answered = True
            self.status = message["status"]
            message["headers"] = [
                *message.get("headers", ()),
                (b"x-request-id", self.request_id.encode()),
                (b"openai-processing-ms", b"%d" % round(1000 * self.elapsed_s)),
            ]
        return self._send(message)

    async def problem(self, problem: Problem) -> None:
        if self._answered:  # too late to say anything: the client sees a broken answer
            return
        await respond(self.send, problem.status, problem.body, problem.headers)
