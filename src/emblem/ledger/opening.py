"""Opens the ledger that the settings name."""

from pathlib import Path

from emblem.config import Settings, database_address
from emblem.ledger.address import url_of
from emblem.ledger.books import SqlLedger
from emblem.ledger.database import Database


def open_database(settings: Settings, *, upgrade: bool = True) -> Database:
    """Open the database. Raises ConfigError, LedgerUnavailable, MissingExtra."""
    return Database(url_of(database_address(settings), Path(settings.home)), upgrade=upgrade)


def open_ledger(settings: Settings) -> SqlLedger:
    """Open the books over the database. Whoever asks closes. Raises as ``open_database`` does."""
    return SqlLedger(open_database(settings))
