"""The smallest application with a console, over a real ledger in a file, asked as browsers ask."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from starlette.types import Receive, Scope, Send

from admin.office import Office
from api.asking import Reply, ask
from emblem.accounts import Role
from emblem.api.app import create_app
from emblem.api.console.people import People, Proxy
from emblem.api.console.provider import Provider
from emblem.api.console.routes import Door
from emblem.api.console.sessions import Sessions
from emblem.api.console.shelves import Shelf
from emblem.api.console.signing_in import SigningIn
from emblem.config import Opening

PROXY = "10.9.8.7"
SAME = {"Sec-Fetch-Site": "same-origin", "Content-Type": "application/json"}
GROUPS = (
    Opening("platform", Role.ADMIN),
    Opening("research", Role.INFERENCE, "lab"),
    Opening("lost", Role.READ, "nowhere"),
)


@dataclass
class Clock:
    """Tells the time that it is set to, in seconds."""

    at: float = 1000.0

    def __call__(self) -> float:
        return self.at


@dataclass
class Visitor:
    """A browser: its cookie, its token, and where it connects from."""

    house: "House"
    peer: str = "127.0.0.1"
    scheme: str = "http"
    cookie: str = ""
    token: str = ""
    headers: dict[str, str] = field(default_factory=dict)

    def send(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> Reply:
        """Send a request as the console's page does; ``headers`` come on top, "" leaves one out."""
        own = {**SAME, **self.headers, "x-emblem-csrf": self.token, "Cookie": self.cookie}
        every = {name: value for name, value in {**own, **(headers or {})}.items() if value}
        content = b"" if body is None else json.dumps(body).encode()

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            there = {**scope, "client": (self.peer, 50000), "scheme": self.scheme}
            await self.house.app(there, receive, send)

        reply = ask(app, method, path, content, key=None, headers=every)
        if "set-cookie" in reply.headers:
            self.cookie = reply.headers["set-cookie"].partition(";")[0]
        if path == "/console/session" and reply.status == 200:
            self.token = reply.json["csrf"]
        return reply

    def sign_in(self, key: str = "", **headers: str) -> Reply:
        """Sign in with a key, the administrator's if none is given."""
        return self.send("POST", "/console/session", {"key": key or self.house.secret}, headers)

    def status(self, path: str = "/admin/keys") -> int:
        """Give the status of a question."""
        return self.send("GET", path).status


class House:
    """An application with a console, and its clock."""

    def __init__(
        self,
        folder: Path,
        *,
        keys: bool = True,
        shelf: Shelf | None = None,
        provider: Provider | None = None,
    ) -> None:
        self.office = Office(folder)
        self.secret = self.office.secret
        self.clock = Clock()
        self.today = Clock(1_800_000_000.0)  # in seconds of the epoch
        self.office.ring.refresh()
        proxy = Proxy("X-Forwarded-User", "X-Forwarded-Groups", (PROXY,))
        ring = self.office.ring if keys else None
        people = People(proxy, GROUPS, self.office.ring.team_called)
        sessions = None if ring is None else Sessions(ring, people, self.clock, shelf)
        signing_in = None
        if provider is not None and sessions is not None:
            signing_in = SigningIn(provider, people, sessions, b"s" * 32, self.today)
        door = Door(ring, sessions, people, signing_in)
        more = [*self.office.routes, *door.routes()]
        self.app = create_app(self.office.service, ring, more=more, sessions=sessions)

    def visitor(self, **given: Any) -> Visitor:
        """Give a browser that has not been here."""
        return Visitor(self, **given)

    def close(self) -> None:
        self.office.close()
