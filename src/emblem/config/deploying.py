"""Settings of proxies, TLS and processes that make no sense, alone or together. Pure."""

import ipaddress
from collections.abc import Mapping

from emblem.config.console import check_people
from emblem.config.settings import Settings
from emblem.errors import ConfigError


def check_proxies(networks: tuple[str, ...], origin: str) -> None:
    """Raise ConfigError for what is no network."""
    for one in networks:
        try:
            ipaddress.ip_network(one)
        except ValueError:
            raise ConfigError(
                f"trusted_proxies ({origin}) has {one!r}; a network is an address such as 10.1.2.3, "
                "or a range such as 10.1.0.0/16, without bits set beyond its length"
            ) from None


def check_serving(settings: Settings, origins: Mapping[str, str]) -> None:
    """Raise ConfigError for what a server cannot be started with, naming where it came from.

    Other commands have no use for these settings, and need not have all of them.
    """
    for given, missing in (("tls_cert", "tls_key"), ("tls_key", "tls_cert")):
        if getattr(settings, given) and not getattr(settings, missing):
            raise ConfigError(
                f"{given} ({origins[given]}) is set and {missing} is not; https needs both"
            )
    check_people(settings, origins)
    counted_together = settings.redis or settings.redis_file
    counting = settings.auth and settings.limits
    if settings.processes > 1 and counting and not counted_together:
        raise ConfigError(
            f"processes = {settings.processes} ({origins['processes']}) needs Redis, or each "
            "process would count the limits of keys for itself: set redis or redis_file, or "
            "limits = false where no key is to have limits"
        )
