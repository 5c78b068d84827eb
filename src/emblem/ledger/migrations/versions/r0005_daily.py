"""Daily sums of the uses, made of the hourly ones. Those of older days are made by the server."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "days",
        sa.Column("day", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("rolled", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("day", name="pk_days"),
    )
    op.create_table(
        "uses_daily",
        sa.Column("day", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("key_id", sa.String, nullable=False),
        sa.Column("team_id", sa.String, nullable=False),
        sa.Column("model", sa.String, nullable=False),
        sa.Column("status", sa.SmallInteger, autoincrement=False, nullable=False),
        sa.Column("requests", sa.BigInteger, nullable=False),
        sa.Column("inputs", sa.BigInteger, nullable=False),
        sa.Column("tokens", sa.BigInteger, nullable=False),
        sa.Column("hits", sa.BigInteger, nullable=False),
        sa.Column("cost", sa.BigInteger, nullable=False),
        sa.Column("histogram", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint(
            "day", "key_id", "team_id", "model", "status", name="pk_uses_daily"
        ),
    )
    op.create_index("ix_uses_daily_key_id_day", "uses_daily", ["key_id", "day"])
