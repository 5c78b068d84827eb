"""All books over one database."""

from emblem.ledger.auditbook import SqlAuditBook
from emblem.ledger.database import Database
from emblem.ledger.keybook import SqlKeyBook
from emblem.ledger.spacebook import SqlSpaceBook
from emblem.ledger.teambook import SqlTeamBook
from emblem.ledger.usagebook import SqlUsageBook


class SqlLedger:
    """The ledger in a database, which it closes. See ``ports.Ledger``."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.keys = SqlKeyBook(database)
        self.teams = SqlTeamBook(database)
        self.spaces = SqlSpaceBook(database)
        self.usage = SqlUsageBook(database)
        self.audit = SqlAuditBook(database)

    def close(self) -> None:
        """Let go of the database."""
        self.database.close()
