"""The tables as they are now, for any database that SQLAlchemy speaks.

Times are seconds since the epoch, money is billionths. ``migrations/versions`` brings older tables
here: whoever changes something below adds a step there.
"""

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    UniqueConstraint,
)

VERSION = "0002"  # of these tables: the newest revision in migrations/versions

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
