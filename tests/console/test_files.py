"""The console's page and files, and the headers that its answers have."""

import re

import pytest

from api.asking import Reply
from console.house import House
from emblem.api.console.files import PLOTLY, STATIC, plotly_version

FILES = sorted(str(one.relative_to(STATIC)) for one in STATIC.rglob("*.*"))
PATHS = ("/console", "/console/session", f"/console/assets/{PLOTLY}", "/console/assets/app.js")


@pytest.mark.parametrize("path", PATHS)
def test_every_answer_forbids_what_the_console_does_not_need(house: House, path: str) -> None:
    check(house.visitor().send("GET", path))


def test_refusals_of_the_console_have_its_headers_too(house: House) -> None:
    visitor = house.visitor()
    for reply in (
        visitor.sign_in("sk-wrong-key-0123456789"),
        visitor.sign_in(**{"Sec-Fetch-Site": "cross-site"}),
        visitor.send("GET", "/console/assets/nothing.js"),
    ):
        assert reply.status in (401, 403, 404)
        assert reply.headers["cache-control"] == "no-store"
        assert reply.error["message"]
        check(reply)


def check(reply: Reply) -> None:
    """Check what a browser is told about an answer."""
    headers = reply.headers
    policy = dict(
        rule.partition(" ")[::2] for rule in headers["content-security-policy"].split("; ")
    )
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["connect-src"] == policy["form-action"] == "'self'"
    assert policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert "'unsafe-inline'" not in headers["content-security-policy"]
    assert "'unsafe-eval'" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize("name", [name for name in FILES if name != "index.html"])
def test_every_file_is_served_to_whoever_is_not_signed_in_yet(house: House, name: str) -> None:
    reply = house.visitor().send("GET", f"/console/assets/{name}")
    assert (reply.status, reply.body) == (200, (STATIC / name).read_bytes())
    kinds = {"js": "text/javascript", "css": "text/css", "svg": "image/svg+xml"}
    assert reply.headers["content-type"].startswith(kinds[name.rpartition(".")[2]])


def test_a_file_that_a_browser_has_is_not_sent_again(house: House) -> None:
    first = house.visitor().send("GET", "/console/assets/app.js")
    assert first.headers["cache-control"] == "no-cache"
    again = house.visitor().send(
        "GET", "/console/assets/app.js", headers={"If-None-Match": first.headers["etag"]}
    )
    assert (again.status, again.body) == (304, b"")


def test_plotly_is_kept_for_good_under_its_version(house: House) -> None:
    path = f"/console/assets/{PLOTLY}"
    kept = house.visitor().send("GET", f"{path}?v={plotly_version()}")
    assert kept.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert kept.body[:200].count(b"plotly.js v") == 1
    assert house.visitor().send("GET", f"{path}?v=0").headers["cache-control"] == "no-cache"


@pytest.mark.parametrize(
    "path",
    [
        "/console/assets/nothing.js",
        "/console/assets/pages/nothing.js",
        "/console/assets/../../routes.py",
        "/console/assets/%2e%2e/%2e%2e/cli/main.py",
        "/console/assets/..%2findex.html",
        "/console/assets/pages/../../static/../files.py",
        "/console/assets/",
        "/console/v1/models",
        "/console/v1/embeddings",
        "/console/assets/pages/v1/models",
        "/console/elsewhere",
    ],
)
def test_there_is_nothing_else(house: House, path: str) -> None:
    assert house.visitor().send("GET", path).status in (401, 404)


def test_the_address_with_a_slash_leads_to_the_one_without(house: House) -> None:
    reply = house.visitor().send("GET", "/console/")
    assert (reply.status, reply.headers["location"]) == (307, "../console")


@pytest.mark.parametrize("name", [name for name in FILES if name.endswith((".js", ".html"))])
def test_no_file_reads_data_as_html_or_names_another_host(name: str) -> None:
    text = (STATIC / name).read_text("utf-8")
    for forbidden in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
        assert forbidden not in text, forbidden
    assert re.findall(r"https?://(?!www\.w3\.org)[\w.]+", text) == []
    assert not re.search(r"\sstyle=|\son[a-z]+=\"", text)
