"""Addresses that may hold a password: read from a file, where that is where they are."""

from pathlib import Path

from emblem.config.fields import is_secret
from emblem.config.settings import Settings
from emblem.errors import ConfigError


def database_address(settings: Settings) -> str:
    """Give the address of the database; "" where none is set. Raises ConfigError.

    A file of it is read here, whenever it is needed: it may be replaced while a server runs.
    """
    return _address(settings.database, settings.database_file, "database")


def redis_address(settings: Settings) -> str:
    """Give the address of Redis; "" where none is set. Raises ConfigError."""
    return _address(settings.redis, settings.redis_file, "redis")


def cache_redis_address(settings: Settings) -> str:
    """Give the address of the Redis that shares vectors; "" where none is. Raises ConfigError."""
    if settings.cache_redis != "limits":
        return settings.cache_redis
    if not (address := redis_address(settings)):
        raise ConfigError(
            'cache_redis = "limits" means the Redis that counts limits, and there is none: set redis '
            "or redis_file, or give cache_redis an address of its own"
        )
    return address


def secrets_of(settings: Settings) -> tuple[str, ...]:
    """Give what no line of the log may hold, as far as the settings themselves have it."""
    cache = settings.cache_redis if ":" in settings.cache_redis else ""  # or a word of every day
    given = (settings.api_key, settings.database, settings.redis, cache)
    headers = [
        one.value
        for upstream in settings.upstreams.values()
        for one in upstream.headers.values()
        if is_secret(one.value)
    ]
    return tuple(one for one in (*given, settings.console_oidc_secret, *headers) if one)


def _address(given: str, file: str, setting: str) -> str:
    if not file:
        return given
    if given:
        raise ConfigError(f"{setting} and {setting}_file are both set; one of them is enough")
    return read_secret(Path(file), f"{setting}_file")


def read_secret(file: Path, setting: str, what: str = "the address") -> str:
    """Give the one line that a file holds, which is ``what``. Raises ConfigError, without it."""
    try:
        text = file.read_text("utf-8").strip()
    except OSError as error:
        raise ConfigError(f"{setting} {file} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{setting} {file} is not UTF-8") from None
    if not text or len(text.splitlines()) != 1:
        raise ConfigError(f"{setting} {file} must hold one line, {what}")
    return text
