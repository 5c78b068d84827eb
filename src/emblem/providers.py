"""Upstreams as they are configured: their presets, with what their tables change."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from emblem.config import (
    DeploymentSettings,
    Settings,
    UpstreamSettings,
    upstream_headers,
    upstream_keys,
)
from emblem.errors import ConfigError
from emblem.types import Kind
from emblem.upstreams.presets import NOTHING, Fields, Preset, preset
from emblem.upstreams.provider import Provider


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
    try:
        return Provider(
            name=name,
            preset=known,
            base_url=own.base_url,
            keys=upstream_keys(own, known.key_variable, environ),
            key_file=Path(own.key_file) if own.key_file else None,
            connect_timeout_s=own.connect_timeout_s,
            read_timeout_s=own.read_timeout_s,
            timeout_s=own.timeout_s,
            headers=upstream_headers(own, environ),
            environment_proxies=own.environment_proxies,
        )
    except ConfigError as error:
        raise ConfigError(f"[upstreams.{name}] {error}") from None


def called(one: DeploymentSettings, among: Sequence[DeploymentSettings], model: str) -> str:
    """Name a deployment of a model after its upstream, and what that calls it where it is needed."""
    alone = sum(other.upstream == one.upstream for other in among) == 1
    return one.upstream if alone else f"{one.upstream}/{one.model or model}"


def _preset(name: str, own: UpstreamSettings) -> Preset:
    """Give the preset of an upstream, with what its table says instead."""
    row = preset(own.preset or name)
    field = row.dimensions_field if own.dimensions_field is None else own.dimensions_field
    _refuse_kinds(own, row)
    return replace(
        row,
        kinds={Kind(kind): fields for kind, fields in own.kinds.items()} or row.kinds,
        encodings=own.encodings or row.encodings,
        max_inputs=own.max_inputs or row.max_inputs,
        max_request_tokens=own.max_request_tokens or row.max_request_tokens,
        max_request_bytes=own.max_request_bytes or row.max_request_bytes,
        dimensions_field=field or None,
        refuses_long=_refuses_long(row, own),
        query=f"api-version={own.api_version}" if own.api_version else row.query,
    )


def _refuse_kinds(own: UpstreamSettings, row: Preset) -> None:
    """Raise ConfigError for kinds that are said in fields which say something else."""
    if own.kinds and row.dialect == "emblem":
        raise ConfigError("has kinds, and another Emblem is told them by its own field")
    ours = {row.encoding_field, row.dimensions_field, own.dimensions_field}
    ours |= {*row.extra, *(row.refuses_long or ())}
    for kind, fields in own.kinds.items():
        if taken := next((name for name in fields if name in ours), None):
            raise ConfigError(f"kinds {kind} may not set {taken!r}: Emblem itself does")


def _refuses_long(row: Preset, own: UpstreamSettings) -> Fields | None:
    """Give the fields with which long texts are refused; None where they are cut."""
    if own.refuses_long is None:
        return row.refuses_long
    return (row.refuses_long or NOTHING) if own.refuses_long else None
