"""Visiting deployments one after another."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from emblem.cli.canaries import Check
from emblem.cli.doctor_checks import Patient, looked_at
from emblem.errors import EmblemError
from emblem.types import Kind

if TYPE_CHECKING:
    from emblem.config import Settings
    from emblem.upstreams.provider import Provider

# What a first answer that fails says, and which question that answers.
_SAYS = (
    ("reach", ("cannot be reached", "did not answer", "connection lost")),
    ("key", ("API key",)),
    ("model", ("answers 404", "does not have the model")),
)


@dataclass(frozen=True, slots=True)
class Visit:
    """A deployment to look at: of a provider, or here where there is none.

    ``model`` is what it is called here, ``theirs`` what the provider calls it; ``width`` and
    ``longest`` are what the settings say of it.
    """

    model: str
    deployment: str
    provider: Provider | None = None
    theirs: str = ""
    width: int | None = None
    longest: int | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen of a deployment. ``space`` is "" where it did not answer."""

    model: str
    deployment: str
    space: str
    ok: bool
    checks: tuple[Check, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """What was seen of all of them."""

    ok: bool
    deployments: tuple[Seen, ...]


@dataclass(slots=True, eq=False)
class _Open:
    """A visit in progress: what was seen so far, and who answers, None where nobody does."""

    visit: Visit
    checks: list[Check]
    patient: Patient | None = None


async def visited(visits: Sequence[Visit], settings: Settings, timeout_s: float) -> Report:
    """Look at every deployment, and then hold those of a model to its space."""
    seen: list[Seen] = []
    for model in dict.fromkeys(one.model for one in visits):
        async with AsyncExitStack() as stack:
            mine = [
                await _visit(one, settings, timeout_s, stack)
                for one in visits
                if one.model == model
            ]
            if model in settings.models and any(one.visit.provider for one in mine):
                await _prove(mine, settings)
            seen += [_seen(one) for one in mine]
    return Report(all(one.ok for one in seen), tuple(seen))


def _seen(one: _Open) -> Seen:
    space = str(one.patient.embedder.space) if one.patient else ""
    ok = all(check.ok is not False for check in one.checks)
    return Seen(one.visit.model, one.visit.deployment, space, ok, tuple(one.checks))


async def _visit(
    visit: Visit, settings: Settings, timeout_s: float, stack: AsyncExitStack
) -> _Open:
    try:
        if visit.provider is None:
            checks, patient = await _here(visit, settings, stack)
        else:
            checks, patient = await _there(visit, visit.provider, timeout_s, stack)
    except EmblemError as error:
        return _Open(visit, failed(str(error)))
    return _Open(visit, [*checks, *await looked_at(patient)], patient)


async def _here(
    visit: Visit, settings: Settings, stack: AsyncExitStack
) -> tuple[list[Check], Patient]:
    from emblem import opening, serving
    from emblem.cli.progress import bars

    with bars() as progress:
        model = await asyncio.to_thread(serving.model, visit.model, settings, progress)
    embedder = await asyncio.to_thread(opening.open_engine, model, settings)
    stack.push_async_callback(embedder.aclose)
    shortens = model.shortening
    patient = Patient(embedder, shortens=shortens, longest=model.tokenization.max_length)
    return [Check("model", True, "is here")], patient


async def _there(
    visit: Visit, provider: Provider, timeout_s: float, stack: AsyncExitStack
) -> tuple[list[Check], Patient]:
    from emblem.upstreams.opening import connect
    from emblem.upstreams.presets import BASE64
    from emblem.upstreams.server import Server
    from emblem.wrappers.checked import Checked

    preset, known = provider.preset, provider.preset.known(visit.theirs)
    bounded = replace(provider, timeout_s=min(provider.timeout_s, timeout_s))
    # Nothing is tried again: what fails now and then is to be seen.
    upstream = await connect(bounded, visit.theirs, server=Server(bounded, visit.theirs))
    stack.push_async_callback(upstream.aclose)
    found = upstream.found
    name = found.model if found and found.model else "nothing"
    keys = bool(provider.keys) or provider.key_file is not None
    checks = [
        Check("reach", True, f"{provider.host} answers"),
        Check("key", True if keys else None, "is taken" if keys else "none is sent"),
        Check("model", True, f"{visit.theirs!r} is called {name!r} in answers"),
    ]
    width = visit.width or (known.width if known else None)
    if width is not None:
        given = upstream.space.width
        checks.append(Check("width", given == width, f"{given} numbers, {width} are due"))
    return checks, Patient(
        Checked(upstream),
        kind=Kind.DOCUMENT if preset.needs_kind else None,
        base64=(found.base64 if found else False) if BASE64 in preset.encodings else None,
        refuses_long=preset.refuses_long is not None,
        longest=visit.longest or (known.length if known else None),
    )


def failed(said: str) -> list[Check]:
    """Say which question a failure answers; those before it were answered well."""
    for place, (name, words) in enumerate(_SAYS):
        if any(one in said for one in words):
            before = [Check(asked, True, "is as it must be") for asked, _ in _SAYS[:place]]
            return [*before, Check(name, False, said)]
    return [Check("answer", False, said)]


async def _prove(visits: Sequence[_Open], settings: Settings) -> None:
    """Hold those that answer to the space of their model, as a server does."""
    from emblem.cli.doctor_proofs import NAME, proven

    answering = [one for one in visits if one.patient is not None]
    if not answering:
        return
    here = (one.patient.embedder for one in answering if one.patient and one.visit.provider is None)
    try:
        checks = await proven(visits[0].visit.model, settings, next(here, None))
    except EmblemError as error:
        answering[0].checks.append(Check(NAME, False, str(error)))
        return
    for one in answering:
        if one.visit.deployment in checks:
            one.checks.append(checks[one.visit.deployment])
