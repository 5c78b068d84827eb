"""Models that are served elsewhere: who has them, and what is known of them before they are asked.

What the configuration says comes first, then what is known of the provider's model, then what the
upstream itself answers to one short text. Deployments that are known to be of two models are refused
here; whether those of one model really share a space is proven when they are opened.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from emblem.config import (
    DeploymentSettings,
    ModelSettings,
    Settings,
    UpstreamSettings,
    deployments,
    environment,
    upstream_keys,
)
from emblem.errors import ConfigError, EmblemError
from emblem.model import Model, Tokenization
from emblem.offer import Hosted, Offer, Prompts
from emblem.space import Space
from emblem.types import Overflow
from emblem.upstreams.presets import Known, Preset, preset
from emblem.upstreams.provider import Provider

if TYPE_CHECKING:
    from emblem.upstreams.finding import Probed

LOCAL = "local"


@dataclass(frozen=True, slots=True)
class Deployment:
    """One place that serves a model: here, where ``upstream`` is "", or an upstream.

    ``name`` is what answers, metrics and the log call it, ``model`` what the upstream calls it.
    """

    name: str
    upstream: str
    model: str
    weight: float
    max_requests: int


@dataclass(frozen=True, slots=True)
class Hosting:
    """A model with more places than this process, or others. Plain values, without any key.

    ``tokenization`` is how the texts of upstreams are counted and cut before they are sent; None
    where nobody here knows.
    """

    offer: Offer
    deployments: tuple[Deployment, ...]
    tokenization: Tokenization | None = None

    @property
    def local(self) -> bool:
        """Tell whether the model is here, too."""
        return any(not one.upstream for one in self.deployments)


def is_hosted(own: ModelSettings) -> bool:
    """Tell whether a model has any place but this process."""
    return any(not one.local for one in deployments(own))


def is_local(own: ModelSettings) -> bool:
    """Tell whether a model is here: alone, or with deployments elsewhere."""
    given = deployments(own)
    return not given or any(one.local for one in given)


def provider(name: str, settings: Settings, environ: Mapping[str, str]) -> Provider:
    """Give an upstream with its preset and its keys. Raises ConfigError.

    One without a table of its own is the preset of that name.
    """
    own = settings.upstreams.get(name) or UpstreamSettings()
    try:
        known = _preset(name, own)
    except ConfigError as error:
        listed = ", ".join(settings.upstreams) or "none"
        raise ConfigError(
            f"the upstream {name!r} has no table [upstreams.{name}] (there are: {listed}), and {error}"
            if name not in settings.upstreams
            else f"[upstreams.{name}] {error}"
        ) from None
    return Provider(
        name=name,
        preset=known,
        base_url=own.base_url,
        keys=upstream_keys(own, known.key_variable, environ),
        key_file=Path(own.key_file) if own.key_file else None,
        connect_timeout_s=own.connect_timeout_s,
        read_timeout_s=own.read_timeout_s,
        timeout_s=own.timeout_s,
    )


Tokenizers = Callable[[str, int], Tokenization | None]


def host(
    name: str,
    own: ModelSettings,
    local: Model | None,
    settings: Settings,
    tokenizers: Tokenizers,
) -> Hosting:
    """Say where a model is served and what may be asked of it; ``local`` is what is here of it.

    Asks upstreams for what nobody has said: the width, above all. ``tokenizers`` gives the
    tokenizer of that name for a model that reads so many tokens. Raises ConfigError or ModelError.
    """
    environ = environment()
    places = _named(name, deployments(own))
    where = f"[models.{name}]"
    asked = [
        _Asked(one, provider(one.upstream, settings, environ)) for one in places if one.upstream
    ]
    _refuse_two_models(where, asked)
    if local is not None:
        return Hosting(local, places, local.tokenization)
    first = _first_known(asked)
    found = _Found(where, own, first)
    if found.lacks_width or any(one.provider.preset.dialect == "emblem" for one in asked):
        found.probed = _probe(where, asked)
    _refuse_silent_cuts(found, asked)
    reading = None
    if found.tokenizer and found.length is not None:
        reading = tokenizers(found.tokenizer, found.length)
    offer = _offer(name, found, asked, own.overflow or settings.overflow, cuts=reading is not None)
    return Hosting(offer, places, reading)


@dataclass(frozen=True, slots=True)
class _Asked:
    """A deployment that is elsewhere, and whose it is."""

    deployment: Deployment
    provider: Provider

    @property
    def known(self) -> Known | None:
        return self.provider.preset.known(self.deployment.model)


@dataclass(slots=True)
class _Found:
    """What is known of a model that is elsewhere, from wherever that is."""

    where: str
    own: ModelSettings
    known: Known | None
    probed: "Probed | None" = None

    @property
    def lacks_width(self) -> bool:
        return self.own.width is None and self.known is None

    @property
    def width(self) -> int:
        if self.own.width is not None:
            return self.own.width
        if self.known is not None:
            return self.known.width
        return self.probed.width if self.probed else 0  # it is probed for exactly this

    @property
    def length(self) -> int | None:
        return self.own.max_length or (self.known.length if self.known else None)

    @property
    def tokenizer(self) -> str:
        return self.own.tokenizer or (self.known.tokenizer if self.known else "")

    @property
    def normalised(self) -> bool:
        if self.own.normalised is not None:
            return self.own.normalised
        if self.probed is not None:
            return self.probed.normalised
        return self.known.normalised if self.known else False

    @property
    def shortening(self) -> bool:
        if self.own.shortening is not None:
            return self.own.shortening
        return self.known.shortening if self.known else False


def _preset(name: str, own: UpstreamSettings) -> Preset:
    """Give the preset of an upstream, with what its table says instead."""
    row = preset(own.preset or name)
    field = row.dimensions_field if own.dimensions_field is None else own.dimensions_field
    return replace(
        row,
        encodings=own.encodings or row.encodings,
        max_inputs=own.max_inputs or row.max_inputs,
        max_request_tokens=own.max_request_tokens or row.max_request_tokens,
        max_request_bytes=own.max_request_bytes or row.max_request_bytes,
        dimensions_field=field or None,
        query=f"api-version={own.api_version}" if own.api_version else row.query,
    )


def _named(name: str, given: Sequence[DeploymentSettings]) -> tuple[Deployment, ...]:
    """Name each deployment after its upstream, and after its model too where that is not enough."""
    often = [one.upstream for one in given]
    made = [
        Deployment(
            LOCAL
            if one.local
            else (
                one.upstream
                if often.count(one.upstream) == 1
                else f"{one.upstream}/{one.model or name}"
            ),
            one.upstream,
            one.model or name,
            one.weight,
            one.max_requests,
        )
        for one in given
    ]
    twice = [one.name for one in made if [other.name for other in made].count(one.name) > 1]
    if twice:
        raise ConfigError(f"[models.{name}] has the deployment {twice[0]} twice")
    return tuple(made)


def _refuse_two_models(where: str, asked: Sequence[_Asked]) -> None:
    """Raise ConfigError where deployments are known to be in two spaces: no fallback crosses that."""
    known = [(one, one.known) for one in asked]
    found = {row.name: one for one, row in known if row is not None}
    if len(found) > 1:
        each = " and ".join(f"{name} ({one.deployment.name})" for name, one in found.items())
        raise ConfigError(
            f"{where} has deployments of {each}, whose vectors cannot be compared; give each a "
            "name of its own"
        )


def _first_known(asked: Sequence[_Asked]) -> Known | None:
    return next((one.known for one in asked if one.known is not None), None)


def _refuse_silent_cuts(found: _Found, asked: Sequence[_Asked]) -> None:
    """Raise ConfigError where an upstream would cut long texts, and nobody could tell which."""
    if found.length is not None:
        return
    if found.tokenizer:
        raise ConfigError(
            f"{found.where} has a tokenizer; say max_length, too: how many tokens it reads at once"
        )
    cutting = [one for one in asked if one.provider.preset.refuses_long is None]
    if cutting:
        raise ConfigError(
            f"{found.where} needs max_length, the tokens that the model reads at once: "
            f"{cutting[0].deployment.name} may cut longer texts without a word"
        )


def _probe(where: str, asked: Sequence[_Asked]) -> "Probed":
    """Ask the deployments in their order until one answers."""
    from emblem.upstreams.opening import probe

    problems = []
    for one in asked:
        try:
            return asyncio.run(probe(one.provider, one.deployment.model))
        except EmblemError as error:
            problems.append(str(error))
    raise ConfigError(
        f"{where} has no width = …, and it could not be found out: {'; '.join(problems)}"
    )


def _offer(
    name: str, found: _Found, asked: Sequence[_Asked], rule: Overflow, *, cuts: bool
) -> Hosted:
    """Say what may be asked of a model; ``cuts`` tells that long texts can be cut here."""
    own, probed = found.own, found.probed
    prompts = Prompts(own.query_prompt, own.document_prompt)
    told = all(one.provider.preset.kinds for one in asked)
    if prompts and told:
        raise ConfigError(
            f"{found.where} has prompts, and {asked[0].deployment.name} is told itself what a text "
            "is for; leave query_prompt and document_prompt out"
        )
    if probed is not None and probed.named is not None:
        rule = own.overflow or probed.named.overflow
    elif not cuts:
        rule = Overflow.ERROR  # nobody here can tell where a text would have to be cut
    declared = _space(found, asked)
    space = Space.declared(declared, found.width, normalised=found.normalised, overflow=rule)
    return Hosted(
        name=name,
        space=space,
        max_length=found.length,
        kinds=told or bool(prompts),
        prompts=prompts,
        shortening=found.shortening,
    )


def _space(found: _Found, asked: Sequence[_Asked]) -> str:
    """Give the declared name of a space."""
    if found.own.space:
        return found.own.space
    if found.probed is not None and found.probed.named is not None:
        return found.probed.named.name
    first = next((one for one in asked if one.known is not None), asked[0])
    whose = first.provider.preset.name if first.known else first.provider.name
    return f"{whose}/{first.deployment.model}"
