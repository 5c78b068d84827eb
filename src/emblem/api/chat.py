"""POST /v1/chat/completions: passed on to a model elsewhere, and its answer back as it comes."""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field

from starlette.types import Receive, Scope, Send

from emblem.api.chat_wire import ChatRequest, Tally, Told, read, renamed, told_by
from emblem.api.embeddings import respond, unless_gone
from emblem.api.passed import Door, Taken, Task, guessed
from emblem.api.problems import Headers, problem_of
from emblem.errors import EmblemError, InvalidRequest, InvalidResult
from emblem.ports import Passage, Passed

log = logging.getLogger(__name__)

CHAT = ("/v1/chat/completions", "/{model:path}/v1/chat/completions")

_EVENTS: Headers = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),  # nginx would wait for more
)


class Chat:
    """Answers requests for chat; an ASGI application behind the edge."""

    def __init__(self, door: Door) -> None:
        self._door = door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request. Raises Problem, EmblemError, ClientGone."""
        async with self._door.taken(Task.CHAT, scope, receive, read) as taken:
            turn = _Turn(taken, scope["state"]["still"])
            await unless_gone(turn.answer(send), scope, receive)


@dataclass(frozen=True, slots=True)
class _Whole:
    """An answer that is all there, and what it says that it cost."""

    served_by: str
    content: bytes = field(repr=False)
    told: Told | None


@dataclass(frozen=True, slots=True)
class _Streamed:
    """An answer of which the first event is there."""

    served_by: str
    first: bytes = field(repr=False)
    rest: AsyncGenerator[bytes, None]


class _Turn:
    """One request and its answer. ``still`` raises once its key opens nothing any more."""

    def __init__(self, taken: Taken[ChatRequest], still: Callable[[], None]) -> None:
        self._taken = taken
        self._asked = taken.asked
        self._advance = taken.advance
        self._still = still
        self._tally = Tally(hide=taken.model.ask_for_usage and not taken.asked.wants_usage)
        self._begun = False
        self._came = 0.0

    async def answer(self, send: Send) -> None:
        """Pass the request on, and the answer back. Raises EmblemError until that has begun."""
        asked = self._asked
        self._came = time.monotonic()
        await self._advance.pay(asked.guess + asked.most)
        try:
            async with self._taken.model.passages.answer(self._ask) as begun:
                self._begun = True
                self._taken.seen.served_by = begun.served_by
                if isinstance(begun, _Streamed):
                    await self._stream(begun, send)
                else:
                    await self._give(begun, send)
        except asyncio.CancelledError:  # whoever has left before the answer began has read nothing
            if not self._begun:
                await self._advance.settle(asked.guess)
            raise
        except InvalidRequest:
            raise
        except EmblemError as error:
            if not self._begun:
                await self._advance.give_back()
                raise
            await self._broken_off(error, send)

    @asynccontextmanager
    async def _ask(self, passage: Passage, deadline: float) -> AsyncIterator[_Whole | _Streamed]:
        """Ask one deployment, until something has come that can be passed on."""
        usage, name = self._taken.model.ask_for_usage, passage.served_by
        content = renamed(self._asked, passage.model, ask_for_usage=usage)
        async with passage.send(content, deadline) as passed:
            self._refuse_other_kind(passed, name)
            if passed.streams:
                async with aclosing(passed.events()) as events:
                    first = await anext(events, None)
                    if first is None:
                        raise InvalidResult(name, "a stream without an event")
                    yield _Streamed(name, first, events)
                return
            whole = await passed.whole()
        yield _Whole(name, whole, told_by(whole, name))

    def _refuse_other_kind(self, passed: Passed, name: str) -> None:
        """Raise InvalidResult for an answer in which a client would see no word."""
        if passed.streams != self._asked.stream:
            what = "a stream that nobody asked for" if passed.streams else "no stream"
            raise InvalidResult(name, what)

    async def _give(self, whole: _Whole, send: Send) -> None:
        """Send an answer that is all there."""
        written = guessed(len(whole.content))
        told = whole.told or Told(self._asked.guess + written, written)
        await self._advance.settle(told.tokens, told.written)
        await respond(send, 200, whole.content, self._taken.headers(whole.served_by))

    async def _stream(self, begun: _Streamed, send: Send) -> None:
        """Send each event as it comes. Whoever leaves has used what came until then."""
        self._taken.seen.first_s = time.monotonic() - self._came
        headers = [*_EVENTS, *self._taken.headers(begun.served_by)]
        tally = self._tally
        try:
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await self._pass_on(begun.first, send)
            async for event in begun.rest:
                await self._pass_on(event, send)
            if not tally.ended:
                raise InvalidResult(begun.served_by, "a stream that ends before its answer does")
        finally:
            told = tally.told or Told(self._asked.guess + tally.parts, tally.parts)
            await self._advance.settle(told.tokens, told.written)
        await send({"type": "http.response.body", "body": b""})

    async def _pass_on(self, event: bytes, send: Send) -> None:
        self._still()
        if self._tally.passes(event):
            await _more(send, event)

    async def _broken_off(self, error: EmblemError, send: Send) -> None:
        """Say in the stream itself that it ends too early: its status is sent already."""
        seen = self._taken.seen
        problem = problem_of(error, seen.id)
        seen.code = problem.detail.code or problem.detail.type
        log.error("%s failed: %s", seen.id, error)
        await _more(send, b"data: " + problem.body + b"\n\n")
        await send({"type": "http.response.body", "body": b""})


async def _more(send: Send, content: bytes) -> None:
    await send({"type": "http.response.body", "body": content, "more_body": True})
