"""A sample of the vectors in a table of PostgreSQL: pgvector's types, or arrays of numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from emblem.cli.verify_stored import Drawn, Stored, Wanted, stored
from emblem.errors import InvalidRequest, MissingExtra

if TYPE_CHECKING:
    import psycopg

SCHEMES = ("postgresql://", "postgres://", "postgresql+psycopg://")
CONNECT_S = 10
STATEMENT_MS = 600_000


def is_address(source: str) -> bool:
    """Tell whether this is a database and not a file."""
    return source.startswith(SCHEMES)


def of_table(address: str, table: str | None, wanted: Wanted) -> Stored:
    """Draw rows of a table, in a transaction that only reads.

    Raises InvalidRequest, in whose words there is no password, and MissingExtra without psycopg.
    """
    if not table:
        raise InvalidRequest("a database needs --table, such as --table passages")
    try:
        import psycopg
    except ModuleNotFoundError as error:
        raise MissingExtra("reading from PostgreSQL", "postgres") from error
    columns = (wanted.column or "text", wanted.vector_column or "embedding")
    try:
        with _connected(address) as connection:
            found = _rows(connection, table, columns, wanted)
    except psycopg.DataError:  # whose words repeat what is in the table
        raise InvalidRequest(
            f"{table} cannot be read: its column {columns[1]!r} does not hold vectors as numbers"
        ) from None
    except psycopg.Error as error:
        raise InvalidRequest(f"{table} cannot be read: {_said(error, address)}") from None
    drawn = [Drawn(place, text, vector) for place, text, vector in found]
    return stored(drawn, rows=None, where=table)


def _connected(address: str) -> psycopg.Connection[Any]:
    import psycopg

    uri = address.replace("postgresql+psycopg://", "postgresql://", 1)
    connection = psycopg.connect(
        uri, connect_timeout=CONNECT_S, options=f"-c statement_timeout={STATEMENT_MS}"
    )
    connection.read_only = True
    return connection


def _rows(
    connection: psycopg.Connection[Any], table: str, columns: tuple[str, str], wanted: Wanted
) -> list[tuple[str, str | None, list[float] | None]]:
    """Give rows in an order that the seed decides: the same rows for the same table and seed."""
    from psycopg import sql

    text = sql.Identifier(columns[0])
    vector = sql.SQL("ARRAY[1]") if wanted.texts_only else sql.Identifier(columns[1])
    query = sql.SQL(
        "SELECT ctid::text, {text}::text, {vector}::real[] FROM {table} "
        "WHERE {text} IS NOT NULL AND {vector} IS NOT NULL "
        "ORDER BY hashtextextended(ctid::text, %s), ctid LIMIT %s"
    ).format(text=text, vector=vector, table=sql.Identifier(*table.split(".")))
    return [
        (f"row {place}", words, numbers)
        for place, words, numbers in connection.execute(query, (wanted.seed, wanted.sample))
    ]


def _said(error: psycopg.Error, address: str) -> str:
    """Give what PostgreSQL says on one line, without the address that may hold a password."""
    from emblem.core.redact import redacted

    line = " ".join(str(error).split("\n", 1)[0].split()) or type(error).__name__
    if "@" in line:  # a password that is not encoded was taken for a part of the host
        return "the address is not understood; special characters of a password are percent-encoded"
    if "invalid" in line and ("URI" in line or "percent-encoded" in line or "port" in line):
        return "the address is not understood"
    return redacted(line, (_password(address),))


def _password(address: str) -> str:
    from urllib.parse import urlsplit

    try:
        return urlsplit(address).password or ""
    except ValueError:
        return ""
