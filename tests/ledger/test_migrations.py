"""The first release's database, with data in it, as that release made it."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.engine import URL

from emblem.accounts import Key, Secret, Terms
from emblem.ledger.address import sqlite, url_of
from emblem.ledger.books import SqlLedger
from emblem.ledger.database import Database
from emblem.ledger.keyring import KeyRing
from emblem.ledger.secret import digest

# What `sqlite3 emblem.db .schema` shows of a home that 0.1.0 made.
FIRST_RELEASE = """
CREATE TABLE schema_version (
    id INTEGER NOT NULL, version INTEGER NOT NULL,
    PRIMARY KEY (id), CONSTRAINT one_row CHECK (id = 1));
CREATE TABLE keys (
    id VARCHAR(32) NOT NULL, name VARCHAR(64) NOT NULL, digest BLOB NOT NULL,
    last_four VARCHAR(4) NOT NULL, created DOUBLE NOT NULL, revoked DOUBLE,
    PRIMARY KEY (id), CONSTRAINT one_digest UNIQUE (digest));
CREATE INDEX ix_keys_name ON keys (name);
CREATE TABLE spaces (
    name VARCHAR NOT NULL, identity VARCHAR NOT NULL, written VARCHAR NOT NULL,
    created DOUBLE NOT NULL, PRIMARY KEY (name));
"""
IN_POSTGRESQL = FIRST_RELEASE.replace("BLOB", "BYTEA").replace("DOUBLE", "DOUBLE PRECISION")
SECRETS = [f"sk-of-the-first-release-{number}" for number in range(3)]


@pytest.fixture
def old(empty: URL) -> URL:
    with closing(Database(empty, upgrade=False)) as database, database.write() as connection:
        made = FIRST_RELEASE if database.is_sqlite else IN_POSTGRESQL
        for statement in made.split(";\n"):
            if statement.strip():
                connection.execute(text(statement))
        connection.execute(text("INSERT INTO schema_version VALUES (1, 1)"))
        for number, secret in enumerate(SECRETS):
            connection.execute(
                text(
                    "INSERT INTO keys VALUES (:id, :name, :digest, :last_four, :created, :revoked)"
                ),
                {
                    "id": f"key_{number:016x}",
                    "name": "laptop" if number else "鍵",
                    "digest": digest(secret),
                    "last_four": secret[-4:],
                    "created": 1.25 + number,
                    "revoked": 99.5 if number == 2 else None,
                },
            )
        connection.execute(
            text("INSERT INTO spaces VALUES ('model', 'sha256:1', 'model@1/384', 3.5)")
        )
    return empty


def test_keys_and_spaces_of_the_first_release_go_on_as_they_were(old: URL) -> None:
    with closing(SqlLedger(Database(old))) as ledger:
        assert ledger.keys.every() == [
            Key(
                id=f"key_{number:016x}",
                terms=Terms("laptop" if number else "鍵"),
                created=1.25 + number,
                secrets=(Secret(digest(secret), secret[-4:], 1.25 + number),),
                revoked=99.5 if number == 2 else None,
            )
            for number, secret in enumerate(SECRETS)
        ]
        assert ledger.spaces.every() == {"model": ("sha256:1", "model@1/384")}
        ring = KeyRing(ledger)
        ring.refresh()
        found = [ring.check(secret) for secret in SECRETS]
        assert [key and key.id for key in found] == [f"key_{0:016x}", f"key_{1:016x}", None]


def test_what_was_upgraded_can_be_changed_as_what_is_new(old: URL) -> None:
    with closing(SqlLedger(Database(old))) as ledger:
        first = f"key_{0:016x}"
        rotated, _ = ledger.keys.rotate(first, overlap_s=5.0, now=100.0)
        assert [one.expires for one in rotated.secrets] == [105.0, None]
        team = ledger.teams.create("search", now=101.0)
        ledger.keys.change(first, lambda _: Terms("laptop", team=team.id), now=102.0)
        assert ledger.keys.revoke("laptop", now=103.0) == 2
    with closing(SqlLedger(Database(old))) as again:
        assert len(again.keys.every()) == 3


def test_the_first_release_refuses_what_was_upgraded(old: URL) -> None:
    """It looks at this number, and says that a newer Emblem wrote the file where it is above 1."""
    with closing(Database(old)) as database, database.read() as connection:
        version = connection.execute(text("SELECT version FROM schema_version")).scalar_one()
    assert version > 1


def test_references_hold_after_the_upgrade(tmp_path: Path) -> None:
    path = tmp_path / "emblem.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(FIRST_RELEASE)
        connection.execute("INSERT INTO schema_version VALUES (1, 1)")
        connection.commit()
    Database(sqlite(path)).close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA foreign_keys = ON")
        with pytest.raises(sqlite3.IntegrityError):
            connection.execute("INSERT INTO secrets VALUES (x'00', 'key_no', 'abcd', 1.0, NULL)")
        with pytest.raises(sqlite3.IntegrityError):
            connection.execute(
                "INSERT INTO keys (id, name, created, team_id) VALUES ('a', 'b', 1.0, 'team_no')"
            )


def test_a_path_with_odd_characters_is_no_obstacle(tmp_path: Path) -> None:
    Database(url_of("", tmp_path / "100% of é $x")).close()
