"""POST /v1/embeddings: bytes to a call, and its answer to bytes."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import lru_cache, partial
from io import SEEK_END, BytesIO
from typing import Any, TypeVar
from urllib.parse import quote

from starlette.types import Receive, Scope, Send

from emblem.accounts import Caller, Observed
from emblem.allowed import find
from emblem.api.body import BodyReader
from emblem.api.caching import NO_CACHE, NO_STORE, cache_header, directives
from emblem.api.inputs import read_inputs
from emblem.api.limits import headers as limit_headers
from emblem.api.problems import Problem, invalid
from emblem.api.tags import tags
from emblem.api.wire import EncodingFormat, decode, encode_part, overflow_header, parts
from emblem.errors import InvalidRequest, UnknownModel
from emblem.service import Answer, Call, Service
from emblem.waiting import Interruption, Strike, guarded

_JSON = (b"content-type", b"application/json")

# What the name of a space or a deployment may hold in a header as it is; the rest is percent-encoded.
_PLAIN = "/@+:()"

T = TypeVar("T")

SUFFIX = "/v1/embeddings"

# What comes after so much of a body is put to it where it is: of megabytes there would be two copies
# at the end. Of what is smaller two cost less than to make room again and again.
LARGE_BYTES = 4 << 20

MAX_USER = 256  # characters that are kept of what a request names its user


class ClientGone(Exception):
    """The client left before it got an answer; nobody is there to be told."""


class Embeddings:
    """Answers ``/v1/embeddings`` and ``/{model}/v1/embeddings``."""

    def __init__(self, service: Service, bodies: BodyReader) -> None:
        self._service = service
        self._bodies = bodies

    async def __call__(
        self, scope: Scope, receive: Receive, send: Send, caller: Caller, seen: Observed
    ) -> None:
        """Answer one request of a caller, and note in ``seen`` what becomes of it.

        Raises Problem, EmblemError, ClientGone.
        """
        async with self._bodies.read(scope["headers"], receive) as content:
            try:
                call, encoding = self._read(scope, content, caller, seen)
            except (Problem, InvalidRequest, UnknownModel):
                await self._service.count_wrong(caller, seen)
                raise
            answer = await unless_gone(self._service.embed(call, caller, seen), scope, receive)
        try:
            answered = await _encoded(answer, encoding)
        except Exception:
            await answer.withdraw()
            raise
        await respond(send, 200, answered, answer_headers(answer))

    def _read(
        self, scope: Scope, content: bytes, caller: Caller, seen: Observed
    ) -> tuple[Call, EncodingFormat]:
        """Read a request, and note in ``seen`` what it says of itself. Raises Problem or EmblemError."""
        headers = scope["headers"]
        seen.tags = tags(headers)
        body = decode(content)
        if body.user:
            seen.user = body.user[:MAX_USER]
        model = self._model(scope["path"][1 : -len(SUFFIX)], body.model, caller)
        inputs, wrong = read_inputs(body.input, self._service.limits)
        seen.inputs = len(inputs)
        asked = directives(headers)
        reuse, keep = NO_CACHE not in asked, NO_STORE not in asked
        call = Call(model, inputs, body.options, wrong, reuse, keep)
        return call, body.encoding_format or EncodingFormat.FLOAT

    def _model(self, in_path: str, in_body: str | None, caller: Caller) -> str:
        """Give the model that path and body name between them."""
        if not in_path:
            if not in_body:
                raise invalid("you must provide a model parameter", "model")
            return in_body
        if in_body and in_body != in_path:
            names = self._service.names
            if not find(names, in_path, caller).same_as(find(names, in_body, caller)):
                raise invalid(
                    f"The path names the model `{in_path}` and the body `{in_body}`. "
                    "Send one of the two, or the same in both.",
                    "model",
                )
        return in_path


async def _encoded(answer: Answer, encoding: EncodingFormat) -> bytes:
    """Write the answer's body. Other requests have their turn between the parts of a large one."""
    begun, rest = list[bytes](), None
    for which in parts(answer, encoding):
        if which.start:
            await asyncio.sleep(0)
        part = encode_part(answer, encoding, which)
        if rest is not None:
            rest.write(part)
            continue
        begun.append(part)
        if sum(map(len, begun)) > LARGE_BYTES:
            rest = BytesIO(b"".join(begun))
            rest.seek(0, SEEK_END)
            begun.clear()
    return b"".join(begun) if rest is None else rest.getvalue()


def unless_gone(work: Coroutine[Any, Any, T], scope: Scope, receive: Receive) -> Awaitable[T]:
    """Wait for work, and cancel it when the client leaves. Raises ClientGone then.

    Our own server calls back (see http1.exchange); of any other a task has to ask.
    """
    watch = scope.get("emblem.gone") or partial(_watched, receive)
    return guarded(work, partial(Interruption, ClientGone, watch))


def _watched(receive: Receive, strike: Strike) -> Callable[[], object]:
    gone = asyncio.get_running_loop().create_task(_gone(receive))
    gone.add_done_callback(lambda _: strike())
    return gone.cancel


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


@lru_cache(1024)
def quoted(name: str) -> bytes:
    """Give the name of a space or a deployment as a header may have it."""
    return quote(name, safe=_PLAIN).encode()


@lru_cache(1024)
def _each_quoted(names: str) -> bytes:
    return b", ".join(map(quoted, names.split(", ")))


def answer_headers(answer: Answer) -> Sequence[tuple[bytes, bytes]]:
    """Give the headers that say how vectors were made."""
    headers = [
        (b"x-embedding-space", quoted(answer.space)),
        (b"x-served-by", _each_quoted(answer.served_by)),
    ]
    if (said := cache_header(answer)) is not None:
        headers.append((b"x-embedding-cache", said.encode()))
    if answer.overflowed:
        headers.append((b"x-embedding-overflow", overflow_header(answer).encode()))
    if answer.standings:
        headers += limit_headers(answer.standings)
    return headers


async def respond(
    send: Send, status: int, content: bytes, headers: Sequence[tuple[bytes, bytes]] = ()
) -> None:
    """Send a whole JSON answer."""
    every = [_JSON, (b"content-length", b"%d" % len(content)), *headers]
    await send({"type": "http.response.start", "status": status, "headers": every})
    await send({"type": "http.response.body", "body": content})
