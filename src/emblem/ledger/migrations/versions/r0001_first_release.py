"""The tables of the first release, which were made without Alembic."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make them; the row is what the first release wrote, so that every database has had it."""
    version = op.create_table(
        "schema_version",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.CheckConstraint("id = 1", name="one_row"),
    )
    op.create_table(
        "keys",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("digest", sa.LargeBinary(32), nullable=False),
        sa.Column("last_four", sa.String(4), nullable=False),
        sa.Column("created", sa.Double, nullable=False),
        sa.Column("revoked", sa.Double),
        sa.UniqueConstraint("digest", name="one_digest"),
    )
    op.create_index("ix_keys_name", "keys", ["name"])
    op.create_table(
        "spaces",
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("identity", sa.String, nullable=False),
        sa.Column("written", sa.String, nullable=False),
        sa.Column("created", sa.Double, nullable=False),
    )
    op.bulk_insert(version, [{"id": 1, "version": 1}])
