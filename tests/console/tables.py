"""Reading what the console shows in tables."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page


def table(page: "Page", name: str) -> "Locator":
    return page.get_by_role("region", name=name, exact=True)


def rows(page: "Page", name: str) -> list[list[str]]:
    """Wait for a table, and read it row by row."""
    table(page, name).wait_for()
    found = table(page, name).locator("tbody tr").all()
    return [one.locator("th, td").all_inner_texts() for one in found]
