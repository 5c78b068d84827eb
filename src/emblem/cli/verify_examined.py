"""Comparing stored vectors with new ones, and finding out why they differ."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from emblem.errors import EmblemError

if TYPE_CHECKING:
    from emblem.cli.verify_asked import Asked, Report
    from emblem.cli.verify_explained import Finding, Numbers
    from emblem.cli.verify_stored import Stored
    from emblem.cli.verify_trying import Embedded, Opened
    from emblem.types import Tokens

MOST = 0.5  # the share of vectors that tells whose they are
MAX_PROBLEMS = 5  # rows left out that are told of one by one


async def examined(given: Asked) -> Report:
    """Embed the texts again and compare; where they differ, try what may explain it."""
    from emblem.cli.verify_asked import Report
    from emblem.cli.verify_explained import bands, compared, misfits, moved, notes
    from emblem.cli.verify_opening import of_server, opened_of, stored_of

    stored = await asyncio.to_thread(stored_of, given)
    async with opened_of(given) as opened:
        if stored is None or given.against is not None:
            stored = await of_server(given, opened, stored)
        stored, mine = await _embedded(given, opened, stored)
        normalised = opened.normalised
        cosines = compared(stored.vectors, mine.vectors, normalised=normalised)
        found = notes(stored.vectors, mine.vectors.shape[1], normalised=normalised)
        alike = cosines is not None and bool(cosines.min() >= given.least)
        if stored.misfits:
            found.append(misfits(stored.misfits, whole=alike))
        if not alike:
            moved_rows = moved(stored.vectors, mine.vectors, given.least, normalised=normalised)
            found += [moved_rows] if moved_rows else []
            if moved_rows is None or not moved_rows.whole:
                found += await _why(given, opened, stored, mine.tokens, cosines)
    told = () if cosines is None else bands(cosines, mine.tokens, opened.longest, given.least)
    return Report(
        source=given.against or given.table or given.source or "",  # never a database's address
        model=opened.name,
        space=str(opened.embedder.space),
        as_asked=str(given.way),
        ok=alike and not stored.misfits,
        rows=stored.rows,
        compared=len(stored.texts),
        least=None if cosines is None else round(float(cosines.min()), 6),
        bands=told,
        findings=tuple(found),
        left_out=len(stored.problems),
        problems=stored.problems[:MAX_PROBLEMS],
    )


async def _embedded(given: Asked, opened: Opened, stored: Stored) -> tuple[Stored, Embedded]:
    """Embed the texts, leaving out those that the model does not embed."""
    from emblem.cli.verify_stored import without
    from emblem.cli.verify_trying import embed
    from emblem.errors import InvalidInput

    while True:
        try:
            return stored, await embed(opened, stored.texts, given.way)
        except InvalidInput as error:
            stored = without(stored, dict(error.problems), given.table or given.source or "")


async def _why(
    given: Asked,
    opened: Opened,
    stored: Stored,
    tokens: Tokens,
    cosines: Numbers | None,
) -> list[Finding]:
    """Try what else may have given the stored vectors: other ways, then other models."""
    from emblem.cli.verify_explained import ways
    from emblem.cli.verify_trying import tried

    found = []
    breaks = any("\n" in one for one in stored.texts)
    if cosines is not None:
        longest = opened.longest is not None and int(tokens.max()) > opened.longest
        others = ways(
            given.way,
            prompts=opened.prompts,
            rules=opened.rules,
            longest=longest,
            breaks=breaks,
        )
        one = await tried(opened, stored.texts, stored.vectors, cosines, others, given.least)
        found += [one] if one else []
    # Where most vectors are this model's, the rest is hardly another's.
    most = cosines is not None and float((cosines >= given.least).mean()) >= MOST
    if not most and not any(one.whole for one in found):
        found += await _other_models(given, opened.name, stored, breaks=breaks)
    return found


async def _other_models(given: Asked, name: str, stored: Stored, *, breaks: bool) -> list[Finding]:
    """Try the other models that are here."""
    from emblem.cli.verify_explained import Finding, Way, ways
    from emblem.cli.verify_opening import here
    from emblem.cli.verify_trying import tried
    from emblem.serving import open_library

    library = open_library(given.settings)
    for other in library.installed():
        if other == name:
            continue
        try:
            async with here(other, given.settings) as opened:
                if opened.embedder.space.width < stored.vectors.shape[1]:
                    continue
                more = [
                    Way(),
                    *ways(
                        Way(),
                        prompts=opened.prompts,
                        rules=opened.rules,
                        longest=True,
                        breaks=breaks,
                    ),
                ]
                one = await tried(opened, stored.texts, stored.vectors, None, more, given.least)
        except EmblemError:
            continue  # one that cannot be opened explains nothing
        if one is not None and one.whole:
            return [Finding("model", f"{one.said}, by the model {other}", True)]
    return []
