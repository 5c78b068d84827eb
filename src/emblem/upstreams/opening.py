"""Opening a model that is served elsewhere: one deployment, a look at it, or one for the command line."""

import time
from collections.abc import Callable
from dataclasses import replace

from emblem.offer import Prompts
from emblem.space import Space
from emblem.types import Overflow
from emblem.upstreams.asking import Hosted
from emblem.upstreams.finding import Probed, Spoken, find_out
from emblem.upstreams.hosted import HostedUpstream
from emblem.upstreams.presets import Preset, preset
from emblem.upstreams.provider import Provider
from emblem.upstreams.retrying import Patient
from emblem.upstreams.server import Posting, Server

__all__ = [
    "Preset",
    "Probed",
    "Provider",
    "connect",
    "open_upstream",
    "preset",
    "probe",
    "provider_at",
]

CONNECT_S = 10.0

Clock = Callable[[], float]


def open_upstream(
    provider: Provider,
    model: str,
    space: Space,
    *,
    shortening: bool | None = None,
    prompts: Prompts | None = None,
    clock: Clock = time.monotonic,
) -> HostedUpstream:
    """Open one deployment of a model, by the provider's name for it. Nothing is sent yet.

    ``space`` is what its vectors are declared to be. ``shortening`` says that fewer dimensions are
    the first numbers of the full vector; None is what is known of the model. ``prompts`` are put
    before texts where the provider knows no kinds. Nothing is tried again, but with another key.
    Raises ConfigError where a key file cannot be read.
    """
    known = provider.preset.known(model)
    shortens = (known is not None and known.shortening) if shortening is None else shortening
    hosted = Hosted(space, _spoken(provider, model), shortens, prompts or Prompts())
    return HostedUpstream(hosted, Server(provider, model, clock=clock))


def provider_at(base_url: str, key: str | None = None, *, timeout_s: float = 60.0) -> Provider:
    """Give a server that is known by its address alone, and is called after its host.

    Proxies of the environment are used: whoever gives an address on the command line means them.
    Raises ConfigError.
    """
    found = Provider(
        "the server",
        preset("openai-compatible"),
        base_url,
        keys=(key,) if key else (),
        connect_timeout_s=min(CONNECT_S, timeout_s),
        read_timeout_s=timeout_s,
        timeout_s=timeout_s,
        environment_proxies=True,
    )
    return replace(found, name=found.host)


async def probe(
    provider: Provider, model: str, *, deadline: float = float("inf"), width: int | None = None
) -> Probed:
    """Embed a short text and say what came: width, norm, names, and whether base64 is honoured.

    ``deadline`` is in seconds of the monotonic clock, ``width`` how many numbers are due, None where
    that is to be found out. Raises what ``Embedder.embed`` raises.
    """
    server = Server(provider, model)
    try:
        return await find_out(server, _spoken(provider, model), deadline, width)
    finally:
        await server.aclose()


async def connect(
    provider: Provider, model: str, *, retry_s: float = 120.0, server: Posting | None = None
) -> HostedUpstream:
    """Open a model with the space that a first text shows; what passes is tried again.

    The space is the one that another Emblem names; any other server's is called after the provider
    and the model. A server that is not there is not waited for. Raises what ``embed`` raises.
    """
    posting = server or Patient(Server(provider, model), retry_s)
    try:
        spoken = _spoken(provider, model)
        found = await find_out(posting, spoken, posting.until(float("inf")), None)
    except BaseException:
        await posting.aclose()
        raise
    named = found.named
    if named is not None:
        spoken = replace(spoken, preset=_emblem(provider.preset))
    space = Space.declared(
        named.name if named else f"{provider.name}/{model}",
        found.width,
        normalised=found.normalised,
        overflow=named.overflow if named else Overflow.MEAN,
    )
    return HostedUpstream(Hosted(space, spoken), posting, found)


def _spoken(provider: Provider, model: str) -> Spoken:
    return Spoken(provider.name, provider.preset, model)


def _emblem(given: Preset) -> Preset:
    """Give the preset of another Emblem, with the cap of the one that it was found with."""
    emblem = preset("emblem")
    return replace(emblem, max_inputs=min(emblem.max_inputs, given.max_inputs))
