"""The console's pages on models, on usage, and on what runs now."""

import csv
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from console.tables import rows
from console.watching import Watch
from server import RunningServer

if TYPE_CHECKING:
    from playwright.sync_api import Page, Request

MODEL = "wordllama-256"
PATIENCE_S = 10.0


def test_the_models_page_says_what_is_served(page: "Page", watch: Watch) -> None:
    watch.open("models")
    (served,) = watch.server.get("/v1/models").json()["data"]
    (shown,) = rows(page, "What may be asked for")
    assert (shown[0], shown[-1]) == (MODEL, served["space"])
    (deployment,) = rows(page, "Deployments")
    assert deployment[:3] == [MODEL, "in this process", "well"]
    assert page.get_by_label("Memory of loaded models").count() == 1
    page.get_by_text("No alias stands for a model.").wait_for()
    with page.expect_response("**/admin/models"):
        page.get_by_role("button", name="Refresh").click()
    page.get_by_role("button", name="Refresh").and_(page.locator(":enabled")).wait_for()


def test_aliases_and_what_is_wrong_are_on_the_models_page(page: "Page", watch: Watch) -> None:
    found = watch.server.get("/admin/models").json()
    (model,) = found["data"]
    alias = {**model, "id": "short", "alias_of": MODEL, "dimensions": 64, "space": "of-its-own/64"}
    model["running"] |= {"state": "unloaded", "problem": "its weights are gone"}
    page.route(
        "**/admin/models", lambda route: route.fulfill(json={**found, "data": [model, alias]})
    )
    watch.open("models")
    assert rows(page, "Aliases") == [["short", MODEL, "64", "mean", "of-its-own/64"]]
    assert rows(page, "Deployments")[0][2] == "has a problem its weights are gone"
    assert rows(page, "What may be asked for")[0][1] == "not in memory"


def test_the_models_page_shows_every_deployment_and_what_is_wrong_with_it(
    page: "Page", watch: Watch
) -> None:
    found = watch.server.get("/admin/models").json()
    (model,) = found["data"]
    known = {"weight": 1.0, "requests": 2, "max_requests": 64, "answered": 1000, "invalid": 0}
    well = {**known, "name": "local", "kind": "local", "health": "serving", "problem": None}
    well |= {"worst_cosine": 0.9999996, "proven_seconds_ago": 61.0, "retry_seconds": None}
    away = {**well, "name": "azure", "kind": "openai", "health": "quarantined", "invalid": 3}
    away |= {"problem": "its <b>cosine</b> is 0.93", "worst_cosine": 0.93}
    new = {**away, "name": "vllm", "kind": "vllm", "health": "open", "problem": "failed too often"}
    new |= {"worst_cosine": None, "proven_seconds_ago": None, "retry_seconds": 4.2}
    model["deployments"] = [{"failures": 4, **one} for one in (well, away, new)]
    page.route("**/admin/models", lambda route: route.fulfill(json=found))
    watch.open("models")
    here, there, other = rows(page, "Deployments")
    assert (here[:3], here[5]) == ([MODEL, "in this process", "well"], "2 of 64")
    assert here[-1] == "cosine 1.000000, passed 1 minute ago"
    assert there[:3] == [MODEL, "azure (openai)", "in quarantine its <b>cosine</b> is 0.93"]
    assert other[:3] == [MODEL, "vllm", "left alone failed too often; asked again in 5 s"]
    assert (other[3:5], other[-1]) == (["–", "–"], "none yet")
    facts = page.locator("dl.facts").inner_text()
    assert "1,000 requests answered, 4 failed, 3 of them with what could not be right" in facts


def test_the_models_page_shows_what_chats_and_rankings_are_passed_on_to(
    page: "Page", watch: Watch
) -> None:
    found = watch.server.get("/admin/models").json()
    known = {"weight": 1.0, "requests": 1, "max_requests": 256, "answered": 7, "invalid": 0}
    well = {**known, "name": "openai", "kind": "openai", "health": "serving", "problem": None}
    well |= {"failures": 0, "retry_seconds": None}
    away = {**well, "name": "mine/m", "kind": "vllm", "health": "resting", "failures": 2}
    away |= {"problem": "asked for a pause", "retry_seconds": 1.5}
    chat = {"id": "talker", "task": "chat", "deployments": [well, away]}
    page.route("**/admin/models", lambda route: route.fulfill(json={**found, "passed_on": [chat]}))
    watch.open("models")
    one, other = rows(page, "Chat and rankings")
    answered = "7 requests answered, 0 failed"
    assert one == ["talker", "chat", "openai", "well", "1 of 256", answered]
    assert other[2:4] == [
        "mine/m (vllm)",
        "asked for a pause asked for a pause; asked again in 2 s",
    ]


def test_a_server_without_models_says_how_to_have_some(page: "Page", watch: Watch) -> None:
    nothing = {"object": "list", "data": []}
    for address in ("admin/models", "v1/models"):
        page.route(f"**/{address}", lambda route: route.fulfill(json=nothing))
    watch.open("models")
    assert "emblem serve NAME" in page.locator("main .empty").inner_text()
    watch.open("playground")
    assert "no model" in page.locator("main .empty").inner_text()


def make_key(server: RunningServer, name: str) -> tuple[str, str]:
    """Make a key, and give its id and its secret."""
    made = server.post({"name": name}, "/admin/keys").json()
    return made["id"], made["key"]


