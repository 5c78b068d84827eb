"""One database for keys, spaces, usage and audit: a SQLite file, or PostgreSQL by its address.

The books in this folder share it. SQLite has one writer at a time and as many readers as want.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from sqlalchemy import Connection, Engine, Table, create_engine, event, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL
from sqlalchemy.exc import DataError, DBAPIError, SQLAlchemyError

from emblem.errors import EmblemError, InvalidRequest, LedgerUnavailable, MissingExtra
from emblem.ledger import upgrading
from emblem.ledger.address import shown
from emblem.ledger.schema import VERSION

BUSY_TIMEOUT_S = 10.0  # how long a writer waits for another one
STATEMENT_TIMEOUT_S = 120.0  # of one question to PostgreSQL
IDLE_TIMEOUT_S = 60.0  # how long a process that has stopped may keep others from what it has locked
UPGRADE_TIMEOUT_S = 60.0  # how long a process waits for another one that makes the tables
CONNECT_TIMEOUT_S = 5
MAX_CONNECTIONS = 5  # a process's to PostgreSQL
MAX_SAID = 300  # characters of what a database says
MIN_PASSWORD = 4  # characters

# For one transaction each, and not as options of the connection: a pooler may not let these through.
_PATIENCE = text(
    "SELECT set_config('lock_timeout', :lock, true), set_config('statement_timeout', :all, true), "
    "set_config('idle_in_transaction_session_timeout', :idle, true)"
)
_UPGRADE_LOCK = 0x656D626C656D  # "emblem": the number of the advisory lock in PostgreSQL
_WRITES = "emblem_writes"

Insert = sqlite.Insert | postgresql.Insert


class Database:
    """A database with the tables of ``schema``. Safe from several threads and processes.

    Opening it makes the tables, or upgrades older ones, under a lock, unless ``upgrade`` is false.
    A SQLite file is made, for its owner alone, where there is none. Every method raises
    LedgerUnavailable with one line, without a password, where the database cannot be used.
    """

    def __init__(self, url: URL, *, upgrade: bool = True) -> None:
        self.url = url
        self.name = shown(url)
        self._engine = self._made()
        self._writer = self._engine.execution_options(**{_WRITES: True})
        try:
            if upgrade:
                self.upgrade()
        except BaseException:
            self._engine.dispose()
            raise

    @property
    def is_sqlite(self) -> bool:
        """Tell whether it is a file."""
        return self.url.drivername == "sqlite"

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Read within one transaction, which sees one state of SQLite's file."""
        with self._translated(), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Write within one transaction, which is on the disk when the block ends."""
        with self._translated(), self._writer.begin() as connection:
            yield connection

    def upgrade(self) -> None:
        """Bring the tables to the present version, one process at a time; refuse a newer Emblem's."""
        if self.is_sqlite:
            with self._translated(), self._file_locked(), self._writer.begin() as connection:
                upgrading.upgrade(connection, self.name)
        elif (
            self.version() != VERSION
        ):  # reading needs neither the lock nor the right to make tables
            with self.write() as connection:
                wait_ms = int(1000 * UPGRADE_TIMEOUT_S)
                connection.execute(text("SET LOCAL statement_timeout = 0"))
                connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
                connection.execute(text(f"SET LOCAL lock_timeout = {wait_ms}"))
                connection.execute(text(f"SELECT pg_advisory_xact_lock({_UPGRADE_LOCK})"))
                upgrading.upgrade(connection, self.name)

    def version(self) -> str | None:
        """Give the version of the tables, None where there are none; refuse a newer Emblem's."""
        with self.read() as connection:
            if not self.is_sqlite:
                _check_encoding(connection, self.name)
            return upgrading.check(connection, self.name)

    def close(self) -> None:
        """Let go of the database."""
        self._engine.dispose()

    def _made(self) -> Engine:
        if self.is_sqlite:
            engine = create_engine(self.url, hide_parameters=True)
            event.listen(engine, "connect", _prepare_sqlite)
            event.listen(engine, "begin", _begin_sqlite)
            return engine
        try:
            engine = create_engine(
                self.url,
                hide_parameters=True,
                pool_pre_ping=True,  # after a restart of the server no request meets a dead connection
                pool_size=MAX_CONNECTIONS,
                max_overflow=0,
                pool_timeout=BUSY_TIMEOUT_S,
                connect_args=_connect_args(self.url),
            )
        except ImportError:
            raise MissingExtra("PostgreSQL", "postgres") from None
        event.listen(engine, "begin", _begin_postgresql)
        return engine

    @contextmanager
    def _file_locked(self) -> Iterator[None]:
        """Hold the lock beside a SQLite file, which is made where there is none."""
        path = Path(str(self.url.database))
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with FileLock(f"{path}.lock", timeout=UPGRADE_TIMEOUT_S, mode=0o600):
            # SQLite would make the file readable by everybody; its journals take after it.
            # A file that is there is left alone: closing it here would drop the locks that
            # another ledger of this process has on it (POSIX), and another process, believing
            # itself alone, would delete the journal under it.
            with suppress(FileExistsError):
                os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
            _use_wal(self._engine)
            yield

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Turn what the disk, the lock and the database raise into one line of ours."""
        try:
            yield
        except EmblemError:
            raise
        except Timeout:
            raise LedgerUnavailable(
                f"another process holds {self.name}.lock for too long"
            ) from None
        except UnicodeEncodeError:
            raise InvalidRequest("a name must be valid text, without lone surrogates") from None
        except DataError:
            # Said in our words: a database repeats the values.
            raise InvalidRequest("the ledger cannot hold one of the values") from None
        except OSError as error:
            raise self._unusable("opened", str(error.strerror)) from None
        except DBAPIError as error:
            raise self._unusable("used", str(error.orig)) from None
        except (SQLAlchemyError, sqlite3.Error) as error:
            raise self._unusable("used", str(error)) from None

    def _unusable(self, verb: str, why: str) -> LedgerUnavailable:
        password = str(self.url.password or "")
        # A shorter one stands in too many words; libpq is not known to repeat any.
        said = why.replace(password, "***") if len(password) >= MIN_PASSWORD else why
        said = " ".join(said.split())[:MAX_SAID]
        return LedgerUnavailable(f"the ledger {self.name} cannot be {verb}: {said}")


def insert_into(connection: Connection, table: Table) -> Insert:
    """Begin an INSERT that may say what to do ON CONFLICT, as both databases write it."""
    return insert_for(connection.dialect.name, table)


def insert_for(dialect: str, table: Table) -> Insert:
    """Begin such an INSERT for a database of this name."""
    return sqlite.insert(table) if dialect == "sqlite" else postgresql.insert(table)


def _connect_args(url: URL) -> dict[str, Any]:
    """Give libpq's options that the address does not set itself."""
    own = {
        "application_name": "emblem",
        "connect_timeout": CONNECT_TIMEOUT_S,
        "tcp_user_timeout": int(1000 * BUSY_TIMEOUT_S),  # a server that is gone without a word
    }
    # Statements that a connection has prepared are not there behind some connection poolers.
    return {"prepare_threshold": None, **{k: v for k, v in own.items() if k not in url.query}}


