"""The smallest application with an administration, over a real ledger in a file."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from starlette.types import ASGIApp

from api.asking import Reply, ask
from api.small_app import SERVED, Embedder
from emblem.accounts import Key, Role, Terms
from emblem.api.admin.desk import Desk
from emblem.api.admin.routes import admin_routes
from emblem.api.admin.state import Inside
from emblem.api.app import create_app
from emblem.charging import Charging
from emblem.ledger.address import sqlite
from emblem.ledger.books import SqlLedger
from emblem.ledger.database import Database
from emblem.ledger.keyring import KeyRing
from emblem.limits.memory import MemoryLimiter
from emblem.names import Names
from emblem.service import Limits, Service
from emblem.types import Occupancy

FILE = "emblem.db"
NOW = 1_795_255_200.0  # 2026-11-21T10:00:00Z


@dataclass
class Clock:
    """Tells the time that it is set to, in seconds."""

    at: float = NOW

    def __call__(self) -> float:
        return self.at


@dataclass
class Running:
    """Says what runs, as it is set."""

    says: Occupancy = field(default_factory=lambda: Occupancy((), 0))

    def __call__(self) -> Occupancy:
        return self.says


class Office:
    """An application, its ledger, and a key of the role admin."""

    def __init__(self, folder: Path, inside: Inside | None = None) -> None:
        self.clock = Clock()
        self.running = Running()
        self.ledger = SqlLedger(Database(sqlite(folder / FILE)))
        self.admin, self.secret = self.key("root", Role.ADMIN)
        self.ring = KeyRing(self.ledger, clock=self.clock)
        embedders = {"tiny": Embedder(), "asking": Embedder()}
        names = Names(SERVED, lambda name: "")
        charging = Charging(MemoryLimiter())
        self.service = Service(names, embedders, Limits(), charging, running=self.running)
        inside = inside or Inside("emblem.db", started=0.0)
        self.routes = admin_routes(self.ledger, self.service, inside, Desk(self.clock))
        self.app = self.application(self.ring)

    def application(self, keys: KeyRing | None) -> ASGIApp:
        """Build the application, with keys or without."""
        return create_app(self.service, keys, more=self.routes)

    def key(self, name: str, role: Role = Role.INFERENCE, **terms: Any) -> tuple[Key, str]:
        """Make a key."""
        return self.ledger.keys.issue(Terms(name, role=role, **terms), now=self.clock.at)

    def get(self, path: str, **query: Any) -> Reply:
        """Ask for something."""
        behind = f"?{urlencode(query)}" if query else ""
        return self.send("GET", path + behind)

    def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        key: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Send a request, with a body in JSON where there is one; bytes are sent as they are."""
        content = b"" if body is None else body
        own = dict(headers or {})
        if body is not None:
            own = {"Content-Type": "application/json", **own}
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return ask(self.app, method, path, content, key=key or self.secret, headers=own)

    def make(self, name: str = "laptop", **fields: Any) -> dict[str, Any]:
        """Make a key by the API."""
        reply = self.send("POST", "/admin/keys", {"name": name, **fields})
        assert reply.status == 201, reply.body
        return dict(reply.json)

    def opens(self, secret: str) -> bool:
        """Tell whether a secret opens the server now."""
        self.ring.refresh()
        return self.ring.check(secret) is not None

    def close(self) -> None:
        self.ledger.close()
