"""Models that are served elsewhere: who has them, and what is known of them before they are asked.

What the configuration says comes first, then what is known of the provider's model, then what the
upstream itself answers to one short text. Deployments that are known to be of two models are refused
here; whether those of one model really share a space is proven when they are opened.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from emblem.config import (
    DeploymentSettings,
    ModelSettings,
    Settings,
    deployments,
    environment,
)
from emblem.errors import (
    ConfigError,
    DeadlineExceeded,
    DeploymentFailed,
    EmblemError,
    ModelError,
    Overloaded,
)
from emblem.model import Model, Tokenization
from emblem.offer import Hosted, Offer, Prompts
from emblem.providers import called, provider
from emblem.space import Space, recipe_digest
from emblem.types import Overflow
from emblem.upstreams.presets import Known, preset
from emblem.upstreams.provider import Provider

if TYPE_CHECKING:
    from emblem.upstreams.answers import Named
    from emblem.upstreams.finding import Probed
    from emblem.upstreams.listing import Listed

LOCAL = "local"
LOOK_S = 15.0  # that a start waits for another Emblem, which may come later


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


Tokenizers = Callable[[str, int], Tokenization | None]
Looked = tuple["Probed", "Listed | None"]


class NotThere(ConfigError):
    """Another Emblem does not answer now, and nobody here knows what it gives."""


def host(
    name: str,
    own: ModelSettings,
    local: Model | None,
    settings: Settings,
    tokenizers: Tokenizers,
    looked: Looked | None = None,
) -> Hosting:
    """Say where a model is served and what may be asked of it; ``local`` is what is here of it.

    Asks upstreams for what nobody has said, the width above all, unless ``looked`` is what ``look``
    gave. ``tokenizers`` gives the tokenizer of that name for a model that reads so many tokens.
    Raises ConfigError, which is NotThere where another Emblem may answer later, or ModelError.
    """
    places = _named(name, deployments(own))
    where = f"[models.{name}]"
    asked = _asked(where, places, settings)
    _refuse_two_models(where, asked)
    if local is not None:
        return Hosting(local, places, local.tokenization)
    first = _first_known(asked)
    found = _Found(where, own, first)
    emblem = any(one.speaks_emblem for one in asked)
    if found.width is None or (emblem and not (own.width and own.space)):
        found.probed, found.listed = looked or _look(where, asked)
    _refuse_silent_cuts(found, asked)
    reading = None
    if found.tokenizer and found.length is not None:
        try:
            reading = tokenizers(found.tokenizer, found.length)
        except (ConfigError, ModelError) as error:
            raise ConfigError(f"{where} tokenizer = {found.tokenizer!r}: {error}") from None
    offer = _offer(name, found, asked, own.overflow or settings.overflow, cuts=reading is not None)
    return Hosting(offer, places, reading)


async def look(name: str, own: ModelSettings, settings: Settings) -> Looked:
    """Ask the deployments of a model what it is, for ``host``. Raises as that does."""
    where = f"[models.{name}]"
    return await _looked(where, _asked(where, _named(name, deployments(own)), settings))


def _asked(where: str, places: Sequence[Deployment], settings: Settings) -> "list[_Asked]":
    environ = environment()
    try:
        return [
            _Asked(one, provider(one.upstream, settings, environ)) for one in places if one.upstream
        ]
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None


@dataclass(frozen=True, slots=True)
class _Asked:
    """A deployment that is elsewhere, and whose it is."""

    deployment: Deployment
    provider: Provider

    @property
    def known(self) -> Known | None:
        return self.provider.preset.known(self.deployment.model)

    @property
    def speaks_emblem(self) -> bool:
        return self.provider.preset.dialect == "emblem"


@dataclass(slots=True)
class _Found:
    """What is known of a model that is elsewhere, from wherever that is: the first that says it."""

    where: str
    own: ModelSettings
    known: Known | None
    probed: "Probed | None" = None
    listed: "Listed | None" = None

    @property
    def width(self) -> int | None:
        said = (self.own, "width"), (self.known, "width"), (self.probed, "width")
        width: int | None = _first(*said)
        return width

    @property
    def length(self) -> int | None:
        said = (self.own, "max_length"), (self.known, "length"), (self.listed, "max_model_len")
        length: int | None = _first(*said)
        return length

    @property
    def tokenizer(self) -> str:
        return self.own.tokenizer or (self.known.tokenizer if self.known else "")

    @property
    def normalised(self) -> bool:
        said = (self.own, "normalised"), (self.probed, "normalised"), (self.known, "normalised")
        return bool(_first(*said))

    @property
    def shortening(self) -> bool:
        if self.own.shortening is None and self.listed is not None:
            return self.listed.allowed_dimensions.min < self.listed.allowed_dimensions.max
        return bool(_first((self.own, "shortening"), (self.known, "shortening")))


def _first(*said: tuple[object | None, str]) -> Any:
    """Give the first of some attributes that says anything."""
    each = (getattr(whose, name) for whose, name in said if whose is not None)
    return next((one for one in each if one is not None), None)


def _named(name: str, given: Sequence[DeploymentSettings]) -> tuple[Deployment, ...]:
    """Name each deployment after its upstream, and after its model too where that is not enough."""
    made = [
        Deployment(
            LOCAL if one.local else called(one, given, name),
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


def _look(where: str, asked: Sequence[_Asked]) -> Looked:
    """Look where no event loop runs."""
    return asyncio.run(_looked(where, asked))


async def _looked(where: str, asked: Sequence[_Asked]) -> Looked:
    """Ask the deployments in their order until one answers; an Emblem for what it lists, too."""
    emblems = [one for one in asked if one.speaks_emblem]
    errors: list[EmblemError] = []
    for one in emblems or asked:  # whoever else is there must not decide what the space is called
        try:
            async with asyncio.timeout(LOOK_S if emblems else None):
                return await _look_at(one)
        except TimeoutError:
            said = f"{one.deployment.upstream} did not answer within {LOOK_S:g} s"
            errors.append(DeadlineExceeded(said))
        except EmblemError as error:
            errors.append(error)
    why = (
        "is served by another Emblem, and what it gives could not be found out"
        if emblems
        else "has no width = …, and it could not be found out"
    )
    said = f"{where} {why}: {'; '.join(map(str, errors))}"
    raise NotThere(said) if emblems and any(map(_passes, errors)) else ConfigError(said)


def _passes(error: EmblemError) -> bool:
    """Tell whether whoever asks later may be answered."""
    if isinstance(error, DeploymentFailed):
        return not error.lasting
    return isinstance(error, Overloaded | DeadlineExceeded)


async def _look_at(one: _Asked) -> Looked:
    from emblem.upstreams.listing import listed
    from emblem.upstreams.opening import probe

    model = one.deployment.model
    seen = await listed(one.provider, model) if one.speaks_emblem else None
    return await probe(one.provider, model), seen


def _offer(
    name: str, found: _Found, asked: Sequence[_Asked], rule: Overflow, *, cuts: bool
) -> Hosted:
    """Say what may be asked of a model; ``cuts`` tells that long texts can be cut here."""
    own = found.own
    prompts = Prompts(own.query_prompt, own.document_prompt)
    told = all(one.provider.preset.kinds for one in asked)
    told = told and (found.listed is None or bool(found.listed.prompts))
    if prompts and told:
        raise ConfigError(
            f"{found.where} has prompts, and {asked[0].deployment.name} is told itself what a text "
            "is for; leave query_prompt and document_prompt out"
        )
    named = _named_by_emblem(found, asked)
    if named is not None:
        rule = own.overflow or named.overflow
    elif not cuts:
        rule = Overflow.ERROR  # nobody here can tell where a text would have to be cut
    declared = own.space or (named.name if named else _called(found, asked, cuts=cuts))
    width = found.width or 0  # whoever does not say it was asked for it
    space = Space.declared(declared, width, normalised=found.normalised, overflow=rule)
    return Hosted(
        name=name,
        space=space,
        max_length=found.length,
        kinds=told or bool(prompts),
        prompts=prompts,
        languages=found.listed.languages if found.listed else (),
        shortening=found.shortening,
    )


def _named_by_emblem(found: _Found, asked: Sequence[_Asked]) -> "Named | None":
    """Give the space that another Emblem names; None where one is spoken to as to any other server.

    What is put before its texts and where they are cut is decided here then, and not in that space.
    """
    if found.probed is None or not any(one.speaks_emblem for one in asked):
        return None
    return found.probed.named


def _called(found: _Found, asked: Sequence[_Asked], *, cuts: bool) -> str:
    """Name a space after the provider and its model, and after what the table adds to that.

    With other prompts, or with long texts cut elsewhere, vectors are others.
    """
    own = found.own
    first = next((one for one in asked if one.known is not None), asked[0])
    whose = first.provider.preset.name if first.known else first.provider.name
    added: dict[str, object] = {}
    if own.query_prompt or own.document_prompt:
        added["prompts"] = [own.query_prompt or "", own.document_prompt or ""]
    if cuts and own.max_length is not None:
        added["max_length"] = own.max_length
    if (kinds := first.provider.preset.kinds) != preset(first.provider.preset.name).kinds:
        added["kinds"] = kinds
    digest = f"@{recipe_digest(added)[:8]}" if added else ""
    return f"{whose}/{first.deployment.model}{digest}"
