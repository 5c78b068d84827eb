"""What a deployment for chat or rankings is looked at for: what it is asked, and what it answered."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from emblem.api.passed import Task
from emblem.cli.canaries import Check
from emblem.cli.doctor_rounds import Seen, failed
from emblem.config import ChatSettings, RerankSettings
from emblem.errors import EmblemError, InvalidRequest, InvalidResult

if TYPE_CHECKING:
    from emblem.api.chat_wire import ChatRequest
    from emblem.config import DeploymentSettings, Settings
    from emblem.ports import Passage

QUESTION = "Answer with one word: is water wet?"
MOST = 16  # tokens of its answer

QUERY = "Who makes bread?"
DOCUMENTS = (
    "The night train leaves at ten o'clock.",
    "A baker makes bread.",
    "The central bank raised its rate.",
)
RIGHT = 1  # the document that answers the query


@dataclass(frozen=True, slots=True)
class Call:
    """A deployment to look at, and the table that it is from."""

    model: str
    task: Task
    own: ChatSettings | RerankSettings
    deployment: DeploymentSettings


def calls(settings: Settings, names: Sequence[str]) -> list[Call]:
    """List the deployments of models for chat and rankings; without names of all of them."""
    from emblem.config import passed_to

    every: list[tuple[Task, str, ChatSettings | RerankSettings]] = [
        *((Task.CHAT, name, own) for name, own in settings.chat.items()),
        *((Task.RERANK, name, own) for name, own in settings.rerank.items()),
    ]
    return [
        Call(name, task, own, one)
        for task, name, own in every
        if not names or name in names
        for one in passed_to(own)
    ]


async def called(every: Sequence[Call], settings: Settings, timeout_s: float) -> list[Seen]:
    """Look at one deployment after another."""
    return [await _called(one, settings, timeout_s) for one in every]


async def _called(call: Call, settings: Settings, timeout_s: float) -> Seen:
    from emblem.passages import open_way, whose_is
    from emblem.providers import called as name_of

    name = name_of(call.deployment, call.own.deployments or (call.deployment,), call.model)
    try:
        whose = whose_is(call.deployment, call.model, call.task, settings)
        bounded = replace(whose, connect_timeout_s=min(whose.connect_timeout_s, timeout_s))
        way = open_way(call.deployment, bounded, call.model, call.own)
    except EmblemError as error:
        checks = [Check("settings", False, str(error))]
    else:
        try:
            checks = await _looked_at(call, way, timeout_s)
        finally:
            await way.aclose()
    ok = all(one.ok is not False for one in checks)
    return Seen(call.model, name, "", ok, tuple(checks))


async def _looked_at(call: Call, way: Passage, timeout_s: float) -> list[Check]:
    looks = [_whole, _streamed] if isinstance(call.own, ChatSettings) else [_ranking]
    checks: list[Check] = []
    for look in looks:
        try:
            checks += await look(call, way, timeout_s)
        except InvalidResult as error:
            checks.append(Check("answer", False, error.what))
        except EmblemError as error:
            checks += [Check("stream", False, str(error))] if checks else failed(str(error))
            break
    return checks


async def _whole(_: Call, way: Passage, timeout_s: float) -> list[Check]:
    """Ask a question, and take the answer at once."""
    from emblem.api.chat_wire import renamed, told_by

    content = renamed(_question(stream=False), way.model, ask_for_usage=False)
    began = time.monotonic()
    async with way.send(content, began + timeout_s) as passed:
        whole = await passed.whole()
    told = told_by(whole, way.served_by)
    return [
        *_reached(way),
        Check("answer", True, "has choices"),
        _cost(told.tokens if told else None),
        _latency(began),
    ]


async def _streamed(call: Call, way: Passage, timeout_s: float) -> list[Check]:
    """Ask a question, and take the answer as it comes, in the very form that a server asks for."""
    from emblem.api.chat_wire import Tally, renamed

    asks = isinstance(call.own, ChatSettings) and call.own.ask_for_usage
    content = renamed(_question(stream=True), way.model, ask_for_usage=asks)
    began = time.monotonic()
    tally, events, first_s = Tally(hide=False), 0, 0.0
    try:
        async with (
            way.send(content, began + timeout_s) as passed,
            aclosing(passed.events()) as coming,
        ):
            if not passed.streams:
                return [Check("stream", False, "one was asked for, and none came")]
            async for event in coming:
                first_s = first_s or time.monotonic() - began
                events += 1
                tally.passes(event)
    except InvalidRequest as error:
        hint = "; ask_for_usage = false may help" if asks else ""
        return [Check("stream", False, f"{error}{hint}")]
    if not tally.ended:
        return [Check("stream", False, "ends before its answer does")]
    said = f"{events} events, the first after {1000 * first_s:,.0f} ms"
    told = Check("stream usage", None, "is not asked for") if not asks else None
    told = told or replace(_cost(tally.told.tokens if tally.told else None), name="stream usage")
    return [Check("stream", True, said), told]


async def _ranking(call: Call, way: Passage, timeout_s: float) -> list[Check]:
    """Have three documents ranked, of which one answers the query."""
    from emblem.api.rerank_wire import decode, encode, read

    assert isinstance(call.own, RerankSettings)  # noqa: S101 - whoever looks at a ranking has one
    body = {"query": QUERY, "documents": DOCUMENTS}
    asked = read(json.dumps(body).encode())
    began = time.monotonic()
    async with way.send(encode(asked, way.model, call.own.dialect), began + timeout_s) as passed:
        whole = await passed.whole()
    ranking = decode(whole, asked, call.own.dialect, way.served_by)
    first, score = ranking.ranked[0]
    right = "the one that answers" if first == RIGHT else "another than the one that answers"
    return [
        *_reached(way),
        Check("ranking", True, f"{len(ranking.ranked)} documents with their scores"),
        Check("sense", first == RIGHT, f"the first document is {right} the query ({score:.4g})"),
        _cost(ranking.tokens),
        _latency(began),
    ]


def _question(*, stream: bool) -> ChatRequest:
    from emblem.api.chat_wire import read

    body = {
        "messages": [{"role": "user", "content": QUESTION}],
        "max_completion_tokens": MOST,
        "stream": stream,
    }
    return read(json.dumps(body).encode())


def _reached(way: Passage) -> list[Check]:
    return [
        Check("reach", True, f"{way.served_by} answers"),
        Check("model", True, f"{way.model!r} is taken"),
    ]


def _cost(tokens: int | None) -> Check:
    if tokens is None:
        return Check("usage", None, "is not told: what requests cost is guessed by their size")
    return Check("usage", True, f"{tokens} tokens are told")


def _latency(began: float) -> Check:
    return Check("latency", None, f"{1000 * (time.monotonic() - began):,.0f} ms")
