"""What a table adds to each request to an upstream: headers, and what a text is for."""

import asyncio
import time
from dataclasses import replace

import pytest

from emblem.errors import EmblemError
from emblem.types import EmbedRequest, Kind
from emblem.upstreams.passing import Bounds, Destination, HttpPassage
from emblem.upstreams.presets import preset
from upstreams.provided import opened, provider_for
from upstreams.scripted import Scripted, refused

PASS = "planted-pass-5c1"
COMPATIBLE = preset("openai-compatible")


def test_headers_go_with_every_request_beside_those_of_emblem(scripted: Scripted) -> None:
    async def go() -> None:
        upstream = opened(COMPATIBLE, scripted, headers={"X-Pass": PASS, "X-Team": "search"})
        await upstream.embed(EmbedRequest(("a", "b"), reuse=False))
        await upstream.aclose()

    asyncio.run(go())
    assert len(scripted.headers) >= 2
    for sent in scripted.headers:
        assert (sent["x-pass"], sent["x-team"]) == (PASS, "search")
        assert sent["content-type"] == "application/json"
        assert sent["authorization"].startswith("Bearer ")
    assert scripted.headers[-1]["cache-control"] == "no-cache"


@pytest.mark.parametrize("status", [400, 401, 404, 500])
def test_no_error_shows_the_value_of_a_header(scripted: Scripted, status: int) -> None:
    scripted.script = lambda _: refused(
        status, f"X-Pass {PASS} of search is none", param=PASS, code=PASS
    )

    async def go() -> None:
        upstream = opened(COMPATIBLE, scripted, headers={"X-Pass": PASS, "X-Team": "search"})
        with pytest.raises(EmblemError) as caught:
            await upstream.embed(EmbedRequest(("a",)))
        assert PASS not in str(caught.value) + repr(vars(caught.value))
        await upstream.aclose()

    asyncio.run(go())


def test_a_query_and_a_document_are_told_in_the_fields_of_the_table(scripted: Scripted) -> None:
    kinds = {Kind.QUERY: {"input_type": "question", "rank": 2}, Kind.DOCUMENT: {}}

    async def go() -> None:
        upstream = opened(replace(COMPATIBLE, kinds=kinds), scripted)
        for kind in (None, Kind.QUERY, Kind.DOCUMENT):
            await upstream.embed(EmbedRequest(("a",), kind=kind))
        await upstream.aclose()

    asyncio.run(go())
    said = [(body.get("input_type"), body.get("rank")) for body in scripted.bodies[-3:]]
    assert said == [(None, None), ("question", 2), (None, None)]


@pytest.mark.parametrize("status", [200, 400, 500])
def test_what_is_passed_on_has_them_too_and_no_answer_shows_them(
    scripted: Scripted, status: int
) -> None:
    long = PASS + "-that-is-long-enough-to-be-no-word"
    scripted.script = lambda _: refused(status, f"of {long}")

    async def go() -> str:
        provider = provider_for(COMPATIBLE, scripted, headers={"X-Pass": long})
        where = Destination("mine", f"{provider.base_url}/chat/completions", "m")
        passage = HttpPassage(provider, where, Bounds(20.0, 20.0))
        try:
            async with passage.send(b"{}", time.monotonic() + 20.0) as passed:
                return (await passed.whole()).decode()
        except EmblemError as error:
            return f"{error} {vars(error)!r}"
        finally:
            await passage.aclose()

    assert long not in asyncio.run(go())
    assert scripted.headers[0]["x-pass"] == long
