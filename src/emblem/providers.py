"""Upstreams as they are configured: their presets, with what their tables change."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from emblem.config import Settings, UpstreamSettings, upstream_keys
from emblem.errors import ConfigError
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
            environment_proxies=own.environment_proxies,
        )
    except ConfigError as error:
        raise ConfigError(f"[upstreams.{name}] {error}") from None


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
        refuses_long=_refuses_long(row, own),
        query=f"api-version={own.api_version}" if own.api_version else row.query,
    )


def _refuses_long(row: Preset, own: UpstreamSettings) -> Fields | None:
    """Give the fields with which long texts are refused; None where they are cut."""
    if own.refuses_long is None:
        return row.refuses_long
    return (row.refuses_long or NOTHING) if own.refuses_long else None
