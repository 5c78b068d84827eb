"""What vectors each name has stood for since it was first served."""

from sqlalchemy import delete, select

from emblem.accounts import CLI, Actor, Change
from emblem.ledger.auditbook import record
from emblem.ledger.database import Database, insert_into
from emblem.ledger.schema import spaces


class SqlSpaceBook:
    """The spaces in a database. See ``ports.SpaceBook``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def every(self) -> dict[str, tuple[str, str]]:
        """For each name that was ever served: the identity and the short form of its space."""
        with self._database.read() as connection:
            rows = connection.execute(select(spaces).order_by(spaces.c.name))
            return {row.name: (row.identity, row.written) for row in rows}

    def bind(self, name: str, identity: str, written: str, *, now: float) -> None:
        """Record the space that a name serves; the first one recorded stays."""
        row = {"name": name, "identity": identity, "written": written, "created": now}
        with self._database.write() as connection:
            connection.execute(insert_into(connection, spaces).values(row).on_conflict_do_nothing())

    def unbind(self, name: str, *, now: float, by: Actor = CLI) -> bool:
        """Forget the space of a name; false where none was recorded."""
        with self._database.write() as connection:
            found = connection.execute(select(spaces).where(spaces.c.name == name)).one_or_none()
            if found is None:
                return False
            connection.execute(delete(spaces).where(spaces.c.name == name))
            details: dict[str, object] = {"space": found.written}
            record(connection, Change(now, by.who, "space.unbind", name, by.source, details))
            return True
