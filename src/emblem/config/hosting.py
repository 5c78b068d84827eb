"""Models that are served elsewhere: what their tables must and must not say together. Pure."""

from collections.abc import Mapping

import msgspec

from emblem.config.settings import ModelSettings, Settings
from emblem.config.upstreams import DeploymentSettings, variable_problem
from emblem.errors import ConfigError

# What only a model on disk has; a table without a local deployment must not say it.
_OF_A_FOLDER = ("revision", "variant", "backend", "load")
# What only a model that is elsewhere needs to be said of.
_OF_AN_UPSTREAM = ("space", "width", "max_length", "tokenizer", "shortening", "normalised")


def deployments(own: ModelSettings) -> tuple[DeploymentSettings, ...]:
    """Give where a model is served; none for one that is here alone."""
    if own.upstream:
        return (DeploymentSettings(own.upstream, own.source),)
    return own.deployments


def check_hosting(settings: Settings, origins: Mapping[str, str]) -> None:
    """Raise ConfigError for the first thing that cannot be meant, naming where it came from."""
    for name, upstream in settings.upstreams.items():
        where = f"{origins[f'upstreams.{name}']}: [upstreams.{name}]"
        for variable in upstream.key_env:
            if problem := variable_problem(variable):
                raise ConfigError(f"{where} {problem}")
        if upstream.key_env and upstream.key_file:
            raise ConfigError(f"{where} has key_env and key_file; one of them is enough")
    for name, own in settings.models.items():
        if problem := _problem(own):
            raise ConfigError(f"{origins[f'models.{name}']}: [models.{name}] {problem}")


def _problem(own: ModelSettings) -> str | None:
    if own.upstream and own.deployments:
        return "has upstream and deployments; upstream is short for a single deployment"
    where = deployments(own)
    for place, one in enumerate(where):
        if one.local == bool(one.upstream):
            return f'deployments[{place}] needs either upstream = "…" or local = true'
        if one.local and one.model:
            return f"deployments[{place}] is local, so it has no model = …; source names the model"
    local = [one for one in where if one.local]
    if len(local) > 1:
        return "has two local deployments, and one process has a model once"
    if not where:
        given = _given(own, _OF_AN_UPSTREAM)
        return f"has {given}, which is for models of an upstream" if given else None
    if local:
        given = _given(own, tuple(one for one in _OF_AN_UPSTREAM if one != "tokenizer"))
        return f"has {given}, and the local deployment says it all" if given else None
    given = _given(own, _OF_A_FOLDER)
    return f"has {given}, which is for models on disk" if given else None


def _given(own: ModelSettings, names: tuple[str, ...]) -> str | None:
    defaults = {field.name: field.default for field in msgspec.structs.fields(ModelSettings)}
    return next((one for one in names if getattr(own, one) != defaults[one]), None)
