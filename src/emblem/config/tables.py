"""The tables of ``emblem.toml``: ``[models.NAME]`` and their like."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec

from emblem.config.fields import Placed, read_headers, read_kinds
from emblem.config.passing import ChatSettings, RerankSettings
from emblem.config.prices import per_million
from emblem.config.settings import AliasSettings, ModelSettings
from emblem.config.upstreams import DeploymentSettings, UpstreamSettings
from emblem.config.values import convert, nearest
from emblem.errors import ConfigError

_TABLES: Mapping[str, type[msgspec.Struct]] = MappingProxyType(
    {
        "upstreams": UpstreamSettings,
        "models": ModelSettings,
        "aliases": AliasSettings,
        "chat": ChatSettings,
        "rerank": RerankSettings,
    }
)
# Lists of tables within one, and what each of them is.
_LISTS: Mapping[str, type[msgspec.Struct]] = MappingProxyType({"deployments": DeploymentSettings})
# Tables within one that have names of their own, and who reads them.
_READERS: Mapping[str, Callable[[Any, str, Placed], Any]] = MappingProxyType(
    {"headers": read_headers, "kinds": read_kinds}
)


def read_table(kind: str, content: Any, file: Path, placed: Placed) -> dict[str, Any]:
    """Check ``[prices]``, or every ``[models.NAME]``, ``[aliases.NAME]`` and their like.

    Gives the entries by their names. Raises ConfigError for the first that is wrong.
    """
    if kind == "prices":
        return _prices(content, file)
    if not isinstance(content, dict) or not all(isinstance(one, dict) for one in content.values()):
        raise ConfigError(f"{file}: {kind} must be tables, each written [{kind}.NAME]")
    return {
        name: _entry(_TABLES[kind], entry, f"{file}: [{kind}.{name}]", placed)
        for name, entry in content.items()
    }


def refuse_unknown(given: Iterable[str], names: Iterable[str], file: Path) -> None:
    """Raise ConfigError for a setting that there is not."""
    _refuse_unknown(given, names, f"{file}: there is no setting")


def _refuse_unknown(given: Iterable[str], names: Iterable[str], place: str) -> None:
    names = list(names)
    for name in given:
        if name not in names:
            raise ConfigError(f"{place} {name!r}{nearest(name, names)}")


def _prices(content: Any, file: Path) -> dict[str, str]:
    if not isinstance(content, dict):
        raise ConfigError(f'{file}: prices must be a table: [prices], and lines such as "*" = 0.02')
    return {
        name: per_million(price, f"{file}: [prices] {name!r}") for name, price in content.items()
    }


def _entry(kind: type[msgspec.Struct], entry: dict[str, Any], where: str, placed: Placed) -> Any:
    """Make one of a kind of what a table says. ``where`` names the table."""
    fields = {field.name: field for field in msgspec.structs.fields(kind)}
    _refuse_unknown(entry, fields, f"{where} has no key")
    missing = [key for key, field in fields.items() if field.required and key not in entry]
    if missing:
        raise ConfigError(f"{where} needs {missing[0]!r}")

    def read(key: str, value: Any) -> Any:
        if key in _LISTS:
            return _list(_LISTS[key], value, f"{where} {key}", placed)
        if key in _READERS:
            return _READERS[key](value, f"{where} {key}", placed)
        return placed(key, convert(value, fields[key].type, where=f"{where} {key}", text=False))

    return kind(**{key: read(key, value) for key, value in entry.items()})


def _list(kind: type[msgspec.Struct], value: Any, where: str, placed: Placed) -> tuple[Any, ...]:
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise ConfigError(
            f'{where} must be a list of tables, such as [{{ upstream = "openai" }}, '
            "{ local = true }]"
        )
    return tuple(_entry(kind, one, f"{where}[{place}]", placed) for place, one in enumerate(value))
