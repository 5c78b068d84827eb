"""Provider: somebody else's API as it is configured, and what is wrong with it before it is asked."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, urlsplit

from emblem.config.fields import header_problem, is_secret
from emblem.errors import ConfigError
from emblem.upstreams.presets import Preset


@dataclass(frozen=True, slots=True)
class Provider:
    """What ``[upstreams.NAME]`` says, with its preset applied.

    ``name`` is what messages, metrics and ``x-served-by`` call it. ``base_url`` is the preset's
    where it is "". ``keys`` are tried in their order; ``key_file`` has one a line, and is read again
    when it changes. ``read_timeout_s`` is for any wait between two bytes of an answer, ``timeout_s``
    for all of it. Whoever asks bounds how much is asked at once; ``max_connections`` is only so that
    nothing is unbounded. ``headers`` are sent with every request. Proxies that the environment names are
    used only where ``environment_proxies`` is true. Raises ConfigError.
    """

    name: str
    preset: Preset
    base_url: str = ""
    keys: tuple[str, ...] = field(default=(), repr=False)
    key_file: Path | None = None
    connect_timeout_s: float = 5.0
    read_timeout_s: float = 60.0
    timeout_s: float = 60.0
    max_connections: int = 1024
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    environment_proxies: bool = False

    def __post_init__(self) -> None:
        address = self.base_url or self.preset.base_url
        if not address:
            raise ConfigError(
                f"{self.name} needs a base_url: the preset {self.preset.name!r} has none of its own"
            )
        object.__setattr__(self, "base_url", _checked(address))
        for key in self.keys:
            refuse_unsendable(key, f"the API key of {self.name}")
        for header, value in self.headers.items():
            problem = header_problem(header, self.preset.key_header)
            if problem is not None:
                raise ConfigError(f"{self.name} {problem}")
            refuse_unsendable(value, f"the header {header!r} of {self.name}")
        for name in ("connect_timeout_s", "read_timeout_s", "timeout_s"):
            if not 0 < getattr(self, name) < 1e6:
                raise ConfigError(f"{self.name}: {name} must be seconds above 0")

    @property
    def hidden(self) -> tuple[str, ...]:
        """What of the headers is in no message, as the keys are in none."""
        return tuple(filter(is_secret, self.headers.values()))

    @property
    def host(self) -> str:
        """The host, and the port where one is given."""
        return urlsplit(self.base_url).netloc

    def url(self, model: str) -> str:
        """Where the texts for a model are sent."""
        path = self.preset.path.replace("{model}", quote(model, safe=""))
        query = f"?{self.preset.query}" if self.preset.query else ""
        return f"{self.base_url.rstrip('/')}{path}{query}"


def refuse_unsendable(value: str, what: str) -> None:
    """Raise ConfigError for a key or header with characters that cannot be sent, and not show it."""
    if not (value.isascii() and value.isprintable()):
        raise ConfigError(f"{what} has characters that cannot be sent, such as a line break")


def _checked(base_url: str) -> str:
    try:
        url = urlsplit(base_url)
        host, _ = url.hostname, url.port
    except ValueError as error:
        raise ConfigError(f"the base URL is none: {error}") from None
    if url.scheme not in ("http", "https") or not host or not base_url.isprintable():
        raise ConfigError(
            f"the base URL is {_unsecret(base_url)!r}; it must be like http://127.0.0.1:8080/v1"
        )
    if "@" in url.netloc or "?" in base_url or "#" in base_url:
        raise ConfigError(
            f"the base URL of {host} must have no password, query or fragment; give a password as "
            "the API key"
        )
    return base_url


def _unsecret(address: str) -> str:
    """Give an address without what may be a password in it."""
    return address.rpartition("@")[2].partition("?")[0]
