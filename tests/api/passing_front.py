"""An application that passes on to a real upstream, asked over ASGI."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from starlette.types import ASGIApp

from api.asking import SECRET, Receive, Reply, arriving, reply_to
from api.small_app import OneKey, Small
from emblem.accounts import Account, Observed, Quota, Role, Terms
from emblem.api.app import create_app
from emblem.api.passed import Directory, Elsewhere, Task
from emblem.api.working import passing_routes
from emblem.charging import Charging
from emblem.core.prices import Prices
from emblem.limits.memory import MemoryLimiter
from emblem.upstreams.passing import (
    CHAT,
    RERANK,
    Bounds,
    Destination,
    HttpPassage,
    at_root,
    beside,
)
from emblem.upstreams.presets import preset
from emblem.upstreams.provider import Provider
from emblem.wrappers.passage_pool import PassagePool, Way

THEIR_KEY = "sk-theirs-0123456789-abcdefghij"
SECOND_KEY = "sk-theirs-second-0123456789-abcd"
PATIENT = Bounds(20.0, 20.0)


@dataclass
class Front:
    """What is passed on, to whom, and for whom. A new connection is made for each request.

    ``others`` are more deployments of the same models, called "other-1" and so on.
    """

    base_url: str
    keys: tuple[str, ...] = (THEIR_KEY,)
    bounds: Bounds = PATIENT
    timeout_s: float = 20.0
    max_requests: int = 64
    others: tuple[str, ...] = ()
    ask_for_usage: bool = True
    dialect: str = "cohere"
    row: str = "openai-compatible"  # whose preset it is
    quota: Quota = field(default_factory=Quota)
    models: tuple[str, ...] = ()
    seen: list[Observed] = field(default_factory=list)
    limiter: MemoryLimiter = field(default_factory=MemoryLimiter)
    pools: dict[str, PassagePool] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.charging = Charging(self.limiter, Prices([("*", 2)]))
        self.key = OneKey()
        self.key.terms = Terms("one", role=Role.INFERENCE, models=self.models, quota=self.quota)

    @property
    def charging_account(self) -> Account:
        """Who is charged."""
        return Account("key-1", self.quota)

    def observed(self, one: Observed) -> None:
        self.seen.append(one)

    def post(self, body: Any, path: str = "/v1/chat/completions", **more: Any) -> Reply:
        """Send one request and give its answer."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()

        async def asked(app: ASGIApp) -> Reply | None:
            headers = {"Authorization": f"Bearer {SECRET}", **more}
            return await reply_to(app, "POST", path, arriving(content), headers)

        reply = self.within(asked)
        assert reply is not None
        return reply

    def get(self, path: str) -> Reply:
        """Ask for something and give the answer."""

        async def asked(app: ASGIApp) -> Reply | None:
            headers = {"Authorization": f"Bearer {SECRET}"}
            return await reply_to(app, "GET", path, arriving(), headers)

        reply = self.within(asked)
        assert reply is not None
        return reply

    def posted(self, body: Any, receive: Receive) -> Reply | None:
        """Send one request of which the test decides what comes when."""

        async def asked(app: ASGIApp) -> Reply | None:
            headers = {"Authorization": f"Bearer {SECRET}"}
            return await reply_to(app, "POST", "/v1/chat/completions", receive, headers)

        return self.within(asked)

    def within(self, ask: Callable[[ASGIApp], Awaitable[Reply | None]]) -> Reply | None:
        """Ask an application whose connections are closed afterwards."""

        async def run() -> Reply | None:
            async with self.serving() as app:
                return await ask(app)

        return asyncio.run(run())

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[ASGIApp]:
        """Have the application on this very loop."""
        chat, rerank = self.pool(CHAT, "their-model"), self.pool(RERANK, "their-ranker")
        directory = Directory(
            [
                Elsewhere("talker", Task.CHAT, chat, 7, ask_for_usage=self.ask_for_usage),
                Elsewhere("ranker", Task.RERANK, rerank, 7, dialect=self.dialect),
            ]
        )
        self.pools = {"talker": chat, "ranker": rerank}
        try:
            yield create_app(
                Small().service,
                self.key,
                observers=(self,),
                directory=directory,
                working=lambda bodies: passing_routes(directory, self.charging, bodies),
            )
        finally:
            await chat.aclose()
            await rerank.aclose()
            await self.charging.aclose()

    def pool(self, path: str, model: str) -> PassagePool:
        """Open the ways to one of the models."""
        names = ("theirs", *(f"other-{place}" for place in range(1, len(self.others) + 1)))
        ways = []
        for name, base_url in zip(names, (self.base_url, *self.others), strict=True):
            provider = Provider(name, preset(self.row), base_url, self.keys)
            tei = path == RERANK and self.dialect == "tei"
            url = at_root(provider, path) if tei else beside(provider, "x", path)
            passage = HttpPassage(provider, Destination(name, url, model), self.bounds)
            ways.append(Way(passage, max_concurrency=self.max_requests, kind=self.row))
        return PassagePool("talker" if path == CHAT else "ranker", ways, self.timeout_s)