def _prepare_sqlite(connection: Any, _record: object) -> None:
    """Set up each connection. The driver starts no transaction of its own: ``_begin_sqlite`` does."""
    connection.isolation_level = None
    connection.execute(f"PRAGMA busy_timeout = {int(BUSY_TIMEOUT_S * 1000)}")
    connection.execute("PRAGMA foreign_keys = ON")
    # FULL, though it waits for the disk: a revoked key must stay revoked when the power fails a
    # moment later. NORMAL may forget the last commits.
    connection.execute("PRAGMA synchronous = FULL")


def _begin_sqlite(connection: Connection) -> None:
    """Start a transaction; one that will write asks for the lock now, so that it waits its turn."""
    writes = connection.get_execution_options().get(_WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _begin_postgresql(connection: Connection) -> None:
    """Let no transaction wait for ever: not for a lock, and nobody for it."""
    wait = {"lock": BUSY_TIMEOUT_S, "all": STATEMENT_TIMEOUT_S, "idle": IDLE_TIMEOUT_S}
    connection.execute(_PATIENCE, {name: f"{int(1000 * s)}ms" for name, s in wait.items()})


def _check_encoding(connection: Connection, name: str) -> None:
    """Refuse a database that cannot hold whatever a request may say."""
    encoding = connection.execute(text("SHOW server_encoding")).scalar_one()
    if encoding != "UTF8":
        raise LedgerUnavailable(
            f"{name} has the encoding {encoding}; make a database with the encoding UTF8"
        )


def _use_wal(engine: Engine) -> None:
    """Let readers go on while somebody writes. The file remembers it."""
    connection = engine.raw_connection()
    try:
        connection.cursor().execute("PRAGMA journal_mode = WAL")
    finally:
        connection.close()
