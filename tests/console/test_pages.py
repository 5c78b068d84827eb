"""The console's pages that show something: playground, models, usage and what runs now."""

import csv
import json
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from console.watching import Watch
from server import RunningServer
from system import require

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page, Request

MODEL = "wordllama-256"
PATIENCE_S = 10.0
TEXTS = ("How do I reset my password?", "I forgot my login.", "The invoice is attached.")


def vectors(
    server: RunningServer, texts: tuple[str, ...], **more: object
) -> "np.ndarray[Any, Any]":
    """Ask for vectors over HTTP, as float64."""
    answer = server.post({"model": MODEL, "input": list(texts), **more}).json()
    return np.array([one["embedding"] for one in answer["data"]], dtype=np.float64)


def cosines(found: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
    unit = found / np.linalg.norm(found, axis=1, keepdims=True)
    return unit @ unit.T


def table(page: "Page", name: str) -> "Locator":
    return page.get_by_role("region", name=name, exact=True)


def rows(page: "Page", name: str) -> list[list[str]]:
    """Wait for a table, and read it row by row."""
    table(page, name).wait_for()
    found = table(page, name).locator("tbody tr").all()
    return [one.locator("th, td").all_inner_texts() for one in found]


def embed(page: "Page", *texts: str) -> None:
    """Have the playground embed texts, and wait for the answer."""
    page.get_by_label("Texts, one a line").fill("\n".join(texts))
    with page.expect_response("**/v1/embeddings"):
        page.get_by_role("button", name="Embed", exact=True).click()
    page.get_by_role("button", name="Embed", exact=True).and_(page.locator(":enabled")).wait_for()


def shown_cosines(page: "Page") -> "np.ndarray[Any, Any]":
    """Read the matrix that the playground shows."""
    page.get_by_text("The cosines as a table").click()
    return np.array([[float(one) for one in row[1:]] for row in rows(page, "Cosines")])


def test_the_playground_shows_the_cosines_of_the_vectors_that_the_server_gives(
    page: "Page", server: RunningServer
) -> None:
    embed(page, *TEXTS)
    want = cosines(vectors(server, TEXTS))
    assert shown_cosines(page) == pytest.approx(want, abs=5e-5 + 1e-9)
    first, second = divmod(int(np.argmax(want - 2 * np.eye(3))), 3)
    nearest = rows(page, "Nearest pairs")[0]
    assert float(nearest[0]) == pytest.approx(want[first, second], abs=6e-5)
    assert nearest[1:] == [f"{first + 1}: {TEXTS[first]}", f"{second + 1}: {TEXTS[second]}"]


def test_charts_are_drawn_though_no_style_may_be_inline(page: "Page") -> None:
    embed(page, *TEXTS)
    page.locator("figure .heatmaplayer image").wait_for(state="attached")
    page.locator("figure .scatterlayer .point").nth(2).wait_for(state="attached")
    layer = page.locator("figure .main-svg").first
    assert layer.evaluate("svg => getComputedStyle(svg).position") == "absolute"
    button = page.get_by_role("button", name="Change between light and dark")
    ground = "figure => figure.querySelector('.main-svg').style.background"
    before = page.locator("figure").first.evaluate(ground)
    button.click()
    page.wait_for_function(
        "before => document.querySelector('figure .main-svg').style.background !== before",
        arg=before,
    )


def test_the_playground_says_what_the_answer_says_of_itself(
    page: "Page", server: RunningServer
) -> None:
    texts = ("a text of its own", "and another one")
    embed(page, *texts)
    answer = server.post({"model": MODEL, "input": list(texts)})
    tiles = page.locator(".result .tile").all_inner_texts()
    said = {name: value for value, name in (one.split("\n") for one in tiles)}
    assert (said["Texts"], said["Width"], said["Norm"]) == ("2", "256", "1.0000")
    assert said["Tokens"] == str(answer.json()["usage"]["prompt_tokens"])
    result = page.locator(".result").inner_text()
    assert answer.headers["x-embedding-space"] in result
    assert "0 of 2" in result
    embed(page, *texts)
    assert "2 of 2" in page.locator(".result").inner_text()  # they are remembered


def test_dimensions_and_base64_of_the_playground_are_those_of_the_request(
    page: "Page", server: RunningServer
) -> None:
    page.get_by_label("Dimensions", exact=True).fill("32")
    page.get_by_label("Encoding").select_option("base64")
    embed(page, *TEXTS)
    want = cosines(vectors(server, TEXTS, dimensions=32))
    assert shown_cosines(page) == pytest.approx(want, abs=5e-5 + 1e-9)
    assert f"{MODEL}@" in page.locator(".result").inner_text()
    assert '"encoding_format": "base64"' in page.get_by_label("Code").inner_text()


def test_the_map_has_the_principal_components_of_the_vectors(page: "Page") -> None:
    given = np.random.default_rng(5).normal(size=(20, 48))
    found = page.evaluate(
        "async given => (await import(new URL('console/assets/vectors.js', document.baseURI)))"
        ".principal(given)",
        given.tolist(),
    )
    centred = given - given.mean(axis=0)
    left, sizes, _ = np.linalg.svd(centred, full_matrices=False)
    want = left[:, :2] * sizes[:2]
    want *= np.sign(want[np.abs(want).argmax(axis=0), [0, 1]])
    assert np.array(found["points"]) == pytest.approx(want, abs=1e-9)
    assert found["explained"] == pytest.approx((sizes**2 / (sizes**2).sum())[:2].tolist())


def test_one_text_and_equal_texts_are_no_trouble(page: "Page") -> None:
    embed(page, "alone")
    page.get_by_text("One text has nothing to be compared with.").wait_for()
    embed(page, "the same", "the same", "the same")
    assert {row[0] for row in rows(page, "Nearest pairs")} == {"1.0000"}


def test_a_refusal_is_shown_in_the_words_of_the_server(page: "Page", watch: Watch) -> None:
    page.get_by_label("What the texts are").select_option("query")
    embed(page, "a text")
    said = page.locator(".result").get_by_role("alert").inner_text()
    body = {"model": MODEL, "input": ["a text"], "input_type": "query"}
    assert said == watch.server.post(body).json()["error"]["message"]
    (error,) = watch.errors
    assert "400" in error
    watch.errors.clear()


def test_texts_are_shown_as_they_are_whatever_they_say(page: "Page") -> None:
    text = "<img src=x onerror=alert(1)> <b>bold</b> &amp;"
    embed(page, text, "another")
    assert rows(page, "Texts")[0][1] == text
    assert page.locator("main img, main b").count() == 0


def test_a_box_holds_a_text_of_several_lines_and_the_keyboard_sends_it(page: "Page") -> None:
    page.get_by_label("one a box, which may have several lines").check()
    for number in range(page.get_by_role("button", name="Remove text").count(), 1, -1):
        page.get_by_role("button", name=f"Remove text {number}", exact=True).click()
    page.get_by_label("Text 1", exact=True).fill("one\ntwo")
    page.get_by_role("button", name="Add a text").click()
    page.get_by_label("Text 2", exact=True).fill("three")
    with page.expect_request("**/v1/embeddings") as sent:
        page.keyboard.press("Control+Enter")
    assert sent.value.post_data_json["input"] == ["one\ntwo", "three"]
    table(page, "Texts").wait_for()


def test_the_copied_command_gives_the_same_vectors(page: "Page", server: RunningServer) -> None:
    require("curl")
    texts = ("it's a 'quoted' \"text\"", "C:\\folder $HOME `id`", "ünï ✓")
    page.get_by_label("Texts, one a line").fill("\n".join(texts))
    page.get_by_role("button", name="curl").click()
    command = page.get_by_label("Code").inner_text()
    assert server.key not in command
    answer = subprocess.run(
        ["sh", "-c", command.replace("YOUR_KEY", server.key)],
        capture_output=True,
        check=True,
        timeout=30,
    )
    found = [one["embedding"] for one in json.loads(answer.stdout)["data"]]
    assert np.array(found) == pytest.approx(vectors(server, texts))


def test_the_copied_code_is_python_and_javascript(page: "Page", tmp_path: Path) -> None:
    require("node")
    page.get_by_label("Texts, one a line").fill('it\'s "one" \\ text\nünï ✓')
    page.get_by_label("Dimensions", exact=True).fill("64")
    page.get_by_label("Texts that are too long").select_option("error")
    page.get_by_role("button", name="Python").click()
    code = page.get_by_label("Code").inner_text()
    compile(code, "copied.py", "exec")
    assert 'extra_body={\n        "overflow": "error"\n    }' in code
    page.get_by_role("button", name="JavaScript").click()
    file = tmp_path / "copied.mjs"
    file.write_text(page.get_by_label("Code").inner_text(), "utf-8")
    subprocess.run(["node", "--check", str(file)], check=True, timeout=30)


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


def live_requests(page: "Page") -> list[str]:
    """Collect what is asked of the page of what runs, from now on."""
    asked: list[str] = []

    def note(request: "Request") -> None:
        if request.url.endswith("/admin/live"):
            asked.append(request.url)

    page.on("request", note)
    return asked


def test_nobody_asks_what_runs_while_the_page_is_hidden(page: "Page", watch: Watch) -> None:
    page.clock.install()
    watch.open("live")
    hide = "hidden => { Object.defineProperty(document, 'hidden', {value: hidden, configurable: true}); document.dispatchEvent(new Event('visibilitychange')); }"
    with page.expect_response("**/admin/live"):
        page.clock.run_for(1100)
    page.evaluate(hide, True)
    page.clock.run_for(1100)  # what was under way
    asked = live_requests(page)
    page.clock.run_for(10_000)
    page.evaluate("() => fetch('health').then(answer => answer.ok)")
    assert asked == []
    with page.expect_response("**/admin/live"):
        page.evaluate(hide, False)


def test_nobody_asks_what_runs_once_the_page_is_left(page: "Page", watch: Watch) -> None:
    page.clock.install()
    watch.open("live")
    with page.expect_response("**/admin/live"):
        page.clock.run_for(1100)
    watch.open("audit")
    asked = live_requests(page)
    page.clock.run_for(10_000)
    page.evaluate("() => fetch('health').then(answer => answer.ok)")
    assert asked == []
