"""The ledger in one SQLite file, shared by every Emblem process on the same folder."""

import os
import secrets
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from sqlalchemy import (
    Connection,
    Engine,
    Row,
    create_engine,
    delete,
    event,
    inspect,
    select,
    update,
)
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from emblem.errors import EmblemError
from emblem.ledger import schema
from emblem.ledger.secret import (
    ENTROPY_BYTES,
    ID_BYTES,
    as_stored,
    digest,
    key_id,
    key_name,
    secret,
)
from emblem.ports import Key

BUSY_TIMEOUT_S = 10.0  # how long a writer waits for another one
CREATE_TIMEOUT_S = 30.0  # how long a process waits for another one that creates the tables

_WRITES = "emblem_writes"


class SqliteLedger:
    """Keys and spaces in ``path``. Safe from several threads and processes.

    The file is made, for its owner alone, where there is none. Every method raises EmblemError
    with one line where the file cannot be used.
    """

    def __init__(
        self, path: Path, *, random_bytes: Callable[[int], bytes] = secrets.token_bytes
    ) -> None:
        self._path = path
        self._random_bytes = random_bytes
        self._engine = create_engine(URL.create("sqlite", database=str(path)))
        self._writer = self._engine.execution_options(**{_WRITES: True})
        event.listen(self._engine, "connect", _prepare)
        event.listen(self._engine, "begin", _begin)
        try:
            self._open()
        except BaseException:
            self._engine.dispose()
            raise

    def issue(self, name: str, *, now: float) -> tuple[Key, str]:
        """Make a key; raises InvalidRequest where the name is not one. Names may repeat."""
        text = secret(self._random_bytes(ENTROPY_BYTES))
        key = Key(
            id=key_id(self._random_bytes(ID_BYTES)),
            name=key_name(name),
            digest=digest(text),
            last_four=text[-4:],
            created=now,
        )
        with self._write() as connection:
            connection.execute(
                insert(schema.keys).values(
                    id=key.id,
                    name=key.name,
                    digest=key.digest,
                    last_four=key.last_four,
                    created=key.created,
                )
            )
        return key, text

    def keys(self) -> list[Key]:
        """Every key, the revoked ones too, oldest first."""
        query = select(schema.keys).order_by(schema.keys.c.created, schema.keys.c.id)
        with self._read() as connection:
            return [_key(row) for row in connection.execute(query)]

    def find(self, digest: bytes) -> Key | None:
        """The key with this SHA-256, revoked or not, if there is one."""
        query = select(schema.keys).where(schema.keys.c.digest == digest)
        with self._read() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else _key(row)

    def revoke(self, name: str, *, now: float) -> int:
        """Revoke every live key of that name or id and return how many there were."""
        wanted = as_stored(name)
        known_as = (schema.keys.c.name == wanted) | (schema.keys.c.id == wanted)
        change = update(schema.keys).where(known_as, schema.keys.c.revoked.is_(None))
        with self._write() as connection:
            return connection.execute(change.values(revoked=now)).rowcount

    def spaces(self) -> dict[str, tuple[str, str]]:
        """For each name that was ever served: the identity and the short form of its space."""
        with self._read() as connection:
            rows = connection.execute(select(schema.spaces).order_by(schema.spaces.c.name))
            return {row.name: (row.identity, row.written) for row in rows}

    def bind(self, name: str, identity: str, written: str, *, now: float) -> None:
        """Record the space that a name serves; the first one recorded stays."""
        row = {"name": name, "identity": identity, "written": written, "created": now}
        with self._write() as connection:
            connection.execute(insert(schema.spaces).values(row).on_conflict_do_nothing())

    def unbind(self, name: str) -> bool:
        """Forget the space of a name; false where none was recorded."""
        with self._write() as connection:
            gone = connection.execute(delete(schema.spaces).where(schema.spaces.c.name == name))
            return gone.rowcount > 0

    def close(self) -> None:
        """Let go of the file."""
        self._engine.dispose()

    def _open(self) -> None:
        """Make the file and its tables, one process at a time; refuse a newer Emblem's."""
        with _translated(self._path):
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = f"{self._path}.lock"
            with FileLock(lock, timeout=CREATE_TIMEOUT_S, mode=0o600):
                # SQLite would make the file readable by everybody; its journals take after it.
                # A file that is there is left alone: closing it here would drop the locks that
                # another ledger of this process has on it (POSIX), and another process, believing
                # itself alone, would delete the journal under it.
                with suppress(FileExistsError):
                    os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
                _use_wal(self._engine)
                with self._writer.begin() as connection:
                    version = _version(connection)
        if version > schema.VERSION:
            raise EmblemError(
                f"{self._path} was written by a newer Emblem (tables {version}, this one knows "
                f"{schema.VERSION}); upgrade, or use another home folder"
            )

    @contextmanager
    def _read(self) -> Iterator[Connection]:
        with _translated(self._path), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def _write(self) -> Iterator[Connection]:
        with _translated(self._path), self._writer.begin() as connection:
            yield connection


def _prepare(connection: Any, _record: object) -> None:
    """Set up each connection. The driver starts no transaction of its own: ``_begin`` does."""
    connection.isolation_level = None
    connection.execute(f"PRAGMA busy_timeout = {int(BUSY_TIMEOUT_S * 1000)}")
    connection.execute("PRAGMA foreign_keys = ON")
    # FULL, though it waits for the disk: writes are rare, and a revoked key must stay revoked
    # when the power fails a moment later. NORMAL may forget the last commits.
    connection.execute("PRAGMA synchronous = FULL")


def _begin(connection: Connection) -> None:
    """Start a transaction; one that will write asks for the lock now, so that it waits its turn."""
    writes = connection.get_execution_options().get(_WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _use_wal(engine: Engine) -> None:
    """Let readers go on while somebody writes. The file remembers it."""
    connection = engine.raw_connection()
    try:
        connection.cursor().execute("PRAGMA journal_mode = WAL")
    finally:
        connection.close()


def _version(connection: Connection) -> int:
    """Give the version of the tables; make them where there are none."""
    if not inspect(connection).has_table(schema.schema_version.name):
        schema.metadata.create_all(connection)
        connection.execute(insert(schema.schema_version).values(id=1, version=schema.VERSION))
    version: int = connection.execute(select(schema.schema_version.c.version)).scalar_one()
    return version


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    """Turn what the disk, the lock and the database raise into one line of ours."""
    try:
        yield
    except Timeout:
        raise EmblemError(f"another process holds {path}.lock for too long") from None
    except UnicodeEncodeError:
        raise EmblemError("a name must be valid text, without lone surrogates") from None
    except OSError as error:
        raise EmblemError(f"the ledger {path} cannot be opened: {error.strerror}") from error
    except DBAPIError as error:
        raise EmblemError(f"the ledger {path} cannot be used: {error.orig}") from error
    except (SQLAlchemyError, sqlite3.Error) as error:
        raise EmblemError(f"the ledger {path} cannot be used: {error}") from error


def _key(row: Row[Any]) -> Key:
    return Key(
        id=row.id,
        name=row.name,
        digest=row.digest,
        last_four=row.last_four,
        created=row.created,
        revoked=row.revoked,
    )
