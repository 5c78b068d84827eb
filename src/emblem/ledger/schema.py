"""The tables as they are now, for any database that SQLAlchemy speaks.

Times are seconds since the epoch, money is billionths. ``migrations/versions`` brings older tables
here: whoever changes something below adds a step there.
"""

from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    UniqueConstraint,
)

VERSION = "0005"  # of these tables: the newest revision in migrations/versions

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)

# The first release counted its tables here. It refuses any number above 1, which is what keeps it
# from using tables that it would not understand; otherwise Alembic's own table says what is there.
schema_version = Table(
    "schema_version",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("version", Integer, nullable=False),
    CheckConstraint("id = 1", name="one_row"),
)

# How often something has changed: whoever remembers a number need not read the rest again.
counters = Table(
    "counters",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("value", BigInteger, nullable=False),
)


def _quota() -> tuple[Column[int], ...]:
    """The limits of a key or a team; NULL is no limit."""
    return (
        Column("requests_per_minute", BigInteger),
        Column("tokens_per_minute", BigInteger),
        Column("tokens_per_day", BigInteger),
        Column("cost_per_month", BigInteger),
    )


teams = Table(
    "teams",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("name", String(64), nullable=False),
    Column("created", Double, nullable=False),
    Column("models", JSON, nullable=False, server_default="[]"),
    *_quota(),
    UniqueConstraint("name"),
)

keys = Table(
    "keys",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("name", String(64), nullable=False, index=True),
    Column("owner", String(128), nullable=False, server_default=""),
    Column("team_id", String(32), ForeignKey(teams.c.id), index=True),
    Column("role", String(16), nullable=False, server_default="inference"),
    Column("created", Double, nullable=False),
    Column("expires", Double),
    Column("revoked", Double),
    Column("last_used", Double),
    Column("models", JSON, nullable=False, server_default="[]"),
    Column("sources", JSON, nullable=False, server_default="[]"),
    *_quota(),
    Column("priority", String(16)),
)

# The secret itself is nowhere: `digest` is its SHA-256, `last_four` what a person knows it by.
secrets = Table(
    "secrets",
    metadata,
    Column("digest", LargeBinary(32), primary_key=True),
    Column("key_id", String(32), ForeignKey(keys.c.id), nullable=False, index=True),
    Column("last_four", String(4), nullable=False),
    Column("created", Double, nullable=False),
    Column("expires", Double),
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

# Who did what to which thing. Lines are added and never changed. SQLite numbers only an INTEGER.
audit = Table(
    "audit",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("at", Double, nullable=False),
    Column("who", String(128), nullable=False),
    Column("what", String(64), nullable=False),
    Column("subject", String, nullable=False),
    Column("source", String(64), nullable=False),
    Column("details", JSON, nullable=False),
    Index(None, "subject", "id"),
    Index(None, "at"),
)

# What was made for requests that are to be done once, for a day: see ``accounts.Once``.
once = Table(
    "once",
    metadata,
    Column("token", LargeBinary(32), primary_key=True),
    Column("body", LargeBinary(32), nullable=False),
    Column("subject", String(32), nullable=False),
    Column("at", Double, nullable=False),
    Index(None, "at"),
)

# One request each. Hours are counted from the epoch; `bucket` is that of `ms` (core/percentiles);
# `tags` is a list in JSON, as text, for PostgreSQL groups by no JSON.
# A key's id refers to nothing: the key of the environment is in no table.
uses = Table(
    "uses",
    metadata,
    Column("id", String, primary_key=True),
    Column("at", Double, nullable=False),
    Column("hour", Integer, nullable=False),
    Column("key_id", String, nullable=False),
    Column("team_id", String, nullable=False),  # "" is none
    Column("model", String, nullable=False),
    Column("space", String, nullable=False),
    Column("served_by", String, nullable=False),
    Column("inputs", BigInteger, nullable=False),
    Column("tokens", BigInteger, nullable=False),
    Column("hits", BigInteger, nullable=False),
    Column("status", SmallInteger, nullable=False),
    Column("ms", Double, nullable=False),
    Column("bucket", SmallInteger, nullable=False),
    Column("cost", BigInteger, nullable=False),
    Column("user", String, nullable=False),
    Column("tags", String, nullable=False),
    Index(None, "hour", "at"),
    Index(None, "key_id", "hour"),
)

# Each hour that was ever used: how often records were added to it, and up to which of these times
# its sums are in `uses_hourly`. Where both are the same the sums are right. Once `pruned`, they are
# all that is left, and nothing is added any more.
hours = Table(
    "hours",
    metadata,
    Column("hour", Integer, primary_key=True, autoincrement=False),
    Column("changes", BigInteger, nullable=False),
    Column("rolled", BigInteger, nullable=False),
    Column("pruned", Boolean, nullable=False),
)


def _sums() -> tuple[Column[Any], ...]:
    """Whose uses are added up, and what they add up to.

    ``histogram`` has the milliseconds of those that were answered well.
    """
    return (
        Column("key_id", String, primary_key=True),
        Column("team_id", String, primary_key=True),
        Column("model", String, primary_key=True),
        Column("status", SmallInteger, primary_key=True, autoincrement=False),
        Column("requests", BigInteger, nullable=False),
        Column("inputs", BigInteger, nullable=False),
        Column("tokens", BigInteger, nullable=False),
        Column("hits", BigInteger, nullable=False),
        Column("cost", BigInteger, nullable=False),
        Column("histogram", LargeBinary, nullable=False),
    )


# The uses of an hour added up.
uses_hourly = Table(
    "uses_hourly",
    metadata,
    Column("hour", Integer, primary_key=True, autoincrement=False),
    *_sums(),
    Index(None, "key_id", "hour"),
)

# Each day whose hours were added up once more: how many changes these had then. As long as they
# have no more, its sums in `uses_daily` are right.
days = Table(
    "days",
    metadata,
    Column("day", Integer, primary_key=True, autoincrement=False),
    Column("rolled", BigInteger, nullable=False),
)

# The uses of a day added up.
uses_daily = Table(
    "uses_daily",
    metadata,
    Column("day", Integer, primary_key=True, autoincrement=False),
    *_sums(),
    Index(None, "key_id", "day"),
)
