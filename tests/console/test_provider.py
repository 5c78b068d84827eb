"""Signing in through a real provider of OpenID Connect, in Chromium."""

import re
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import requests

from console.watching import Watch
from server import RunningServer, free_port, linked_home, running_server
from system import require, require_provider

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

HERE = Path(__file__).parent / "provider"
SECRET = secrets.token_urlsafe(32)


@pytest.fixture(scope="module")
def ports() -> tuple[int, int]:
    """Emblem's port and the provider's. They are other sites to a browser: 127.0.0.1 and localhost."""
    require("chromium")
    require_provider()
    return free_port(), free_port()


@pytest.fixture(scope="module")
def provider(ports: tuple[int, int]) -> Iterator[str]:
    with running_provider(*ports) as host:
        yield host


@contextmanager
def running_provider(own: int, its: int) -> Iterator[str]:
    """Start a provider that sends browsers back to a port; give its host and port."""
    back = f"http://127.0.0.1:{own}/console/oidc/callback"
    node = shutil.which("node") or "node"
    command = [node, str(HERE / "provider.mjs"), str(its), back, SECRET]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"listening\n"
            yield f"localhost:{its}"
        finally:
            process.kill()


@pytest.fixture(scope="module")
def served(
    model_home: Path,
    tmp_path_factory: pytest.TempPathFactory,
    ports: tuple[int, int],
    provider: str,
) -> Iterator[RunningServer]:
    home = linked_home(tmp_path_factory.mktemp("oidc") / "home", model_home)
    env = told(home, ports[0], provider)
    with running_server(home, env=env, args=["wordllama-256"], port=ports[0]) as running:
        yield running
        log = running.log.read_text()
        assert SECRET not in log
        assert "state=" not in log


def told(home: Path, port: int, provider: str) -> dict[str, str]:
    """Give what a server is told of the provider."""
    (home / "secret").write_text(SECRET + "\n")
    return {
        "EMBLEM_CONSOLE_URL": f"http://127.0.0.1:{port}",
        "EMBLEM_CONSOLE_OIDC_ISSUER": f"http://{provider}",
        "EMBLEM_CONSOLE_OIDC_CLIENT_ID": "emblem",
        "EMBLEM_CONSOLE_OIDC_SECRET_FILE": str(home / "secret"),
        "EMBLEM_CONSOLE_OIDC_SCOPES": "openid,profile,groups",
        "EMBLEM_CONSOLE_GROUPS": "platform=admin,research=inference:lab",
    }


@pytest.fixture
def page(browser: "Browser", served: RunningServer, provider: str) -> Iterator["Page"]:
    """A page at the console, not signed in; no script of it may fail, and it asks nobody else."""
    context = browser.new_context()
    made = context.new_page()
    made.set_default_timeout(15_000)
    watch = Watch(made, served)
    made.goto(f"{served.root}/console")
    made.get_by_role("link", name="Sign in through").wait_for()
    yield made
    assert [one for one in watch.errors if not re.search("status of (403|429)", one)] == []
    assert watch.hosts <= {served.root.removeprefix("http://"), provider}
    context.close()


def sign_in(page: "Page", name: str, provider: str) -> None:
    page.get_by_role("link", name=f"Sign in through {provider}").click()
    page.get_by_label("Login").fill(name)
    page.get_by_role("button", name="Continue").click()


def test_somebody_of_a_group_is_signed_in_as_what_it_opens(
    page: "Page", provider: str, served: RunningServer
) -> None:
    assert page.evaluate("() => document.activeElement.tagName") == "A"
    sign_in(page, "ann", provider)
    page.get_by_role("link", name="Keys").click()
    assert page.url.startswith(f"{served.root}/console#")
    assert page.locator("#who").inner_text() == "ann"
    page.get_by_role("button", name="New key").click()
    page.get_by_label("Name", exact=True).fill("of-ann")
    page.get_by_role("button", name="Make the key").click()
    page.get_by_role("button", name="I have it").click()
    (line,) = [one for one in served.get("/admin/audit").json()["data"] if one["who"] == "user:ann"]
    assert line["what"] == "key.create"
    (cookie,) = page.context.cookies(served.root)  # none of the attempt is left
    assert (cookie["name"], cookie["httpOnly"], cookie["sameSite"]) == (
        "emblem_session",
        True,
        "Strict",
    )
    page.reload()
    page.get_by_role("button", name="Sign out").click()
    page.get_by_role("link", name="Sign in through").wait_for()
    page.reload()
    page.get_by_role("link", name="Sign in through").wait_for()


