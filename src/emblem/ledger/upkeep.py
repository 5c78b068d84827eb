"""Looking after the database: is it sound, and a copy of it while it is in use."""

import os
import shlex
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import func, select, text

from emblem.errors import EmblemError, InvalidRequest, LedgerUnavailable
from emblem.ledger.database import Database
from emblem.ledger.part import part_of
from emblem.ledger.schema import VERSION, counters, keys, secrets

MAX_PROBLEMS = 20


@dataclass(frozen=True, slots=True)
class Health:
    """What was found: the tables' version, None where there are none, and all that is wrong."""

    database: str
    version: str | None
    problems: tuple[str, ...]


def look(database: Database) -> Health:
    """Check the version, and what the database can say of its own soundness.

    SQLite reads the whole file for that. PostgreSQL looks after its files itself: there it is only
    looked whether the tables can be read and belong together.
    """
    if database.is_sqlite and not Path(str(database.url.database)).exists():
        return Health(database.name, None, (f"there is no file {database.name} yet",))
    try:
        version = database.version()
        if version != VERSION:
            said = f"the tables are of version {version or 'none'}, not {VERSION}"
            return Health(database.name, version, (f"{said}: run emblem db upgrade",))
        return Health(database.name, version, tuple(_problems(database)))
    except LedgerUnavailable as error:
        return Health(database.name, None, (str(error),))


def backup(database: Database, file: Path) -> None:
    """Copy a SQLite database to a new file, whole and sound, while others use it.

    Raises InvalidRequest where the file is there already or the database is no file, and
    LedgerUnavailable where the copy cannot be made.
    """
    if not database.is_sqlite:
        raise InvalidRequest(f"PostgreSQL is backed up by its own tool: {_pg_dump(database, file)}")
    source = Path(str(database.url.database))
    if not source.exists():
        raise InvalidRequest(f"there is no file {source} yet")
    if file.exists():
        raise InvalidRequest(f"{file} is there already; name a file that is not")
    try:
        with part_of(file) as part:
            _copy(source, part)
            # Whoever was faster keeps what they made. Not a link: not every file system has them.
            os.close(os.open(file, os.O_CREAT | os.O_EXCL, 0o600))
            part.replace(file)
    except FileExistsError:
        raise InvalidRequest(f"{file} was made by somebody else meanwhile") from None
    except (OSError, sqlite3.Error) as error:
        why = (isinstance(error, OSError) and error.strerror) or str(error)
        raise LedgerUnavailable(f"{file} cannot be written: {why}") from None


def _copy(source: Path, part: Path) -> None:
    """Copy page by page, in one state, and look whether the copy is sound before it counts."""
    with closing(sqlite3.connect(source)) as reading, closing(sqlite3.connect(part)) as writing:
        reading.execute("PRAGMA busy_timeout = 10000")
        reading.backup(writing)
        writing.execute("PRAGMA journal_mode = DELETE")  # one file, with nothing beside it
        found = [row[0] for row in writing.execute("PRAGMA integrity_check")]
    if found != ["ok"]:
        raise sqlite3.DatabaseError(f"the copy is not sound: {found[0]}")
    with part.open("rb+") as copied:
        os.fsync(copied.fileno())


def _pg_dump(database: Database, file: Path) -> str:
    """Give the line to run, without the password: libpq asks for it, or has it from a file."""
    url = database.url
    options = {
        "host": url.host or url.query.get("host"),
        "port": url.port,
        "username": url.username,
    }
    flags = [f"--{name}={value}" for name, value in options.items() if value]
    line = ["pg_dump", "--format=custom", f"--file={file}", *flags, str(url.database or "postgres")]
    return shlex.join(line)


def _problems(database: Database) -> list[str]:
    orphans = select(func.count()).select_from(secrets.outerjoin(keys)).where(keys.c.id.is_(None))
    found = []
    with database.read() as connection:
        if database.is_sqlite:
            checked = connection.execute(text("PRAGMA integrity_check")).scalars()
            found += [one for one in checked if one != "ok"]
            broken = connection.execute(text("PRAGMA foreign_key_check")).all()
            found += [f"a row of {one[0]} belongs to none of {one[2]}" for one in broken]
        elif count := connection.execute(orphans).scalar_one():
            found.append(f"{count} secrets belong to no key")
        if connection.execute(select(counters)).first() is None:
            found.append("the counter of changes is missing")
    return found[:MAX_PROBLEMS]


def upgraded(database: Database) -> tuple[str | None, str]:
    """Bring the tables to the present version; give the one that they had, and the one they have."""
    before = None if _is_new(database) else database.version()
    database.upgrade()
    after = database.version()
    if after is None:
        raise EmblemError(f"{database.name} has no tables after its upgrade")
    return before, after


def _is_new(database: Database) -> bool:
    return database.is_sqlite and not Path(str(database.url.database)).exists()
