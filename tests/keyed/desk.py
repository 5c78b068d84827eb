"""A server with keys, and what the ledger of its home says."""

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from emblem.accounts import Key, Page, Team, Terms, Use, Window
from emblem.ledger.address import url_of
from emblem.ledger.books import SqlLedger
from emblem.ledger.database import Database
from server import RunningServer, running_server

MODEL = "wordllama-256"  # a table: it opens and answers in an instant
PATIENCE_S = 30.0  # nothing takes so long unless it never comes
CONFIG = f"""
[aliases.mine]
model = "{MODEL}"

[prices]
"{MODEL}" = 0.02
"""


@dataclass(frozen=True, slots=True)
class Desk:
    """A server that answers, and its ledger, opened beside it."""

    server: RunningServer
    ledger: SqlLedger

    def key(self, name: str = "", team: Team | None = None, **terms: Any) -> tuple[Key, str]:
        """Make a key, and wait until it works: after many wrong ones that takes half a second."""
        of = team.id if team else None
        named = Terms(name or f"key {secrets.token_hex(4)}", team=of, **terms)
        key, secret = self.ledger.keys.issue(named, now=time.time())
        wait_for(lambda: self.get("/v1/models", secret).status_code != 401)
        return key, secret

    def ask(
        self, secret: str, texts: object = "a text", model: str = MODEL, **headers: str
    ) -> requests.Response:
        """Ask for vectors."""
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        return requests.post(
            f"{self.server.base_url}/embeddings",
            json={"model": model, "input": texts, "user": "ada"},
            headers={"Authorization": f"Bearer {secret}", **given},
            timeout=PATIENCE_S,
        )

    def get(self, path: str, secret: str) -> requests.Response:
        """Ask for a path."""
        headers = {"Authorization": f"Bearer {secret}"}
        return requests.get(f"{self.server.root}{path}", headers=headers, timeout=PATIENCE_S)

    def uses(self, key: Key, at_least: int) -> list[Use]:
        """Give the records of a key, once there are so many."""
        window = Window(key=key.id)
        wait_for(lambda: len(self.ledger.usage.records(window, Page())) >= at_least)
        return self.ledger.usage.records(window, Page())


def wait_for(happens: Callable[[], object]) -> None:
    """Poll until something happens, or fail."""
    deadline = time.monotonic() + PATIENCE_S
    while not happens():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


@contextmanager
def opened(home: Path) -> Iterator[SqlLedger]:
    """Open the ledger of a home."""
    ledger = SqlLedger(Database(url_of("", home)))
    try:
        yield ledger
    finally:
        ledger.close()


@contextmanager
def desk(home: Path, *args: str) -> Iterator[Desk]:
    """Start a server with one static model and an alias for it."""
    (home / "emblem.toml").write_text(CONFIG)
    with opened(home) as ledger, running_server(home, args=[MODEL, *args]) as server:
        yield Desk(server, ledger)