def use(server: RunningServer, key: str, *bodies: dict[str, object]) -> None:
    """Ask for vectors with a key, whatever the answers are."""
    headers = {"Authorization": f"Bearer {key}"}
    for body in bodies:
        server.session.post(f"{server.base_url}/embeddings", json=body, headers=headers, timeout=30)


def recorded(server: RunningServer, key: str, requests: int) -> dict[str, Any]:
    """Wait until so many requests of a key are in the usage, and give their sum."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        total: dict[str, Any] = server.get(f"/admin/usage?key={key}").json()["total"]
        if total["requests"] == requests:
            return total
        time.sleep(0.05)
    raise AssertionError(f"{total['requests']} of {requests} requests are on record")


def test_a_key_without_usage_is_told_what_to_do(page: "Page", watch: Watch) -> None:
    make_key(watch.server, "unused")
    watch.open("usage")
    page.get_by_label("Key", exact=True).select_option(label="unused")
    page.get_by_text("Nothing was asked for in this time.").wait_for()
    page.locator(".empty").get_by_role("link", name="playground").click()
    page.get_by_label("Texts, one a line").wait_for()


def test_usage_is_that_of_the_key_in_every_range_and_as_a_file(page: "Page", watch: Watch) -> None:
    key, secret = make_key(watch.server, "busy")
    wrong: dict[str, object] = {"model": MODEL, "input": "a", "dimensions": 9999}
    use(watch.server, secret, {"model": MODEL, "input": ["one", "two"]}, wrong)
    total = recorded(watch.server, key, 2)
    watch.open("usage")
    page.get_by_label("Key", exact=True).select_option(label="busy")
    for name in ("Hour", "Day", "Week", "30 days"):
        page.get_by_role("button", name=name, exact=True).click()
        page.locator(f"[aria-pressed=true]:text-is('{name}')").wait_for()
        page.wait_for_selector("main section > div:not([aria-busy]) .tiles")
        (by_key,) = rows(page, "By key")
        assert by_key[:5] == ["busy", "2", str(total["tokens"]), "0", "1"], name
    assert [row[:2] for row in rows(page, "By status")] == [["200", "1"], ["400", "1"]]
    page.get_by_label("Lines for each").select_option("model")
    page.wait_for_selector("main section > div:not([aria-busy]) .tiles")
    page.get_by_text("The charts as a table").click()
    (step,) = rows(page, "Over time")
    assert step[1] == "2"
    page.locator("figure .barlayer .point").first.wait_for(state="attached")
    page.set_viewport_size({"width": 360, "height": 740})
    assert watch.width() <= 360
    with page.expect_download() as saved:
        page.get_by_role("button", name="Download as CSV").click()
    file = Path(saved.value.path())
    lines = list(csv.DictReader(file.read_text("utf-8").splitlines()))
    assert sum(int(line["requests"]) for line in lines) == 2
    assert {line["key_name"] for line in lines} == {"busy"}


def test_what_runs_is_shown_as_it_changes(page: "Page", watch: Watch) -> None:
    watch.open("live")
    (before,) = rows(page, "Models")
    use(watch.server, watch.server.key, {"model": MODEL, "input": "seen while it runs"})
    page.wait_for_function(
        "before => document.querySelector('main tbody tr td:nth-child(6)').innerText !== before",
        arg=before[5],
    )
    page.locator("figure .main-svg").first.wait_for()


def asked_meanwhile(page: "Page") -> list[str]:
    """Let five seconds pass, with time to ask in each, and give what was asked of what runs."""
    asked: list[str] = []

    def note(request: "Request") -> None:
        if request.url.endswith("/admin/live"):
            asked.append(request.url)

    page.on("request", note)
    for _ in range(5):
        page.clock.run_for(1100)
        page.evaluate("() => fetch('health').then(answer => answer.ok)")
    page.remove_listener("request", note)
    return asked


def hide(page: "Page", hidden: bool) -> None:
    """Have a page believe that it is hidden, or that it is seen again."""
    page.evaluate(
        """hidden => {
            Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
            document.dispatchEvent(new Event("visibilitychange"));
        }""",
        hidden,
    )


def test_nobody_asks_what_runs_while_the_page_is_hidden(page: "Page", watch: Watch) -> None:
    page.clock.install()
    watch.open("live")
    assert asked_meanwhile(page)
    hide(page, True)
    assert asked_meanwhile(page) == []
    with page.expect_response("**/admin/live"):
        hide(page, False)


def test_nobody_asks_what_runs_once_the_page_is_left(page: "Page", watch: Watch) -> None:
    page.clock.install()
    watch.open("live")
    assert asked_meanwhile(page)
    watch.open("audit")
    assert asked_meanwhile(page) == []


def test_a_name_makes_no_link_and_no_markup_in_a_chart(page: "Page", watch: Watch) -> None:
    name = "<b>bold</b><a/href='https://evil.example'>x</a>"
    made, key = make_key(watch.server, name)
    use(watch.server, key, {"model": MODEL, "input": "a"})
    recorded(watch.server, made, 1)
    watch.open("usage")
    page.get_by_label("Lines for each").select_option("key")
    page.locator("section .plot .legendtext").filter(has_text=name).first.wait_for()
    assert page.locator("main svg a, main img").count() == 0
