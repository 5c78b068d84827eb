"""Storms of faults, and what must hold of a gateway that stands in one."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

import numpy as np

from emblem.errors import (
    DeadlineExceeded,
    DeploymentFailed,
    EmblemError,
    InvalidRequest,
    InvalidResult,
    Overloaded,
)
from emblem.ports import Embedder
from emblem.space import Space
from emblem.types import EmbedRequest, EmbedResult, Kind
from emblem.upstreams.misbehaving import Fault, Manners, Misbehaving, Notice, in_turn, vector
from emblem.upstreams.misbehaving.faults import FAULTS
from emblem.upstreams.misbehaving.truth import PROMPTS
from emblem.upstreams.opening import open_upstream, preset
from emblem.upstreams.provider import Provider
from emblem.wrappers.checked import Checked
from emblem.wrappers.pool import Member, Pool

KEY = "sk-planted-7d1f0c2b9a"
WIDTH = 16
SPACE = Space.declared("upstream/truth", WIDTH, normalised=True)
MANNERS = Manners(trickle_s=0.2, slow_s=0.05)
ATTEMPT_S = 0.3  # that an upstream has for an answer
DEADLINE_S = 1.0  # that a request has
SLACK_S = 10.0  # that a machine with much to do may be late
ALLOWED = (Overloaded, DeadlineExceeded, DeploymentFailed, InvalidResult)

# Faults that are noticed without a second look. The others are for canaries: see test_canaries.py.
SEEN = tuple(fault for fault, about in FAULTS.items() if about.notice is not Notice.SILENT)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one request: its result or error, after so many seconds.

    ``texts`` have the prompt before them that the server puts there.
    """

    texts: tuple[str, ...]
    result: EmbedResult | EmblemError
    seconds: float


COMPATIBLE = "openai-compatible"
PRESETS = (COMPATIBLE, "azure", "cohere")  # with other places for the key and for the vectors


def provider(
    name: str, base_url: str, timeout_s: float = ATTEMPT_S, row: str = COMPATIBLE
) -> Provider:
    base_url = base_url.replace("/v1", "/v2") if row == "cohere" else base_url
    return Provider(name, preset(row), base_url, (KEY,), timeout_s=timeout_s, connect_timeout_s=1.0)


def pooled(
    servers: Sequence[Misbehaving], timeout_s: float = ATTEMPT_S, row: str = COMPATIBLE
) -> Pool:
    """Put the servers into one pool, each checked."""
    members = [
        Member(
            f"server-{number}",
            Checked(
                open_upstream(
                    provider(f"server-{number}", one.base_url, timeout_s, row), "truth", SPACE
                )
            ),
        )
        for number, one in enumerate(servers)
    ]
    return Pool(SPACE, members, model="truth")


async def ask(
    embedder: Embedder,
    texts: Sequence[str],
    deadline_s: float = DEADLINE_S,
    kind: Kind | None = None,
) -> Outcome:
    """Ask for vectors; whatever is raised that must not be is a failure of the test."""
    began = time.monotonic()
    request = EmbedRequest(tuple(texts), kind, deadline=began + deadline_s)
    try:
        result: EmbedResult | EmblemError = await embedder.embed(request)
    except (*ALLOWED, InvalidRequest) as error:
        result = error
    prompt = PROMPTS[kind] if kind else ""
    return Outcome(tuple(prompt + text for text in texts), result, time.monotonic() - began)


def assert_right(outcomes: Iterable[Outcome], faults: Iterable[Fault]) -> None:
    """No wrong vector, no key, nothing that took longer than it might, nobody else's fault."""
    blameless = Fault.REFUSED not in set(faults)
    for one in outcomes:
        assert one.seconds < DEADLINE_S + SLACK_S, one
        if isinstance(one.result, EmbedResult):
            due = np.stack([vector(text, WIDTH) for text in one.texts])
            np.testing.assert_allclose(one.result.vectors, due, atol=1e-5)
        else:
            assert KEY not in str(one.result) + repr(one.result)
            assert not (blameless and isinstance(one.result, InvalidRequest)), one.result


async def storm(
    scripts: Sequence[Sequence[Fault]], batches: Sequence[Sequence[str]], row: str = COMPATIBLE
) -> list[Outcome]:
    """Ask for all batches at once, twice over, while servers play their scripts."""
    async with AsyncExitStack() as stack:
        servers = [
            await stack.enter_async_context(
                Misbehaving(in_turn(script, loop=True), MANNERS, _Narrow())
            )
            for script in scripts
        ]
        pool = pooled(servers, row=row)
        kind = Kind.QUERY if row == "cohere" else None
        before = asyncio.all_tasks()
        try:
            outcomes = []
            for _ in range(2):  # the second round meets connections of the first
                outcomes += await asyncio.gather(
                    *(ask(pool, batch, kind=kind) for batch in batches)
                )
        finally:
            await pool.aclose()
        await nothing_left(servers, before)
        assert not any(one.seen().strayed for one in servers)
    return outcomes


async def until(happened: Callable[[], bool]) -> None:
    """Wait for what must happen soon."""
    end = time.monotonic() + SLACK_S
    while not happened():
        assert time.monotonic() < end
        await asyncio.sleep(0.005)


async def nothing_left(servers: Sequence[Misbehaving], before: set["asyncio.Task[object]"]) -> None:
    """Wait until no connection and no task is left of what was asked."""
    end = time.monotonic() + SLACK_S
    while True:
        serving = {task for one in servers for task in one._talking}
        tasks = asyncio.all_tasks() - before - serving
        if not any(one.seen().open for one in servers) and not tasks:
            return
        assert time.monotonic() < end, (tasks, [one.seen() for one in servers])
        await asyncio.sleep(0.01)


class _Narrow:
    """Right vectors of few numbers."""

    width = WIDTH

    async def vectors(self, texts: Sequence[str]) -> np.ndarray:
        return np.stack([vector(text, WIDTH) for text in texts])


class Heard(logging.Handler):
    """Keeps what is logged, as it is written."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))
