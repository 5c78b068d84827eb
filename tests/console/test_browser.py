"""The console in Chromium: signing in, every page, keys, colours and narrow screens."""

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
import requests

from console.watching import Watch
from server import RunningServer

if TYPE_CHECKING:
    from playwright.sync_api import Page, Route

PAGES = ("playground", "models", "keys", "teams", "usage", "live", "audit")


def embeds(server: RunningServer, key: str, **more: str) -> int:
    headers = {"Authorization": f"Bearer {key}"}
    body = {"model": "wordllama-256", "input": "a text", **more}
    return requests.post(
        f"{server.base_url}/embeddings", json=body, headers=headers, timeout=30
    ).status_code


def make_key(page: "Page", watch: Watch, name: str) -> str:
    """Make a key by the form, and give the secret that is shown."""
    watch.open("keys")
    page.get_by_role("button", name="New key").click()
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_role("button", name="Make the key").click()
    return str(page.get_by_label("Secret", exact=True).input_value())


def test_a_wrong_key_is_refused_in_words_and_stays_nowhere(watch: Watch) -> None:
    watch.page.get_by_label("API key").fill("sk-not-a-key-0123456789")
    watch.page.get_by_role("button", name="Sign in").click()
    said = watch.page.get_by_role("alert").inner_text()
    assert said.startswith("Incorrect API key provided: sk-****6789.")
    assert "0123456" not in watch.page.content()
    (error,) = watch.errors
    assert "401" in error
    watch.errors.clear()


def test_every_page_opens_without_a_complaint(page: "Page", watch: Watch) -> None:
    for name in PAGES:
        watch.open(name)
        assert page.locator("main .problem").count() == 0, name
        current = page.locator("nav [aria-current=page]")
        assert current.get_attribute("href") == f"#/{name}"
        assert page.title().endswith("· Emblem")


def test_the_page_knows_neither_the_key_nor_the_cookie(page: "Page", server: RunningServer) -> None:
    kept = page.evaluate(
        "() => document.cookie + JSON.stringify({...localStorage, ...sessionStorage})"
    )
    assert kept == "{}"
    assert server.key not in page.content()
    (cookie,) = page.context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"], cookie["path"]) == (True, "Strict", "/")


def test_a_session_outlives_loading_the_page_again(page: "Page") -> None:
    page.reload()
    page.get_by_role("button", name="Sign out").wait_for()


def test_a_key_is_made_used_changed_rotated_and_revoked(page: "Page", watch: Watch) -> None:
    server = watch.server
    secret = make_key(page, watch, "from-a-browser")
    assert embeds(server, secret) == 200
    page.get_by_role("button", name="I have it").click()
    assert secret not in page.content()

    page.get_by_role("button", name="Change from-a-browser").click()
    page.get_by_label("Tokens a minute").fill("1")
    page.get_by_role("button", name="Change the key").click()
    page.get_by_text("1 tokens a minute").wait_for()

    page.get_by_role("button", name="Rotate from-a-browser").click()
    page.get_by_role("button", name="Rotate the key").click()
    rotated = page.get_by_label("Secret", exact=True).input_value()
    assert rotated not in (secret, "")
    page.get_by_role("button", name="I have it").click()

    page.get_by_role("button", name="Revoke from-a-browser").click()
    page.get_by_role("button", name="Revoke the key").click()
    page.get_by_text("from-a-browser is revoked.").wait_for()
    page.get_by_role("button", name="Revoke from-a-browser").wait_for(state="detached")
    watch.open("audit")
    page.get_by_text("key.revoke").first.wait_for()


def test_what_the_server_refuses_is_said_in_the_form(page: "Page", watch: Watch) -> None:
    watch.open("keys")
    page.get_by_role("button", name="New key").click()
    page.get_by_label("Name", exact=True).fill("never")
    page.get_by_label("Expires").fill("whenever")
    page.get_by_role("button", name="Make the key").click()
    assert "whenever" in page.locator("dialog .problem").inner_text()
    assert page.get_by_label("Name", exact=True).input_value() == "never"
    page.get_by_role("button", name="Cancel").click()
    (error,) = watch.errors
    assert "400" in error
    watch.errors.clear()


