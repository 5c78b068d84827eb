"""What one value's type cannot say: values that make no sense, alone or together. Pure."""

import ipaddress
import re
from collections.abc import Iterable, Mapping

from emblem.config.console import check_console
from emblem.config.deploying import check_proxies
from emblem.config.hosting import check_hosting
from emblem.config.passing import passing_problem, twice_named
from emblem.config.settings import Settings
from emblem.config.values import nearest
from emblem.errors import ConfigError

MIN_KEY_CHARACTERS = 16
SOURCES = ("cache", "hub", "index")

# As browsers write it: in lower case and without a path.
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://([a-z0-9._-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?")


def check(settings: Settings, origins: Mapping[str, str]) -> None:
    """Raise ConfigError for the first thing that cannot be meant, naming where it came from."""
    _check_api_key(settings.api_key, origins["api_key"])
    _check_host("host", settings.host, origins["host"])
    _check_host("metrics_host", settings.metrics_host, origins["metrics_host"])
    if settings.metrics_port == settings.port:
        raise ConfigError(
            f"metrics_port ({origins['metrics_port']}) is the server's own port, {settings.port}; "
            "/metrics is there too, for a key of role read or admin"
        )
    if not settings.auth and not is_loopback(settings.host):
        raise ConfigError(
            f"auth = false ({origins['auth']}) would let anyone in on host = {settings.host!r} "
            f"({origins['host']}); without keys Emblem listens on 127.0.0.1, ::1 or localhost only"
        )
    check_proxies(settings.trusted_proxies, origins["trusted_proxies"])
    check_console(settings, origins)
    for source in settings.sources:
        if source not in SOURCES:
            raise ConfigError(
                f"sources ({origins['sources']}) has {source!r}, which is none of "
                f"{', '.join(SOURCES)}{nearest(source, SOURCES)}"
            )
    for origin in settings.cors_origins:
        if origin != "*" and not _ORIGIN.fullmatch(origin):
            raise ConfigError(
                f"cors_origins ({origins['cors_origins']}) has {origin!r}; an origin is * or "
                "scheme://host[:port] in lower case, without a path"
            )
    if not settings.default_model.strip():
        raise ConfigError(f"default_model ({origins['default_model']}) is empty")
    _check_names("upstreams", settings.upstreams, origins)
    _check_names("models", settings.models, origins)
    _check_names("aliases", settings.aliases, origins)
    _check_names("chat", settings.chat, origins)
    _check_names("rerank", settings.rerank, origins)
    tables = ("models", "aliases", "chat", "rerank")
    if found := twice_named({table: getattr(settings, table) for table in tables}):
        name, first, second = found
        raise ConfigError(
            f"{origins[f'{second}.{name}']}: {name!r} is in both [{first}] and [{second}]; "
            "a name can be one of them only"
        )
    for table in ("chat", "rerank"):
        for name, own in getattr(settings, table).items():
            if problem := passing_problem(own, name):
                raise ConfigError(f"{origins[f'{table}.{name}']}: [{table}.{name}] {problem}")
    check_hosting(settings, origins)


def is_loopback(host: str) -> bool:
    """Tell whether only programs on this machine can reach an address."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _check_api_key(key: str, origin: str) -> None:
    if not key:
        return
    printable = key.isascii() and key.isprintable() and " " not in key
    if not printable or len(key) < MIN_KEY_CHARACTERS:
        raise ConfigError(
            f"api_key ({origin}) must be at least {MIN_KEY_CHARACTERS} printable ASCII characters "
            "without spaces, such as `openssl rand -hex 32` prints"
        )


def _check_host(setting: str, host: str, origin: str) -> None:
    if not host or not host.isprintable() or any(mark in host for mark in " /@[]"):
        raise ConfigError(
            f"{setting} ({origin}) is {host!r}; it must be an address such as 127.0.0.1, or a name"
        )


def _check_names(table: str, names: Iterable[str], origins: Mapping[str, str]) -> None:
    for name in names:
        if problem := name_problem(name):
            raise ConfigError(
                f"{origins[f'{table}.{name}']}: [{table}] has the name {name!r}; {problem}"
            )


def name_problem(name: str) -> str | None:
    """Say why nothing may be served under a name; None where something may."""
    if name and name.isprintable() and " " not in name and "@" not in name:
        return None
    return "a name needs printable characters, and no space or @ (which is for NAME@digest)"
