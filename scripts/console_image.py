"""Takes the picture of the console that the documentation shows.

Usage: EMBLEM_API_KEY=… python scripts/console_image.py http://127.0.0.1:8080 docs/images/console.png
against a server that has that key, with Playwright and Chromium installed.
"""

import os
import shutil
import sys

from playwright.sync_api import sync_playwright

TEXTS = """How do I reset my password?
I forgot my login and cannot get in.
The invoice for March is attached.
Please find the bill enclosed."""


def main(root: str, image: str) -> None:
    """Sign in, embed some texts in the playground, and keep what is seen."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        size = {"width": 1100, "height": 1640}
        page = browser.new_context(viewport=size, color_scheme="light").new_page()
        page.goto(f"{root}/console")
        page.get_by_label("API key").fill(os.environ["EMBLEM_API_KEY"])
        page.get_by_role("button", name="Sign in").click()
        page.get_by_label("Texts, one a line").fill(TEXTS)
        page.get_by_role("button", name="Embed").click()
        page.wait_for_selector(".js-plotly-plot .heatmaplayer image", state="attached")
        page.wait_for_function("() => document.getElementById('told').textContent === ''")
        page.screenshot(path=image)
        browser.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
