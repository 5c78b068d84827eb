"""What every request of the administration passes: who asks, what is asked, and the database."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from http import HTTPStatus
from typing import Any, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from emblem.accounts import Actor, Key, Role
from emblem.api.admin.query import Query
from emblem.api.admin.reading import read
from emblem.api.auth import ANONYMOUS
from emblem.api.body import BodyReader
from emblem.api.problems import Detail, Problem, invalid, unsupported
from emblem.errors import InvalidRequest, LedgerUnavailable, NoLongerAllowed

MAX_BODY_BYTES = 65_536
BODY_TIMEOUT_S = 30.0
MAX_QUESTIONS = 4  # to the database at once; the others wait their turn

T = TypeVar("T")


class Asked:
    """One request, by somebody who may ask it."""

    def __init__(self, request: Request, caller: Key, bodies: BodyReader) -> None:
        self._request = request
        self._bodies = bodies
        self.caller = caller
        state = request.scope["state"]
        self.by = Actor(caller.id, state.get("source") or "", state.get("secret") or b"")

    @property
    def id(self) -> str:
        """Whatever the address names."""
        return str(self._request.path_params["id"])

    def query(self, *names: str) -> Query:
        """Read what stands behind the question mark. Raises Problem for other names than these."""
        return Query(self._request.scope.get("query_string", b""), names)

    def header(self, name: str) -> str | None:
        """Give a header."""
        return self._request.headers.get(name)

    async def body(self, kind: type[T]) -> T:
        """Read the body. Raises Problem or Overloaded."""
        headers = self._request.scope["headers"]
        # A page of another origin may send anything but this without being allowed to first.
        if not self.header("content-type"):
            raise unsupported("Content-Type", "", "application/json")
        async with self._bodies.read(headers, self._request.receive) as content:
            return read(content, kind)


Handler = Callable[[Asked], Awaitable[Response]]


class Desk:
    """Has requests answered by handlers. Used on one event loop."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.clock = clock
        # Threads of its own: a database that is stuck keeps only the administration. A request that
        # is given up leaves its thread busy, and the next one waits for that thread.
        self._asking = ThreadPoolExecutor(MAX_QUESTIONS, "emblem-admin")
        self._changing = ThreadPoolExecutor(1, "emblem-admin-change")
        self._bodies = BodyReader(MAX_BODY_BYTES, BODY_TIMEOUT_S, 64 * MAX_BODY_BYTES)

    def route(self, path: str, **handlers: Handler) -> Route:
        """Give the route of an address, with a handler for each method that it has."""
        by_method = {method.upper(): handler for method, handler in handlers.items()}

        async def endpoint(request: Request) -> Response:
            method = "GET" if request.method == "HEAD" else request.method
            asked = Asked(request, _allowed(request, method), self._bodies)
            return await by_method[method](asked)

        return Route(path, endpoint, methods=list(by_method))

    async def ask(self, question: Callable[[], T]) -> T:
        """Ask the database, off the event loop, a few at a time.

        Raises Problem where it refuses, or cannot be used.
        """
        return await _answered(self._asking, question)

    async def change(self, question: Callable[[], T]) -> T:
        """Ask for a change, one at a time, whatever others are reading. Raises as ``ask`` does."""
        return await _answered(self._changing, question)


async def _answered(threads: ThreadPoolExecutor, question: Callable[[], T]) -> T:
    # With what belongs to the request, such as its id in the log.
    asked = partial(copy_context().run, question)
    try:
        return await asyncio.get_running_loop().run_in_executor(threads, asked)
    except InvalidRequest as error:
        raise _as_written(error) from None
    except NoLongerAllowed as error:
        said = str(error)
        raise _forbidden(f"{said[:1].upper()}{said[1:]}.") from None
    except LedgerUnavailable as error:
        raise away(error) from None


def _allowed(request: Request, method: str) -> Key:
    """Give whoever asks, if they may. The edge has looked already: this holds without it, too."""
    caller: Key | None = request.scope.get("state", {}).get("principal")
    if caller is None or caller.terms.role is not Role.ADMIN:
        raise _forbidden("This address needs an API key of the role admin.")
    if method != "GET" and caller.id == ANONYMOUS:
        raise _forbidden(
            "This server asks for no key, so everybody may look and nobody may change anything "
            "here. Use the command line: emblem keys, emblem teams."
        )
    return caller


def _forbidden(message: str) -> Problem:
    return Problem(HTTPStatus.FORBIDDEN, Detail(message, code="permission_denied"))


def _as_written(error: InvalidRequest) -> Problem:
    """Translate what a book refuses, as a sentence."""
    said = str(error)
    return invalid(f"{said[:1].upper()}{said[1:]}.", error.param)


def away(error: LedgerUnavailable) -> Problem:
    """Say in its own words why the database cannot be used: whoever administers it is to know."""
    detail = Detail(str(error), type="server_error", code="ledger_unavailable")
    return Problem(HTTPStatus.SERVICE_UNAVAILABLE, detail, ((b"retry-after", b"1"),))


def missing(what: str, name: str) -> Problem:
    """Say that there is no such thing."""
    shown = ascii(name[:64])
    return Problem(
        HTTPStatus.NOT_FOUND,
        Detail(f"There is no {what} {shown}.", param="id", code=f"{what}_not_found"),
    )


def conflict(message: str, code: str, param: str | None = None) -> Problem:
    """Say that something else stands in the way."""
    return Problem(HTTPStatus.CONFLICT, Detail(message, param=param, code=code))


def answer(value: msgspec.Struct, status: int = 200, **headers: str) -> Response:
    """Give an answer in JSON, which nobody is to keep: it may hold a secret."""
    return reply(msgspec.json.encode(value), "application/json", status, **headers)


def reply(content: bytes, media_type: str, status: int = 200, **headers: str) -> Response:
    """Give an answer that nobody is to keep."""
    own: dict[str, Any] = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(content, status, {"cache-control": "no-store", **own}, media_type)
