"""Opening what ``emblem verify`` compares: stored vectors, models here and elsewhere, servers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from emblem.errors import InvalidRequest

if TYPE_CHECKING:
    from emblem.cli.verify_asked import Asked
    from emblem.cli.verify_stored import Stored
    from emblem.cli.verify_trying import Opened
    from emblem.config import Settings


def stored_of(given: Asked) -> Stored | None:
    """Draw rows; None where no source is given. Raises InvalidRequest or MissingExtra."""
    from emblem.cli import verify_pgvector, verify_stored

    if given.source is None:
        return None
    if verify_pgvector.is_address(given.source):
        return verify_pgvector.of_table(given.source, given.table, given.wanted)
    if given.table is not None:
        raise InvalidRequest("--table is for a database, postgresql://…")
    return verify_stored.of_file(given.source, given.wanted)


async def of_server(given: Asked, opened: Opened, stored: Stored | None) -> Stored:
    """Give the vectors of the other server, of the texts that are stored or of our own."""
    import numpy as np

    from emblem import opening
    from emblem.cli import canaries, verify_stored
    from emblem.cli.verify_explained import Way
    from emblem.cli.verify_trying import Opened, embed
    from emblem.config import environment

    texts: Sequence[str]
    if stored is None:
        texts = [*canaries.SHORT, canaries.LONG, *canaries.overlong(opened.longest)]
    else:
        texts = stored.texts
    variables = environment()
    key = variables.get("AGAINST_API_KEY")
    if given.base_url is None:
        key = key or variables.get("OPENAI_API_KEY")
    name = given.against_model or opened.name
    other = await opening.open_upstream(given.against or "", name, key or None)
    try:
        found = await embed(Opened(other, name), texts, Way())
    finally:
        await other.aclose()
    places = [f"text {number + 1}" for number in range(len(texts))]
    rows = stored.rows if stored else len(texts)
    vectors = found.vectors.astype(np.float64)
    return verify_stored.Stored(tuple(texts), vectors, tuple(places), rows, ())


@asynccontextmanager
async def opened_of(given: Asked) -> AsyncIterator[Opened]:
    """Open the model that is asked for, as long as the block runs. Raises EmblemError."""
    from emblem import opening
    from emblem.cli.verify_trying import Opened
    from emblem.config import environment
    from emblem.hosting import is_hosted

    reference = given.model or given.settings.default_model
    if given.base_url is None:
        own = given.settings.models.get(reference)
        where = hosted if own is not None and is_hosted(own) else here
        async with where(reference, given.settings) as opened:
            yield opened
        return
    key = environment().get("OPENAI_API_KEY") or None
    embedder = await opening.open_upstream(given.base_url, reference, key)
    try:
        yield Opened(embedder, reference)
    finally:
        await embedder.aclose()


@asynccontextmanager
async def hosted(name: str, settings: Settings) -> AsyncIterator[Opened]:
    """Open a model with deployments elsewhere, and here too, where it has one."""
    from emblem import opening, serving
    from emblem.cli import hosted_model
    from emblem.cli.verify_trying import Opened
    from emblem.hosting import is_local
    from emblem.types import Kind

    local = None
    if is_local(settings.models[name]):
        model = await asyncio.to_thread(serving.model, name, settings)
        local = await asyncio.to_thread(opening.open_engine, model, settings)
    async with hosted_model.opened(name, settings, local) as found:
        offer = found.offer
        prompts = tuple(Kind) if offer.kinds else ()
        yield Opened(found.embedder, name, prompts, offer.max_length)


@asynccontextmanager
async def here(reference: str, settings: Settings) -> AsyncIterator[Opened]:
    """Open a model in this process, as long as the block runs. Raises ConfigError or ModelError."""
    from emblem import opening, serving
    from emblem.cli.progress import bars
    from emblem.cli.verify_trying import Opened
    from emblem.types import Kind, Overflow

    with bars() as progress:
        model = await asyncio.to_thread(serving.model, reference, settings, progress)
    embedder = await asyncio.to_thread(opening.open_engine, model, settings)
    longest = model.tokenization.max_length
    rules = (Overflow.MEAN, Overflow.TRUNCATE) if longest else ()
    prompts = tuple(kind for kind in Kind if model.prompts.of(kind))
    try:
        yield Opened(embedder, model.name, prompts, longest, rules)
    finally:
        await embedder.aclose()
