"""Where the database is, and what of it may be shown."""

from pathlib import Path

import pytest

from emblem.errors import ConfigError
from emblem.ledger.address import shown, url_of

HOME = Path("/home/of/emblem")
PASSWORD = "hunter2"


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("", "/home/of/emblem/emblem.db"),
        ("sqlite:///other.db", "/home/of/emblem/other.db"),
        ("sqlite:////var/emblem.db", "/var/emblem.db"),
        (f"postgresql://me:{PASSWORD}@db:5433/emblem", "postgresql://db:5433/emblem"),
        (f"postgres://me:{PASSWORD}@db/emblem?sslmode=require", "postgresql://db/emblem"),
        (f"postgresql+psycopg://me:{PASSWORD}@db/emblem", "postgresql://db/emblem"),
        (
            f"postgresql://me@/emblem?host=/run/pg&password={PASSWORD}",
            "postgresql:///run/pg/emblem",
        ),
        (f"postgresql://me:a%40{PASSWORD}@db/emblem", "postgresql://db/emblem"),
    ],
)
def test_a_database_is_named_without_user_password_and_options(address: str, name: str) -> None:
    assert shown(url_of(address, HOME)) == name


@pytest.mark.parametrize(
    "address",
    [
        "emblem.db",
        f"postgresql://me:{PASSWORD}@db:port/emblem",
        f"mysql://me:{PASSWORD}@db/emblem",
        f"postgresql+asyncpg://me:{PASSWORD}@db/emblem",
        "sqlite://",
        "sqlite:///:memory:",
        f"sqlite://{PASSWORD}/x.db",
        f"{PASSWORD}",
    ],
)
def test_an_address_that_cannot_be_used_is_refused_without_being_shown(address: str) -> None:
    with pytest.raises(ConfigError) as caught:
        url_of(address, HOME)
    assert PASSWORD not in str(caught.value)
    assert str(caught.value).startswith("database must ")
    assert caught.value.__cause__ is None
