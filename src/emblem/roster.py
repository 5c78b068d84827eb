"""Which names a configuration serves: models, their query and document forms, and aliases."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

from emblem.config import AliasSettings, ModelSettings, Settings
from emblem.errors import ConfigError, InvalidRequest
from emblem.models import catalog
from emblem.models.reference import LATEST
from emblem.names import OPENAI_WIDTHS, Options, Served, check_options, combine
from emblem.offer import Offer
from emblem.types import Kind

Configured = tuple[Offer, ModelSettings, int]  # with the time it was fetched, in epoch seconds


def roster(
    configured: Iterable[Configured],
    settings: Settings,
    default: str,
    awaited: Collection[str] = (),
) -> tuple[Served, ...]:
    """Give every name that is served. Raises ConfigError for an alias that cannot be.

    ``default`` is the name of the default model, which OpenAI's names stand for while nothing is
    configured; ``awaited`` are models that are not known yet, and neither are their aliases.
    """
    configured = tuple(configured)
    served: dict[str, Served] = {}
    for model, own, created in configured:
        _add(served, _model(model, own, created, settings))
    for base in list(served.values()):
        for one in _by_kind(base):
            if one.name not in settings.aliases:
                _add(served, one)
    bases = dict(served)
    for name, alias in settings.aliases.items():
        if alias.model in awaited and alias.model not in bases:
            continue
        _add(served, _alias(name, alias, bases))
    for one in _openai(served.get(default), settings):
        served.setdefault(one.name, one)
    for model, own, _ in configured:
        for one in _other_names(served[model.name], own):
            served.setdefault(one.name, one)
    return tuple(served.values())


def _add(served: dict[str, Served], one: Served) -> None:
    if one.name in served:
        raise ConfigError(f"the name `{one.name}` stands for two things; give one another name")
    served[one.name] = one


def _model(model: Offer, own: ModelSettings, created: int, settings: Settings) -> Served:
    return Served(model.name, model, created, token_ids=own.token_ids or settings.token_ids)


def _by_kind(base: Served) -> list[Served]:
    """For clients that cannot send ``input_type``."""
    if not base.model.kinds:
        return []
    return [
        Served(
            name=f"{base.name}-{kind}",
            model=base.model,
            created=base.created,
            fixed=Options(kind=kind),
            token_ids=base.token_ids,
            alias_of=base.name,
        )
        for kind in Kind
    ]


def _alias(name: str, alias: AliasSettings, bases: Mapping[str, Served]) -> Served:
    if (base := bases.get(alias.model)) is None:
        raise ConfigError(
            f"[aliases.{name}] model = {alias.model!r} is not a model that is served; "
            f"those are {', '.join(bases)}"
        )
    asked = Options(
        alias.dimensions, alias.input_type, alias.output_dtype, alias.overflow, alias.priority
    )
    try:
        fixed = combine(base, asked)
        check_options(replace(base, name=name), fixed)
    except InvalidRequest as error:
        raise ConfigError(f"[aliases.{name}] {error.param}: {error}") from None
    return replace(
        base,
        name=name,
        fixed=fixed,
        token_ids=alias.token_ids or base.token_ids,
        alias_of=alias.model,
    )


def _openai(base: Served | None, settings: Settings) -> list[Served]:
    """OpenAI's names for the default model, so that existing code runs unchanged."""
    if base is None or settings.models:
        return []
    return [
        Served(name, base.model, base.created, token_ids=base.token_ids, alias_of=base.name)
        for name in OPENAI_WIDTHS
    ]


def _other_names(base: Served, own: ModelSettings) -> list[Served]:
    """Other names of a catalogue model: its repository's, and what Ollama calls it.

    Only a model that is the catalogue's has them, under the catalogue's own name.
    """
    row = catalog.find((own.source or base.name).removesuffix(f":{LATEST}"))
    if row is None or row.name != base.name or own.variant:
        return []
    if own.revision and (row.asset.hub is None or own.revision != row.asset.hub.revision):
        return []
    return [
        Served(name, base.model, base.created, token_ids=base.token_ids, alias_of=base.name)
        for name in row.names[1:]
    ]
