"""The headers that are sent to an upstream with every request, from wherever their values are."""

from collections.abc import Mapping
from pathlib import Path

from emblem.config.address import read_secret
from emblem.config.fields import HeaderSettings
from emblem.config.upstreams import UpstreamSettings
from emblem.errors import ConfigError


def upstream_headers(settings: UpstreamSettings, environ: Mapping[str, str]) -> Mapping[str, str]:
    """Give the headers that are sent with every request, from wherever their values are.

    Raises ConfigError where a variable is not set or a file cannot be read.
    """
    return {name: _value(name, one, environ) for name, one in settings.headers.items()}


def _value(name: str, header: HeaderSettings, environ: Mapping[str, str]) -> str:
    if header.file:
        return read_secret(Path(header.file), f"the file of the header {name!r}", "its value")
    if not header.env:
        return header.value
    value = environ.get(header.env, "").strip()
    if not value:
        raise ConfigError(f"the header {name!r} is in the variable {header.env}, which is not set")
    return value
