"""Where the database is: an address to SQLAlchemy's URL, and to what may be shown of it. Pure."""

from pathlib import Path

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from emblem.errors import ConfigError

SQLITE_FILE = "emblem.db"  # in the home folder, where no address is given

EXPECTED = "database must be sqlite:///FILE or postgresql://USER@HOST:PORT/NAME"


def url_of(address: str, home: Path) -> URL:
    """Read an address; "" is the SQLite file of the home folder. Raises ConfigError, without it."""
    if not address:
        return sqlite(home / SQLITE_FILE)
    try:
        url = make_url(address)
    except (ArgumentError, ValueError):  # their words repeat parts of the address
        raise ConfigError(f"{EXPECTED}; the one given cannot be read") from None
    if url.drivername in ("postgresql", "postgres", "postgresql+psycopg"):
        return url.set(drivername="postgresql+psycopg")
    if url.drivername != "sqlite":
        raise ConfigError(f"{EXPECTED}; {url.drivername!r} is neither")
    if not url.database or url.database == ":memory:" or url.host:
        raise ConfigError(
            "database must name a file: sqlite:///emblem.db or sqlite:////var/emblem.db"
        )
    return sqlite(home / url.database)


def sqlite(file: Path) -> URL:
    """Give the URL of a SQLite file."""
    return URL.create("sqlite", database=str(file))


def shown(url: URL) -> str:
    """Name a database in words that may be shown to anybody: no user, no password, no options."""
    if url.drivername == "sqlite":
        return str(url.database)
    host = url.host or url.query.get("host") or "localhost"
    port = f":{url.port}" if url.port else ""
    return f"postgresql://{host}{port}/{url.database or ''}"
