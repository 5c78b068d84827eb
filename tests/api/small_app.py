"""The smallest application: two models, some aliases, an embedder that does as it is told."""

import asyncio
import base64
from dataclasses import replace
from functools import cache
from zlib import crc32

import numpy as np
from starlette.types import ASGIApp

from api.asking import SECRET
from emblem.accounts import Key, Observed, Role, Team, Terms
from emblem.api.access import AccessLog
from emblem.api.app import Bounds, create_app
from emblem.charging import Charging
from emblem.core.cl100k import Cl100k
from emblem.limits.memory import MemoryLimiter
from emblem.names import Names, Options, Served
from emblem.offer import Prompts
from emblem.service import Limits, Service
from emblem.types import EmbedRequest, EmbedResult, Kind, OutputType, Overflow, TokenIds, Vectors
from emblem.wrappers.laned import Laned
from tiny_engine import WIDTH, model

TINY = model("tiny")
ASKING = replace(model("asking"), prompts=Prompts("ask: ", "say: "))
CREATED = 1_700_000_000
SERVED = (
    Served("tiny", TINY, CREATED),
    Served("mine", TINY, CREATED, alias_of="tiny"),
    Served("acme/four", TINY, CREATED, Options(dimensions=4), alias_of="tiny"),
    Served("cut", TINY, CREATED, Options(overflow=Overflow.TRUNCATE), alias_of="tiny"),
    Served("small", TINY, CREATED, Options(output=OutputType.INT8), alias_of="tiny"),
    Served("native", TINY, CREATED, token_ids=TokenIds.NATIVE, alias_of="tiny"),
    Served("refusing", TINY, CREATED, token_ids=TokenIds.REFUSE, alias_of="tiny"),
    Served("text-embedding-3-small", TINY, CREATED, alias_of="tiny"),
    Served("asking", ASKING, CREATED),
    Served("asking-query", ASKING, CREATED, Options(kind=Kind.QUERY), alias_of="asking"),
)
DIGEST = TINY.space.digest


class Embedder:
    """Gives each text a unit vector of its own; or an error, or nothing for ever, when told so."""

    def __init__(self, space=TINY.space) -> None:
        self.space = space
        self.requests: list[EmbedRequest] = []
        self.overflowed: tuple[int, ...] = ()
        self.error: Exception | None = None
        self.stuck = False
        self.entered = asyncio.Event()
        self.cancelled = False
        self.says: str | None = None

    async def embed(self, request: EmbedRequest) -> EmbedResult:
        self.requests.append(request)
        self.entered.set()
        if self.error:
            raise self.error
        if self.stuck:
            try:
                await asyncio.get_running_loop().create_future()
            except asyncio.CancelledError:
                self.cancelled = True
                raise
        vectors = np.stack([vector_of(one, request.dimensions) for one in request.inputs])
        tokens = np.array([2 + len(str(one).split()) for one in request.inputs], np.int32)
        return EmbedResult(vectors, tokens, self.overflowed, "tiny")

    def problem(self) -> str | None:
        return self.says

    async def aclose(self) -> None:
        """Nothing is held."""


def vector_of(text: str | tuple[int, ...], dimensions: int | None = None) -> Vectors:
    """Give the vector of a text: (dimensions,) float32 of unit length."""
    full = np.random.default_rng(crc32(str(text).encode())).normal(size=WIDTH)
    part = full[: dimensions or WIDTH]
    return (part / np.linalg.norm(part)).astype(np.float32)


class OneKey:
    """Knows one key, which opens everything, and the team that it belongs to, if any."""

    terms = Terms("one", role=Role.ADMIN)
    of: Team | None = None

    def __init__(self) -> None:
        self.revoked = False
        self.uses: list[Key] = []

    def check(self, secret: str) -> Key | None:
        if self.revoked or secret != SECRET:
            return None
        return Key("key-1", self.terms, 0.0)

    async def look_up(self, secret: str) -> Key | None:
        return None

    def team(self, key: Key) -> Team | None:
        return self.of

    def used(self, key: Key) -> None:
        self.uses.append(key)


def charging() -> Charging:
    """Make what charges requests in memory, and knows no prices."""
    return Charging(MemoryLimiter())


@cache
def bytes_first() -> Cl100k:
    """Make a vocabulary whose first 256 tokens are the bytes."""
    tokens = [bytes([rank]) if rank < 256 else b"x" for rank in range(Cl100k.SIZE)]
    lines = [base64.b64encode(token) + b" %d" % rank for rank, token in enumerate(tokens)]
    return Cl100k(b"\n".join(lines))


class Small:
    """An application, and the embedder behind its model ``tiny``."""

    def __init__(
        self, bounds: Bounds | None = None, limits: Limits | None = None, *, auth: bool = True
    ) -> None:
        self.embedder = Embedder()
        names = Names(SERVED, lambda name: f"Fetch it with: emblem pull {name}")
        asking = Embedder(ASKING.space)
        asking.requests = self.embedder.requests
        embedders = {"tiny": Laned(self.embedder), "asking": Laned(asking)}
        self.service = Service(names, embedders, limits or Limits(), charging(), bytes_first())
        self.seen: list[Observed] = []
        self.keys = OneKey()
        keys = self.keys if auth else None
        self.app: ASGIApp = create_app(self.service, keys, bounds, observers=(AccessLog(), self))

    def observed(self, one: Observed) -> None:
        self.seen.append(one)

    @property
    def asked(self) -> EmbedRequest:
        """What an embedder was last asked for."""
        return self.embedder.requests[-1]
