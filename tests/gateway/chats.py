"""Chats in a storm of faults, and what must hold of every one of them."""

import asyncio
import json
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

from starlette.types import ASGIApp, Message

from api.asking import SECRET, scope_of
from api.passing_front import SECOND_KEY, THEIR_KEY, Front
from emblem.accounts import Quota
from emblem.types import DeploymentState
from emblem.upstreams.misbehaving import Fault, Manners, Misbehaving, in_turn
from emblem.upstreams.misbehaving.talk import words
from emblem.upstreams.passing import Bounds
from gateway.storms import nothing_left

VOICES = ("ann", "bob", "cyd")
BOUNDS = Bounds(0.4, 0.4)
DEADLINE_S = 1.5
SLACK_S = 5.0  # that a machine with much to do may be late
PLENTY = 10**9

# What may befall a chat. What is about the items of vectors is left out, and so is a 400.
FAULTS = tuple(
    Fault(name)
    for name in (
        *("ok", "slow", "trickle", "hang", "hang-body", "reset", "reset-body", "close"),
        *("close-idle", "close-reused", "truncated", "length-long", "length-short", "bad-chunk"),
        *(
            "chunk-cut",
            "unasked",
            "gzip-bomb",
            "bad-gzip",
            "huge-headers",
            "not-http",
        ),
        *("429", "429-seconds", "429-date", "429-huge", "429-negative", "429-garbage"),
        *("500", "502", "503", "529", "big-error", "401-echo", "500-echo", "redirect", "404"),
        *("error-in-200", "html-in-200", "bad-json", "bad-utf8", "wrong-usage", "no-usage"),
    )
)


@dataclass(frozen=True, slots=True)
class Chatted:
    """One request, and all that came of it. ``status`` is 0 where nothing did."""

    question: str
    streams: bool
    leaves: bool
    status: int
    body: bytes
    seconds: float

    @property
    def said(self) -> str:
        """The words of the answer, as far as they came."""
        if not self.streams:
            return str(json.loads(self.body)["choices"][0]["message"]["content"])
        parts = [choice["delta"].get("content", "") for one in self._events for choice in one]
        return "".join(parts)

    @property
    def broken(self) -> bool:
        """Whether a stream says itself that it ended too early."""
        return self.streams and b'\ndata: {"error"' in b"\n" + self.body

    @property
    def _events(self) -> list[list[dict[str, Any]]]:
        lines = [line.removeprefix(b"data: ") for line in self.body.split(b"\n\n")]
        found = []
        for line in lines:
            try:
                found.append(json.loads(line).get("choices", []))
            except ValueError:  # the end, and what broke off in the middle of an event
                continue
        return found


async def chat(
    app: ASGIApp, question: str, *, streams: bool = True, leaves_s: float | None = None
) -> Chatted:
    """Ask one question; with ``leaves_s`` whoever asks goes away after so long."""
    content = json.dumps(
        {
            "model": "talker",
            "messages": [{"role": "user", "content": question}],
            "stream": streams,
        }
    ).encode()
    sent: list[Message] = []
    body = [{"type": "http.request", "body": content, "more_body": False}]

    async def receive() -> Message:
        if body:
            return body.pop()
        await asyncio.sleep(3600 if leaves_s is None else leaves_s)
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    began = time.monotonic()
    headers = {"Authorization": f"Bearer {SECRET}"}
    await app(scope_of("POST", "/v1/chat/completions", headers), receive, send)
    return Chatted(
        question,
        streams,
        leaves_s is not None,
        sent[0]["status"] if sent else 0,
        b"".join(one.get("body", b"") for one in sent),
        time.monotonic() - began,
    )


@dataclass(frozen=True, slots=True)
class Stormed:
    """What a storm left: every chat, what limits and records say, and the deployments."""

    chats: list[Chatted]
    used: int  # tokens, by the limits
    recorded: int  # tokens, by what is observed of each request
    states: tuple[DeploymentState, ...]
    asked: list[int]  # requests that each server saw


async def storm(
    scripts: Sequence[Sequence[Fault]],
    questions: Sequence[tuple[str, bool, float | None]],
    *,
    rounds: int = 1,
    between_s: float = 0.0,
) -> Stormed:
    """Have all questions asked at once, and again after a while, while servers play their scripts."""
    async with AsyncExitStack() as stack:
        servers = [
            await stack.enter_async_context(
                Misbehaving(
                    in_turn(script, loop=True),
                    Manners(model=voice, slow_s=0.05, trickle_s=0.002),
                )
            )
            for script, voice in zip(scripts, VOICES, strict=False)
        ]
        first, *others = [one.base_url for one in servers]
        front = Front(
            first,
            keys=(THEIR_KEY, SECOND_KEY),
            bounds=BOUNDS,
            timeout_s=DEADLINE_S,
            others=tuple(others),
            quota=Quota(tokens_per_day=PLENTY, requests_per_minute=10_000),
        )
        before = asyncio.all_tasks()
        chats: list[Chatted] = []
        async with front.serving() as app:
            for _ in range(rounds):
                chats += await asyncio.gather(
                    *(
                        chat(app, question, streams=streams, leaves_s=leaves_s)
                        for question, streams, leaves_s in questions
                    )
                )
                await asyncio.sleep(between_s)  # in which servers may go on
            states = front.pools["talker"].deployments()
        await nothing_left(servers, before)
        standings = await front.limiter.peek(front.charging_account)
        [used] = [one.used for one in standings if one.limit.most == PLENTY]
        assert not any(one.seen().strayed for one in servers)
        asked = [one.seen().requests for one in servers]
    assert len(front.seen) == len(chats)
    return Stormed(chats, used, sum(one.tokens for one in front.seen), states, asked)


def assert_right(stormed: Stormed) -> None:
    """No two answers in one, no half answer for a whole one, nothing late, and all paid for once."""
    for one in stormed.chats:
        assert one.seconds < DEADLINE_S + SLACK_S, one
        assert THEIR_KEY.encode() not in one.body
        assert SECOND_KEY.encode() not in one.body
        if one.status == 200:
            whole = {"".join(words(one.question, voice)) for voice in VOICES}
            if one.broken or one.leaves:
                assert any(each.startswith(one.said) for each in whole), one
            else:
                assert one.said in whole, one
        else:
            assert one.status in (502, 503) or (one.leaves and one.status == 0), one
    assert stormed.used == stormed.recorded
    for state in stormed.states:
        assert state.requests == 0, state
