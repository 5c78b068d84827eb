"""What was used: a record for each request, and hourly sums."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "uses",
        sa.Column("id", sa.String, nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("hour", sa.Integer, nullable=False),
        *_texts("key_id", "team_id", "model", "space", "served_by"),
        *_counts("inputs", "tokens", "hits"),
        sa.Column("status", sa.SmallInteger, nullable=False),
        sa.Column("ms", sa.Double, nullable=False),
        sa.Column("bucket", sa.SmallInteger, nullable=False),
        *_counts("cost"),
        *_texts("user", "tags"),
        sa.PrimaryKeyConstraint("id", name="pk_uses"),
    )
    op.create_index("ix_uses_hour_at", "uses", ["hour", "at"])
    op.create_index("ix_uses_key_id_hour", "uses", ["key_id", "hour"])
    op.create_table(
        "hours",
        sa.Column("hour", sa.Integer, nullable=False, autoincrement=False),
        *_counts("changes", "rolled"),
        sa.Column("pruned", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("hour", name="pk_hours"),
    )
    _make_hourly()


def _make_hourly() -> None:
    op.create_table(
        "uses_hourly",
        sa.Column("hour", sa.Integer, nullable=False, autoincrement=False),
        *_texts("key_id", "team_id", "model"),
        sa.Column("status", sa.SmallInteger, nullable=False, autoincrement=False),
        *_counts("requests", "inputs", "tokens", "hits", "cost"),
        sa.Column("histogram", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint(
            "hour", "key_id", "team_id", "model", "status", name="pk_uses_hourly"
        ),
    )
    op.create_index("ix_uses_hourly_key_id_hour", "uses_hourly", ["key_id", "hour"])


def _texts(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.String, nullable=False) for name in names]


def _counts(*names: str) -> list[sa.Column[int]]:
    return [sa.Column(name, sa.BigInteger, nullable=False) for name in names]
