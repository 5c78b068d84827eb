"""Brings the tables of a database to what this release knows; ``database`` holds the lock."""

from typing import TYPE_CHECKING

from sqlalchemy import Connection, inspect, text

from emblem.errors import LedgerUnavailable
from emblem.ledger.schema import VERSION

if TYPE_CHECKING:
    from alembic.config import Config

FIRST = "0001"  # the tables of the first release, which knew nothing of Alembic
FIRST_VERSION = 1  # what it wrote into schema_version


def present(connection: Connection) -> str | None:
    """Give the version of the tables that are there; None where there are none."""
    tables = inspect(connection)
    if tables.has_table("alembic_version"):
        found = connection.execute(text("SELECT version_num FROM alembic_version")).first()
        return None if found is None else str(found[0])
    if not tables.has_table("schema_version"):
        return None
    version = connection.execute(text("SELECT version FROM schema_version")).scalar_one()
    return FIRST if version == FIRST_VERSION else f"{version:04}"


def check(connection: Connection, name: str) -> str | None:
    """Give the version of the tables, and raise LedgerUnavailable where a newer release made them.

    ``name`` names the database.
    """
    version = present(connection)
    if version in (None, VERSION) or version in _known():
        return version
    raise LedgerUnavailable(
        f"{name} was written by a newer Emblem (tables {version}, this one knows {VERSION}); "
        "upgrade Emblem, or use another database"
    )


def upgrade(connection: Connection, name: str) -> None:
    """Bring the tables to the present version, within the transaction of the connection.

    Raises LedgerUnavailable where they are of a newer release.
    """
    version = check(connection, name)
    if version == VERSION:
        return
    from alembic import command  # which takes 9 MB, and a third of a second

    config = _config()
    config.attributes["connection"] = connection
    if version == FIRST:  # Alembic has not made these tables, and must be told of them
        command.stamp(config, version)
    command.upgrade(config, "head")


def _known() -> set[str]:
    """Give every version that this release can start from. Imports Alembic, which takes a while."""
    from alembic.script import ScriptDirectory

    return {one.revision for one in ScriptDirectory.from_config(_config()).walk_revisions()}


def _config() -> "Config":
    """Say where the steps are: within the package, so that no file of settings is needed."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "emblem.ledger:migrations")
    return config