def test_somebody_of_a_group_with_a_team_sees_the_playground_and_is_held_to_the_team(
    page: "Page", provider: str, served: RunningServer
) -> None:
    served.post({"name": "lab", "requests_per_minute": 1}, "/admin/teams").raise_for_status()
    served.get("/admin/teams")
    sign_in(page, "eve", provider)
    page.get_by_role("link", name="Playground").wait_for()
    assert page.locator("nav a").count() == 1
    ask = """async () => {
      const token = (await (await fetch('console/session')).json()).csrf;
      const headers = {'content-type': 'application/json', 'x-emblem-csrf': token};
      const body = JSON.stringify({model: 'wordllama-256', input: 'a'});
      const asked = [];
      for (let i = 0; i < 2; i++) {
        asked.push((await fetch('v1/embeddings', {method: 'POST', headers, body})).status);
      }
      asked.push((await fetch('admin/keys', {headers})).status);
      return asked;
    }"""
    assert page.evaluate(ask) == [200, 429, 403]


def test_somebody_without_a_group_is_told_so_on_a_page(page: "Page", provider: str) -> None:
    sign_in(page, "bob", provider)
    said = page.get_by_role("alert").inner_text()
    assert said == "bob is signed in, but in no group that opens the console. See console_groups."
    page.get_by_role("link", name="Back to the console").click()
    page.get_by_role("link", name="Sign in through").wait_for()


def test_somebody_who_turns_back_at_the_provider_is_not_signed_in(
    page: "Page", provider: str
) -> None:
    sign_in(page, "", provider)
    assert "access_denied" in page.get_by_role("alert").inner_text()


def test_another_s_answer_signs_nobody_in(served: RunningServer) -> None:
    """An attacker signs in, stops before the return, and has somebody else's browser follow it."""
    address, own = on_the_way_back(served)
    assert status(address) == 403
    assert status(re.sub(r"state=[^&]+", "state=x", address), own) == 403
    assert status(re.sub(r"iss=[^&]+", "iss=x", address), own) == 403
    assert status(re.sub(r"code=[^&]+", "code=x", address), own) == 502
    assert status(address, own) == 303
    assert status(address, own) == 502  # a code is good for once


def on_the_way_back(served: RunningServer) -> tuple[str, dict[str, str]]:
    """Sign in at the provider as ann; give where it sends the browser then, and the attempt's cookie."""
    with requests.Session() as browser:
        browser.trust_env = False
        begun = browser.get(f"{served.root}/console/oidc/start", timeout=30)
        own = {"Cookie": f"emblem_sign_in={browser.cookies['emblem_sign_in']}"}
        answer = browser.post(begun.url, data={"login": "ann"}, timeout=30, allow_redirects=False)
        while "/callback" not in answer.headers["location"]:
            answer = browser.get(answer.headers["location"], timeout=30, allow_redirects=False)
        return answer.headers["location"], own


def status(address: str, headers: dict[str, str] | None = None) -> int:
    return requests.get(address, headers=headers, timeout=30, allow_redirects=False).status_code


@pytest.mark.slow
def test_whoever_begins_at_one_process_comes_back_to_any(model_home: Path, tmp_path: Path) -> None:
    require_provider()
    own, its = free_port(), free_port()
    home = linked_home(tmp_path / "home", model_home)
    with running_provider(own, its) as provider:
        env = {**told(home, own, provider), "EMBLEM_PROCESSES": "2", "EMBLEM_LIMITS": "false"}
        with running_server(home, env=env, args=["wordllama-256"], port=own) as served:
            for _ in range(8):  # each connection is taken by one of the two
                address, cookie = on_the_way_back(served)
                back = requests.get(address, headers=cookie, timeout=30, allow_redirects=False)
                headers = {"Cookie": f"emblem_session={back.cookies['emblem_session']}"}
                seen = requests.get(f"{served.root}/console/session", headers=headers, timeout=30)
                assert (back.status_code, seen.json()["name"]) == (303, "ann")
