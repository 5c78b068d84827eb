"""POST /v1/chat/completions: passed on to a model elsewhere, and its answer back as it comes."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import aclosing

from starlette.types import Receive, Scope, Send

from emblem.accounts import Caller, Observed
from emblem.api.body import BodyReader
from emblem.api.chat_wire import ChatRequest, Tally, read, renamed, tokens_of
from emblem.api.embeddings import MAX_USER, respond, unless_gone
from emblem.api.limits import headers as limit_headers
from emblem.api.passed import Advance, Directory, Elsewhere, Task, guessed
from emblem.api.problems import Headers, Problem, invalid, problem_of
from emblem.api.tags import tags
from emblem.charging import Charging
from emblem.errors import EmblemError, InvalidRequest, InvalidResult, UnknownModel
from emblem.ports import Passed

log = logging.getLogger(__name__)

CHAT = ("/v1/chat/completions", "/{model:path}/v1/chat/completions")

_EVENTS: Headers = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),  # nginx would wait for more
)


class Chat:
    """Answers requests for chat; an ASGI application behind the edge."""

    def __init__(self, directory: Directory, bodies: BodyReader, charging: Charging) -> None:
        self._directory = directory
        self._bodies = bodies
        self._charging = charging

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request. Raises Problem, EmblemError, ClientGone."""
        caller: Caller = scope["state"]["caller"]
        seen: Observed = scope["state"]["seen"]
        advance = Advance(self._charging, caller, seen)
        async with self._bodies.read(scope["headers"], receive) as content:
            try:
                seen.tags = tags(scope["headers"])
                asked = read(content)
                model = self._model(scope, asked.model, caller)
            except (Problem, InvalidRequest, UnknownModel):
                await advance.count_wrong()
                raise
            seen.user, seen.inputs, seen.model = asked.user[:MAX_USER], 1, model.name
            turn = _Turn(model, asked, advance, seen, scope["state"]["still"])
            await unless_gone(turn.answer(send), receive)

    def _model(self, scope: Scope, in_body: str | None, caller: Caller) -> Elsewhere:
        in_path: str = scope.get("path_params", {}).get("model", "")
        if not in_path and not in_body:
            raise invalid("you must provide a model parameter", "model")
        if in_path and in_body and in_path != in_body:
            raise invalid(
                f"The path names the model `{in_path}` and the body `{in_body}`. "
                "Send one of the two, or the same in both.",
                "model",
            )
        return self._directory.find(Task.CHAT, in_path or in_body or "", caller)


class _Turn:
    """One request and its answer. ``still`` raises once its key opens nothing any more."""

    def __init__(
        self,
        model: Elsewhere,
        asked: ChatRequest,
        advance: Advance,
        seen: Observed,
        still: Callable[[], None],
    ) -> None:
        self._model = model
        self._asked = asked
        self._advance = advance
        self._seen = seen
        self._still = still
        self._tally = Tally(hide=model.ask_for_usage and not asked.wants_usage)
        self._begun = False

    async def answer(self, send: Send) -> None:
        """Pass the request on, and the answer back. Raises EmblemError until that has begun."""
        asked, model = self._asked, self._model
        content = renamed(asked, model.passage.model, ask_for_usage=model.ask_for_usage)
        await self._advance.pay(asked.guess + asked.most)
        self._seen.served_by = model.passage.served_by
        try:
            async with model.passage.send(content) as passed:
                if passed.streams != asked.stream:  # a client would see an answer without words
                    what = "a stream that nobody asked for" if passed.streams else "no stream"
                    raise InvalidResult(model.passage.served_by, what)
                if passed.streams:
                    await self._stream(passed, send)
                    return
                whole = await passed.whole()
            told = tokens_of(whole, model.passage.served_by)
            self._begun = True
            await self._advance.settle(asked.guess + guessed(len(whole)) if told is None else told)
            await respond(send, 200, whole, self._headers())
        except asyncio.CancelledError:  # whoever has left before the answer began has read nothing
            if not self._begun:
                await self._advance.settle(asked.guess)
            raise
        except InvalidRequest:
            await self._advance.count_wrong()
            raise
        except EmblemError as error:
            if not self._begun:
                await self._advance.give_back()
                raise
            await self._broken_off(error, send)

    async def _stream(self, passed: Passed, send: Send) -> None:
        """Send each event as it comes. Whoever leaves has used what came until then."""
        headers = [*_EVENTS, *self._headers()]
        tally = self._tally
        self._begun = True
        try:
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            async with aclosing(passed.events()) as events:
                async for event in events:
                    self._still()
                    if tally.passes(event):
                        await _more(send, event)
            if not tally.ended:
                name = self._model.passage.served_by
                raise InvalidResult(name, "a stream that ends before its answer does")
        finally:
            used = self._asked.guess + tally.parts if tally.told is None else tally.told
            await self._advance.settle(used)
        await send({"type": "http.response.body", "body": b""})

    async def _broken_off(self, error: EmblemError, send: Send) -> None:
        """Say in the stream itself that it ends too early: its status is sent already."""
        problem = problem_of(error, self._seen.id)
        self._seen.code = problem.detail.code or problem.detail.type
        log.error("%s failed: %s", self._seen.id, error)
        await _more(send, b"data: " + problem.body + b"\n\n")
        await send({"type": "http.response.body", "body": b""})

    def _headers(self) -> Headers:
        served = ((b"x-served-by", self._model.passage.served_by.encode()),)
        return (*served, *limit_headers(self._advance.standings))


async def _more(send: Send, content: bytes) -> None:
    await send({"type": "http.response.body", "body": content, "more_body": True})
