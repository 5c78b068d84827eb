"""Settings of signing in through OpenID Connect: what they say, and what makes no sense."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from emblem.config.address import read_secret
from emblem.config.settings import Settings
from emblem.errors import ConfigError

REQUIRED = {
    "console_oidc_client_id": "the provider knows this server by it",
    "console_url": "the provider sends browsers back there, such as https://embeddings.example.com",
    "console_groups": "nobody would be let in; map groups to roles, such as platform=admin",
}


@dataclass(frozen=True, slots=True)
class Oidc:
    """A provider of OpenID Connect, and this server as its client.

    ``url`` is where browsers reach this server, without a slash at its end. Without a
    ``client_secret`` it is a public client.
    """

    issuer: str
    client_id: str
    url: str
    client_secret: str = field(default="", repr=False)
    scopes: tuple[str, ...] = ("openid", "profile", "email")
    name_claim: str = "preferred_username"
    groups_claim: str = "groups"

    @property
    def redirect_uri(self) -> str:
        """Where the provider sends a browser back to."""
        return f"{self.url}/console/oidc/callback"

    @property
    def host(self) -> str:
        """What people call the provider."""
        return urlsplit(self.issuer).netloc


def oidc(settings: Settings) -> Oidc | None:
    """Give the provider; None where none is set. Reads the secret's file, and raises ConfigError."""
    if not settings.console_oidc_issuer:
        return None
    secret, file = settings.console_oidc_secret, settings.console_oidc_secret_file
    if secret and file:
        raise ConfigError(
            "console_oidc_secret and console_oidc_secret_file are both set; one of them is enough"
        )
    return Oidc(
        settings.console_oidc_issuer,
        settings.console_oidc_client_id,
        settings.console_url.rstrip("/"),
        read_secret(Path(file), "console_oidc_secret_file") if file else secret,
        settings.console_oidc_scopes,
        settings.console_oidc_name_claim,
        settings.console_oidc_groups_claim,
    )


def check_addresses(settings: Settings, origins: Mapping[str, str]) -> None:
    """Raise ConfigError for an issuer or an address of the console that can be neither."""
    for name in ("console_oidc_issuer", "console_url"):
        if given := getattr(settings, name):
            _check_address(given, f"{name} ({origins[name]})")


def check_oidc(settings: Settings, origins: Mapping[str, str]) -> None:
    """Raise ConfigError where people are to sign in through a provider, and could not."""
    if not settings.console_oidc_issuer:
        return
    origin = f"console_oidc_issuer ({origins['console_oidc_issuer']})"
    for name, why in REQUIRED.items():
        if not getattr(settings, name):
            raise ConfigError(f"{origin} is set and {name} is not: {why}")
    for name in ("console_oidc_name_claim", "console_oidc_groups_claim"):
        if not getattr(settings, name):
            raise ConfigError(f"{name} ({origins[name]}) is empty; it must name a claim")
    if "openid" not in settings.console_oidc_scopes:
        raise ConfigError(
            f"console_oidc_scopes ({origins['console_oidc_scopes']}) lacks openid, without which a "
            "provider says nothing of who somebody is"
        )
    if not settings.auth:
        raise ConfigError(
            f"{origin} is set, and auth = false ({origins['auth']}) asks nobody who they are"
        )


def _check_address(given: str, origin: str) -> None:
    try:
        parts = urlsplit(given)
        _ = parts.port
    except ValueError:
        raise ConfigError(f"{origin} is no address") from None
    spoiled = parts.query or parts.fragment or "@" in parts.netloc
    if spoiled or not given.isprintable() or " " in given:
        raise ConfigError(f"{origin} must be an address without a password, query or fragment")
    plain = parts.scheme == "http" and _is_here(parts.hostname or "")
    if not parts.hostname or not (parts.scheme == "https" or plain):
        raise ConfigError(
            f"{origin} is {given!r}; it must begin with https://, or with http:// and name this "
            "machine, such as http://127.0.0.1:8080"
        )


def _is_here(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
