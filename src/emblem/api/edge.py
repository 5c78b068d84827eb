"""The outermost layer: what every request passes before it reaches a route, and every answer after.

In this order: an id, the key, a place among the requests in progress, the route. The embeddings
route is reached directly and everything else through Starlette, whose routing would cost more than
a third of the requests per second.
"""

import logging
import random
import re
import time
from collections.abc import Callable
from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from emblem.api.access import AccessLog
from emblem.api.auth import Authenticator
from emblem.api.embeddings import SUFFIX, ClientGone, Embeddings, respond
from emblem.api.problems import (
    Headers,
    Problem,
    internal,
    problem_of,
    unknown_url,
    wrong_method,
)
from emblem.errors import EmblemError, Overloaded

log = logging.getLogger(__name__)

# These need no key: probes and the description of the API itself. No model's path may match.
OPEN = re.compile(r"/(health|ready|openapi\.json|docs(/assets/[^/]+)?)")

_SLASHES = re.compile(r"//+")


class Edge:
    """An ASGI application around the routes. Used on one event loop."""

    def __init__(
        self,
        app: ASGIApp,
        embeddings: Embeddings,
        authenticator: Authenticator,
        max_requests: int,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        if max_requests < 1:
            raise ValueError("max_requests must be at least 1")
        self._app = app
        self._embeddings = embeddings
        self._authenticator = authenticator
        self._max_requests = max_requests
        self._clock = clock
        self._in_progress = 0
        self._access = AccessLog()
        self._ids = random.Random()  # noqa: S311 - they are to be unique, not secret

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; lifespan messages go to the application inside."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        reply = _Reply(send, self._clock, f"req_{self._ids.getrandbits(128):032x}")
        path: str = scope["path"]
        scope["path"] = _SLASHES.sub("/", path).rstrip("/") or "/"
        scope["app"] = self  # so that the router raises what it cannot route
        self._in_progress += 1
        try:
            await self._answer(scope, receive, reply)
        except Problem as problem:
            await reply.problem(problem)
        except EmblemError as error:
            await reply.problem(_translated(error, reply.request_id))
        except HTTPException as error:
            await reply.problem(_routing_problem(error, scope))
        except ClientGone:
            reply.status = 499
        except Exception:  # the client must hear of it, and learn nothing from it
            log.exception("%s failed", reply.request_id)
            await reply.problem(internal(reply.request_id))
        finally:
            self._in_progress -= 1
            if self._access.enabled:
                self._access.add(
                    f"{scope['method']} {_shown(scope['path'])} {reply.status} "
                    f"{reply.elapsed_ms:.1f} ms {reply.request_id}"
                )

    async def _answer(self, scope: Scope, receive: Receive, reply: "_Reply") -> None:
        path: str = scope["path"]
        if OPEN.fullmatch(path):
            await self._app(scope, receive, reply.send)
            return
        address = (scope.get("client") or ("",))[0]
        key = await self._authenticator.principal(scope["headers"], address)
        scope.setdefault("state", {}).update(principal=key, source=address)
        if self._in_progress > self._max_requests:
            raise Overloaded("Too many requests are in progress. Please try again later.", 1)
        if not path.endswith(SUFFIX):
            await self._app(scope, receive, reply.send)
        elif scope["method"] == "POST":
            await self._embeddings(scope, receive, reply.send, key.id)
        else:
            raise wrong_method(scope["method"], path, "POST")


def _translated(error: EmblemError, request_id: str) -> Problem:
    """Translate an error, and log what the operator has to know of."""
    problem = problem_of(error, request_id)
    if problem.status == HTTPStatus.INTERNAL_SERVER_ERROR:
        log.error("%s failed", request_id, exc_info=error)
    elif problem.status == HTTPStatus.BAD_GATEWAY:
        log.error("%s failed: %s", request_id, error)
    return problem


def _shown(path: str) -> str:
    """Give a path so that it cannot pass for another line of the log."""
    shown = path[:200]
    return shown if shown.isprintable() else ascii(shown)


def _routing_problem(error: HTTPException, scope: Scope) -> Problem:
    """Translate what Starlette's router raises."""
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        allowed = (error.headers or {}).get("Allow", "GET")
        return wrong_method(scope["method"], scope["path"], allowed)
    return unknown_url(scope["method"], scope["path"])


class _Reply:
    """Sends an answer with the headers that every answer has."""

    def __init__(self, send: Send, clock: Callable[[], float], request_id: str) -> None:
        self._send = send
        self._clock = clock
        self._started = clock()
        self._answered = False
        self.request_id = request_id
        self.status = 0

    @property
    def elapsed_ms(self) -> float:
        """Milliseconds since the request came."""
        return 1000 * (self._clock() - self._started)

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._answered = True
            self.status = message["status"]
            own: Headers = (
                (b"x-request-id", self.request_id.encode()),
                (b"openai-processing-ms", str(round(self.elapsed_ms)).encode()),
            )
            message = {**message, "headers": [*message.get("headers", ()), *own]}
        await self._send(message)

    async def problem(self, problem: Problem) -> None:
        if self._answered:  # too late to say anything: the client sees a broken answer
            return
        await respond(self.send, problem.status, problem.body, problem.headers)
