"""A page of the console, and what it complained of and asked for while it was used."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from server import RunningServer

if TYPE_CHECKING:
    from playwright.sync_api import ConsoleMessage, Page, Request

ELSEWHERE = ("http", "https", "ws", "wss")


@dataclass(eq=False)
class Watch:
    """A page, its errors, and the hosts that it asked.

    The console of the browser tells of scripts that fail, of what the content security policy
    stops, and of answers that are errors; a test that expects one of these takes it from ``errors``.
    """

    page: "Page"
    server: RunningServer
    errors: list[str] = field(default_factory=list)
    hosts: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", self._asked)

    def sign_in(self, key: str | None = None) -> None:
        """Sign in, and wait for the first page."""
        self.page.get_by_label("API key").fill(key or self.server.key)
        self.page.get_by_role("button", name="Sign in").click()
        self.page.get_by_role("link", name="Playground").wait_for()

    def open(self, name: str) -> None:
        """Go to a page by its name in the address, and wait until it is shown."""
        self.page.evaluate("name => { location.hash = `#/${name}`; }", name)
        self.page.wait_for_selector(f"section.{name}:not([aria-busy]) h1")

    def width(self) -> int:
        """Give how many pixels wide the whole page is."""
        return int(self.page.evaluate("() => document.documentElement.scrollWidth"))

    def check(self) -> None:
        """Fail if there was any error, or a request to another host."""
        assert self.errors == []
        assert self.hosts == {urlsplit(self.server.root).netloc}

    def _said(self, message: "ConsoleMessage") -> None:
        if message.type in ("error", "warning"):
            self.errors.append(message.text)

    def _asked(self, request: "Request") -> None:
        address = urlsplit(request.url)
        if address.scheme in ELSEWHERE:
            self.hosts.add(address.netloc)
