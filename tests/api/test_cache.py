"""What an answer says of memory, and what a request may say to it."""

import pytest

from api.asking import post
from api.small_app import SERVED, Embedder, OneKey, Small, charging
from emblem.api.app import create_app
from emblem.names import Names
from emblem.service import Limits, Service
from emblem.wrappers.cached import Cached
from emblem.wrappers.coalesced import Coalesced
from emblem.wrappers.recent import Recent

HEADER = "x-embedding-cache"


class Remembering:
    """An application that remembers what its one embedder gave."""

    def __init__(self) -> None:
        self.embedder = Embedder()
        cached = Cached(Coalesced(self.embedder), Recent(10**6))
        service = Service(Names(SERVED, str), {"tiny": cached}, Limits(), charging())
        self.app = create_app(service, OneKey())

    def hits(self, *texts: str, **headers: str) -> str:
        body = {"model": "tiny", "input": [*texts]}
        reply = post(
            self.app, body, headers={name.replace("_", "-"): it for name, it in headers.items()}
        )
        assert reply.status == 200
        return reply.headers[HEADER]


@pytest.fixture
def remembering() -> Remembering:
    return Remembering()


def test_every_answer_says_how_many_inputs_were_not_computed_for_it(
    remembering: Remembering,
) -> None:
    assert remembering.hits("a", "b", "a") == "hits=1/3"  # a duplicate is computed once
    assert remembering.hits("a", "b", "c") == "hits=2/3"
    assert remembering.hits("a") == "hits=1/1"


def test_nothing_is_said_where_nothing_is_remembered(small: Small) -> None:
    assert HEADER not in post(small.app, {"model": "tiny", "input": "a"}).headers


def test_nothing_is_said_in_an_answer_that_is_an_error(remembering: Remembering) -> None:
    reply = post(remembering.app, {"model": "tiny", "input": [""]})
    assert reply.status == 400
    assert HEADER not in reply.headers


@pytest.mark.parametrize("value", ["no-cache", "max-age=0, No-Cache", " no-cache ,x"])
def test_no_cache_has_all_computed_anew_and_remembered(
    remembering: Remembering, value: str
) -> None:
    remembering.hits("a")
    assert remembering.hits("a", cache_control=value) == "hits=0/1"
    assert len(remembering.embedder.requests) == 2
    assert remembering.hits("a") == "hits=1/1"


def test_no_store_has_nothing_remembered(remembering: Remembering) -> None:
    assert remembering.hits("a", cache_control="no-store") == "hits=0/1"
    assert remembering.hits("a") == "hits=0/1"
    assert remembering.hits("a", cache_control="no-store") == "hits=1/1"


def test_both_together_leave_memory_alone(remembering: Remembering) -> None:
    remembering.hits("a")
    assert remembering.hits("a", "b", cache_control="no-cache, no-store") == "hits=0/2"
    assert remembering.hits("b") == "hits=0/1"


@pytest.mark.parametrize("value", ["", "max-age=0", "only-if-cached", "private, must-revalidate"])
def test_whatever_else_the_header_says_asks_for_nothing_here(
    remembering: Remembering, value: str
) -> None:
    remembering.hits("a")
    assert remembering.hits("a", cache_control=value) == "hits=1/1"


def test_usage_and_long_texts_are_told_of_known_texts_as_of_new_ones(
    remembering: Remembering,
) -> None:
    body = {"model": "tiny", "input": ["two words", "a"]}
    first, again = post(remembering.app, body), post(remembering.app, body)
    assert again.headers[HEADER] == "hits=2/2"
    assert again.body == first.body
    assert again.json["usage"]["prompt_tokens"] == 4 + 3
