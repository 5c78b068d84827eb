"""Keys with terms and several secrets, teams, and the audit."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make the tables; a key of the first release keeps its id, and its secret goes on opening it."""
    counters = op.create_table(
        "counters",
        sa.Column("name", sa.String(32), primary_key=True),
        sa.Column("value", sa.BigInteger, nullable=False),
    )
    op.bulk_insert(counters, [{"name": "keys", "value": 0}])
    _make_teams()
    _make_keys()
    _make_secrets()
    op.drop_index("ix_keys_name", "keys")
    op.drop_table("keys")
    op.rename_table("keys_new", "keys")
    op.create_index("ix_keys_name", "keys", ["name"])
    op.create_index("ix_keys_team_id", "keys", ["team_id"])
    _make_audit()
    op.execute("UPDATE schema_version SET version = 2")  # keeps the first release away


def _quota() -> list[sa.Column[int]]:
    names = ("requests_per_minute", "tokens_per_minute", "tokens_per_day", "cost_per_month")
    return [sa.Column(name, sa.BigInteger) for name in names]


def _make_teams() -> None:
    op.create_table(
        "teams",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("created", sa.Double, nullable=False),
        sa.Column("models", sa.JSON, nullable=False, server_default="[]"),
        *_quota(),
        sa.UniqueConstraint("name", name="uq_teams_name"),
    )


def _make_keys() -> None:
    op.create_table(
        "keys_new",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("owner", sa.String(128), nullable=False, server_default=""),
        sa.Column("team_id", sa.String(32)),
        sa.Column("role", sa.String(16), nullable=False, server_default="inference"),
        sa.Column("created", sa.Double, nullable=False),
        sa.Column("expires", sa.Double),
        sa.Column("revoked", sa.Double),
        sa.Column("last_used", sa.Double),
        sa.Column("models", sa.JSON, nullable=False, server_default="[]"),
        sa.Column("sources", sa.JSON, nullable=False, server_default="[]"),
        *_quota(),
        sa.Column("priority", sa.String(16)),
        sa.PrimaryKeyConstraint("id", name="pk_keys"),
        sa.ForeignKeyConstraint(["team_id"], ["teams.id"], name="fk_keys_team_id"),
    )
    op.execute(
        "INSERT INTO keys_new (id, name, created, revoked) "
        "SELECT id, name, created, revoked FROM keys"
    )


def _make_secrets() -> None:
    op.create_table(
        "secrets",
        sa.Column("digest", sa.LargeBinary(32), primary_key=True),
        sa.Column("key_id", sa.String(32), nullable=False),
        sa.Column("last_four", sa.String(4), nullable=False),
        sa.Column("created", sa.Double, nullable=False),
        sa.Column("expires", sa.Double),
        # SQLite lets the reference follow the table when that gets its name.
        sa.ForeignKeyConstraint(["key_id"], ["keys_new.id"], name="fk_secrets_key_id"),
    )
    op.create_index("ix_secrets_key_id", "secrets", ["key_id"])
    op.execute(
        "INSERT INTO secrets (digest, key_id, last_four, created) "
        "SELECT digest, id, last_four, created FROM keys"
    )


def _make_audit() -> None:
    op.create_table(
        "audit",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("who", sa.String(128), nullable=False),
        sa.Column("what", sa.String(64), nullable=False),
        sa.Column("subject", sa.String, nullable=False),
        sa.Column("source", sa.String(64), nullable=False),
        sa.Column("details", sa.JSON, nullable=False),
    )
    op.create_index("ix_audit_subject_id", "audit", ["subject", "id"])
    op.create_index("ix_audit_at", "audit", ["at"])