def test_keys_are_found_by_a_part_of_their_name(page: "Page", watch: Watch) -> None:
    for name in ("needle", "haystack"):
        make_key(page, watch, name)
        page.get_by_role("button", name="I have it").click()
    page.get_by_label("Search").fill("need")
    page.get_by_role("button", name="Change haystack").wait_for(state="detached")
    assert page.get_by_role("button", name="Change needle").count() == 1


def test_a_team_is_made_and_deleted(page: "Page", watch: Watch) -> None:
    watch.open("teams")
    page.get_by_role("button", name="New team").click()
    page.get_by_label("Name", exact=True).fill("search")
    page.get_by_label("Requests a minute").fill("600")
    page.get_by_role("button", name="Make the team").click()
    page.get_by_text("600 requests a minute").wait_for()
    page.get_by_role("button", name="Delete search").click()
    page.get_by_role("button", name="Delete the team").click()
    page.get_by_text("search is deleted.").wait_for()


PLANTED = "<img/src=x/onerror=alert(1)><a/href='https://evil.example'>x</a>"


def test_names_are_shown_as_text_whatever_they_say(page: "Page", watch: Watch) -> None:
    server = watch.server
    team = server.post({"name": PLANTED[:64]}, "/admin/teams").json()
    body = {"name": PLANTED[:64], "owner": PLANTED, "team": team["id"], "models": ["*", PLANTED]}
    made = server.post(body, "/admin/keys").json()
    assert embeds(server, made["key"], user=PLANTED) == 200
    for name in ("keys", "teams", "audit"):
        watch.open(name)
        page.get_by_text(PLANTED[:64]).first.wait_for()
    text = f"{PLANTED} and more"
    watch.open("playground")
    page.get_by_label("Texts, one a line").fill(f"{text}\n{text} again")
    page.get_by_role("button", name="Embed", exact=True).click()
    page.locator("section .plot svg").first.wait_for()
    page.get_by_role("cell", name=text).first.wait_for()
    for name in ("playground", *PAGES):
        assert page.locator("main img, main a[href*=evil]").count() == 0, name
        watch.open(name)


def test_whoever_searches_on_sees_what_they_asked_for_last(page: "Page", watch: Watch) -> None:
    """A slow answer to an earlier question does not take the place of a later one's."""
    for name in ("slow-answer", "quick-answer"):
        watch.server.post({"name": name}, "/admin/keys").raise_for_status()
    held: list[Route] = []
    page.route("**/admin/keys?search=slow*", lambda route: held.append(route))
    watch.open("keys")
    with page.expect_request("**/admin/keys?search=slow*"):
        page.get_by_label("Search").fill("slow")
    with page.expect_response("**/admin/keys?search=quick*"):
        page.get_by_label("Search").fill("quick")
    page.get_by_role("button", name="Change slow-answer").wait_for(state="detached")
    with page.expect_response("**/admin/keys?search=slow*"):
        for route in held:
            route.continue_()
    page.evaluate("() => fetch('console/session').then(a => a.json())")  # it has been read by then
    assert page.get_by_role("button", name="Change quick-answer").count() == 1
    assert page.get_by_role("button", name="Change slow-answer").count() == 0


def test_the_focus_stays_where_it_was_when_a_list_is_shown_anew(page: "Page", watch: Watch) -> None:
    watch.server.post({"name": "focused"}, "/admin/keys").raise_for_status()
    watch.open("keys")
    focused = "() => document.activeElement.ariaLabel ?? document.activeElement.type"
    page.get_by_role("button", name="Change focused").focus()
    page.keyboard.press("Enter")
    page.get_by_label("Owner").fill("me")
    page.keyboard.press("Enter")
    page.get_by_role("cell", name="me", exact=True).wait_for()
    assert page.evaluate(focused) == "Change focused"
    page.get_by_role("button", name="Revoke focused").click()
    page.get_by_role("button", name="Revoke the key").click()
    page.get_by_role("button", name="Revoke focused").wait_for(state="detached")
    assert page.evaluate(focused) == "search"


