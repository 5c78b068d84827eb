"""The tables, for any database that SQLAlchemy speaks. Times are seconds since the epoch."""

from sqlalchemy import (
    CheckConstraint,
    Column,
    Double,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    UniqueConstraint,
)

VERSION = 1  # of these tables; a database with a higher one was written by a newer Emblem

metadata = MetaData()

schema_version = Table(
    "schema_version",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("version", Integer, nullable=False),
    CheckConstraint("id = 1", name="one_row"),
)

# The key itself is nowhere: `digest` is its SHA-256, `last_four` what a person knows it by.
keys = Table(
    "keys",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("name", String(64), nullable=False, index=True),
    Column("digest", LargeBinary(32), nullable=False),
    Column("last_four", String(4), nullable=False),
    Column("created", Double, nullable=False),
    Column("revoked", Double),
    UniqueConstraint("digest", name="one_digest"),
)

# What vectors a name has stood for since it was first served.
spaces = Table(
    "spaces",
    metadata,
    Column("name", String, primary_key=True),
    Column("identity", String, nullable=False),
    Column("written", String, nullable=False),
    Column("created", Double, nullable=False),
)
