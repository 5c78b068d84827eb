"""Settings of several processes, TLS and proxies that make no sense, alone or together. Pure."""

import ipaddress
from collections.abc import Mapping

from emblem.config.settings import Settings
from emblem.errors import ConfigError


def check_deploying(settings: Settings, origins: Mapping[str, str]) -> None:
    """Raise ConfigError for the first thing that cannot be meant, naming where it came from."""
    _check_tls(settings, origins)
    _check_proxies(settings.trusted_proxies, origins["trusted_proxies"])
    _check_processes(settings, origins)


def _check_tls(settings: Settings, origins: Mapping[str, str]) -> None:
    for given, missing in (("tls_cert", "tls_key"), ("tls_key", "tls_cert")):
        if getattr(settings, given) and not getattr(settings, missing):
            raise ConfigError(
                f"{given} ({origins[given]}) is set and {missing} is not; https needs both"
            )


def _check_proxies(networks: tuple[str, ...], origin: str) -> None:
    for one in networks:
        try:
            ipaddress.ip_network(one)
        except ValueError:
            raise ConfigError(
                f"trusted_proxies ({origin}) has {one!r}; a network is an address such as 10.1.2.3, "
                "or a range such as 10.1.0.0/16, without bits set beyond its length"
            ) from None


def _check_processes(settings: Settings, origins: Mapping[str, str]) -> None:
    counted_together = settings.redis or settings.redis_file
    if settings.processes == 1 or counted_together or not (settings.auth and settings.limits):
        return
    raise ConfigError(
        f"processes = {settings.processes} ({origins['processes']}) needs Redis, or each process "
        "would count the limits of keys for itself: set redis or redis_file, or limits = false "
        "where no key is to have limits"
    )