def test_nothing_of_whoever_signs_out_is_left_in_the_page(page: "Page", watch: Watch) -> None:
    page.get_by_label("Texts, one a line").fill("a private text")
    page.get_by_role("button", name="Embed", exact=True).click()
    page.get_by_role("cell", name="a private text").first.wait_for()
    page.get_by_role("button", name="Sign out").click()
    page.get_by_label("API key").wait_for()
    watch.sign_in()
    page.get_by_role("button", name="Embed", exact=True).wait_for()
    assert "a private text" not in page.get_by_label("Texts, one a line").input_value()


def test_signing_out_ends_the_session_for_the_cookie_too(page: "Page", watch: Watch) -> None:
    (cookie,) = page.context.cookies()
    token = page.evaluate("() => fetch('console/session').then(a => a.json()).then(s => s.csrf)")
    headers = {"Cookie": f"emblem_session={cookie['value']}", "x-emblem-csrf": token}
    address = f"{watch.server.root}/admin/keys"
    assert requests.get(address, headers=headers, timeout=30).status_code == 200
    page.get_by_role("button", name="Sign out").click()
    page.get_by_label("API key").wait_for()
    assert page.context.cookies() == []
    assert requests.get(address, headers=headers, timeout=30).status_code == 401


def test_what_a_page_still_waits_for_is_given_up_before_its_session_ends(
    page: "Page", watch: Watch
) -> None:
    events: list[tuple[str, str]] = []
    page.route("**/v1/models", lambda _: None)  # never answered
    with page.expect_request("**/v1/models"):
        page.reload()
    page.on("requestfailed", lambda one: events.append(("given up", urlsplit(one.url).path)))
    page.on("requestfinished", lambda one: events.append((one.method, urlsplit(one.url).path)))
    page.get_by_role("button", name="Sign out").click()
    page.get_by_label("API key").wait_for()
    given_up, ended = ("given up", "/v1/models"), ("DELETE", "/console/session")
    assert events.index(given_up) < events.index(ended)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_is_wider_than_a_phone(page: "Page", watch: Watch, scheme: str) -> None:
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": 360, "height": 740})
    grounds = set()
    for name in PAGES:
        watch.open(name)
        assert watch.width() <= 360, name
        grounds.add(
            page.evaluate("() => getComputedStyle(document.documentElement).backgroundColor")
        )
    assert grounds == {"rgb(247, 248, 250)" if scheme == "light" else "rgb(20, 23, 28)"}


def test_the_switch_changes_the_colours_and_is_remembered(page: "Page") -> None:
    ground = "() => getComputedStyle(document.documentElement).backgroundColor"
    page.emulate_media(color_scheme="light")
    page.get_by_role("button", name="Change between light and dark").click()
    assert page.evaluate(ground) == "rgb(20, 23, 28)"
    page.reload()
    page.get_by_role("button", name="Sign out").wait_for()
    assert page.evaluate(ground) == "rgb(20, 23, 28)"


def test_the_console_is_used_by_keyboard_alone(watch: Watch) -> None:
    page = watch.page
    page.keyboard.type(watch.server.key)  # the field has the focus from the start
    page.keyboard.press("Enter")
    page.get_by_role("link", name="Playground").wait_for()
    page.keyboard.press("Shift+Tab")
    page.evaluate("() => document.getElementById('skip').focus()")
    page.keyboard.press("Enter")
    assert page.evaluate("() => document.activeElement.id") == "main"
    watch.open("keys")
    page.get_by_role("button", name="New key").focus()
    page.keyboard.press("Enter")
    page.get_by_role("dialog").wait_for()
    page.keyboard.press("Escape")
    page.get_by_role("dialog").wait_for(state="detached")
