"""A real server and a real Chromium, and pages in it that are watched.

Playwright keeps an event loop running in the thread that it is used in, so the browser lasts for a
module and no longer: tests elsewhere run loops of their own. A module that uses it has no others.
"""

import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from admin.office import FILE
from console.house import House
from console.watching import Watch
from emblem.api.console.shelves import FolderShelf, MemoryShelf, Shelf
from emblem.ledger.address import sqlite
from emblem.ledger.database import Database
from server import RunningServer, linked_home, running_server
from system import require

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


@pytest.fixture(scope="session")
def server(model_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server whose administrator's key is ``server.key``."""
    require("chromium")
    home = linked_home(tmp_path_factory.mktemp("console") / "home", model_home)
    with running_server(home, args=["wordllama-256"]) as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    require("chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=["--no-sandbox", "--disable-dev-shm-usage"],
        )
        yield chromium
        chromium.close()


@pytest.fixture
def watch(browser: "Browser", server: RunningServer) -> Iterator[Watch]:
    """A page at the console, not signed in. At the end it must have complained of nothing."""
    context = browser.new_context(
        viewport={"width": 1100, "height": 800}, locale="en-GB", timezone_id="UTC"
    )
    page = context.new_page()
    page.set_default_timeout(15_000)
    watch = Watch(page, server)
    page.goto(f"{server.root}/console")
    page.get_by_label("API key").wait_for()
    yield watch
    watch.check()
    context.close()


@pytest.fixture
def page(watch: Watch) -> "Page":
    """A page of the console, signed in with the administrator's key."""
    watch.sign_in()
    return watch.page


@pytest.fixture(scope="session")
def empty_ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that has the tables, to be copied: making them takes longer than most tests."""
    file = tmp_path_factory.mktemp("ledger") / FILE
    Database(sqlite(file)).close()
    return file


@pytest.fixture(params=["memory", "folder"])
def shelf(request: pytest.FixtureRequest, tmp_path: Path) -> Shelf:
    """Where sessions are kept: what holds for one place holds for the other."""
    return MemoryShelf() if request.param == "memory" else FolderShelf(tmp_path / "sessions")


@pytest.fixture
def house(empty_ledger: Path, tmp_path: Path, shelf: Shelf) -> Iterator[House]:
    shutil.copyfile(empty_ledger, tmp_path / FILE)
    with closing(House(tmp_path, shelf=shelf)) as made:
        yield made


@pytest.fixture
def no_keys(empty_ledger: Path, tmp_path: Path) -> Iterator[House]:
    """One that asks for no key."""
    shutil.copyfile(empty_ledger, tmp_path / FILE)
    with closing(House(tmp_path, keys=False)) as made:
        yield made
