"""The console's playground: what it shows is what the server gives."""

import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from console.tables import rows, table
from console.watching import Watch
from server import RunningServer
from system import require

if TYPE_CHECKING:
    from playwright.sync_api import Page, Route

MODEL = "wordllama-256"
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


def test_which_texts_were_too_long_is_said_as_they_are_numbered(page: "Page") -> None:
    said = {"x-embedding-overflow": "mean; count=2; inputs=0,2"}

    def longer(route: "Route") -> None:
        answer = route.fetch()
        route.fulfill(response=answer, headers={**answer.headers, **said})

    page.route("**/v1/embeddings", longer)
    embed(page, *TEXTS)
    assert "2 (mean): 1, 3" in page.locator(".result").inner_text()


def test_an_answer_is_no_wider_than_a_phone(page: "Page", watch: Watch) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    embed(page, *TEXTS, "a" * 200)
    shown_cosines(page)
    page.locator("figure .scatterlayer .point").nth(3).wait_for(state="attached")
    assert watch.width() <= 360
