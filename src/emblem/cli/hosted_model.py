"""A model of emblem.toml that has deployments elsewhere, put together as a server does it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from emblem.config import Settings
    from emblem.offer import Offer
    from emblem.ports import Embedder, References


@dataclass(frozen=True, slots=True, eq=False)
class HostedModel:
    """What answers for the model, once every deployment was held to its space, and its offer."""

    embedder: Embedder
    offer: Offer


@asynccontextmanager
async def opened(
    name: str,
    settings: Settings,
    local: Embedder | None = None,
    references: References | None = None,
) -> AsyncIterator[HostedModel]:
    """Open a model for as long as the block runs. ``local`` is the deployment that is here.

    Raises what a server that serves the model would not start for: ConfigError or ModelError.
    """
    from emblem import serving, wiring
    from emblem.errors import ConfigError

    alone = msgspec.structs.replace(
        settings, models={name: settings.models[name]}, serve=(), aliases={}, chat={}, rerank={}
    )
    plan = await asyncio.to_thread(serving.plan, alone)
    for one in plan.awaited:
        raise ConfigError(one.why)
    hosting = plan.hostings[name]
    assembled = wiring.open_hosted(hosting, settings, local, references)
    try:
        await assembled.begin()
        yield HostedModel(assembled.embedder, hosting.offer)
    finally:
        await assembled.end()
        await assembled.embedder.aclose()
