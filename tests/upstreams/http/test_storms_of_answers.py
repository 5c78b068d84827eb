"""Whatever a server sends, in whatever packets: each request gets its own answer, or an error."""

import asyncio
import gzip
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from emblem.upstreams.sending import Bounds, Client, Endless, Lost, Sent, Unreached
from upstreams.http.spoken import Spoken, Talk, asking

ALLOWED = (Endless, Lost, Unreached, TimeoutError)
BOUNDS = Bounds(1.0, 0.15, 3)
OTHER = b"HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\nanother"


@dataclass(frozen=True, slots=True)
class Way:
    """How a request is answered: in a form, cut at places, with something before and after."""

    form: str
    cuts: tuple[int, ...]
    before: bytes
    after: bytes
    waits: bool
    then: str  # what becomes of the connection


WAYS = st.builds(
    Way,
    st.sampled_from(
        ("length", "chunked", "end", "gzip", "none", "short", "cut", "long", "garbage", "wrong")
    ),
    st.lists(st.integers(0, 120), max_size=6).map(tuple),
    st.sampled_from((b"", b"", b"", b"HTTP/1.1 103 x\r\na: b\r\n\r\n", b"x", OTHER)),
    st.sampled_from((b"", b"", b"", b"\r\n", b"x", OTHER, b"HTTP/1.1 100 x\r\n\r\n")),
    st.booleans(),
    st.sampled_from(("stays", "stays", "stays", "closes", "resets", "unasked", "hangs")),
)


def answer(way: Way, body: bytes) -> bytes:
    """Write the answer to a request, of which the body says whose it is."""
    head = b"HTTP/1.1 200 OK\r\n"
    chunked = head + b"transfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n" % (len(body), body)
    packed = gzip.compress(body)
    forms = {
        "length": head + b"content-length: %d\r\n\r\n%b" % (len(body), body),
        "chunked": chunked + b"0\r\nx: y\r\n\r\n",
        "end": head + b"\r\n" + body,
        "gzip": head
        + b"content-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(packed)
        + packed,
        "none": b"",
        "short": head + b"content-length: %d\r\n\r\n%b" % (len(body) + 9, body),
        "cut": chunked,
        "long": head + b"content-length: 100000\r\n\r\n" + body,
        "garbage": b"\0\1\2" + body,
        "wrong": head + b"content-length: 1\r\ncontent-length: 2\r\n\r\n" + body,
    }
    return forms[way.form]


class Server:
    """Answers requests by one way after the other, whichever connections they come over."""

    def __init__(self, ways: Sequence[Way]) -> None:
        self._ways = ways
        self._next = 0

    async def talk(self, one: Talk) -> None:
        while True:
            _, body = await one.asked()
            way = self._ways[self._next % len(self._ways)]
            self._next += 1
            if way.then == "hangs" and way.form == "none":
                await one.gone()
                return
            whole = way.before + answer(way, body) + way.after
            for packet in packets(whole, way.cuts):
                await one.say(packet)
                if way.waits:
                    await asyncio.sleep(0.001)
            if way.then == "unasked":
                await asyncio.sleep(0.001)
                await one.say(OTHER)
            elif way.then == "resets":
                one.writer.transport.abort()
                return
            elif way.then == "closes" or way.form == "end":
                return


def packets(whole: bytes, cuts: Sequence[int]) -> list[bytes]:
    at = sorted({min(cut, len(whole)) for cut in cuts} | {0, len(whole)})
    return [whole[begin:end] for begin, end in pairwise(at)]


def is_honest(way: Way) -> bool:
    """Tell whether there is one answer to a request: of two, nobody can tell which one is meant.

    The second may come when the next request has been sent already, and looks like its answer.
    """
    return way.before != OTHER and way.then != "unasked" and way.after != OTHER


@settings(max_examples=100, deadline=None)
@given(
    ways=st.lists(WAYS, min_size=1, max_size=8),
    rounds=st.lists(st.integers(1, 6), min_size=1, max_size=3),
    leaving=st.sets(st.integers(0, 12), max_size=3),
)
def test_each_request_gets_its_own_answer_or_an_error_and_nothing_is_left(
    ways: list[Way], rounds: list[int], leaving: set[int]
) -> None:
    async def work(client: Client, spoken: Spoken) -> None:
        number = 0
        for together in rounds:
            tasks = {}
            for _ in range(together):
                body = b"text %04d;" % number
                tasks[body] = asyncio.create_task(client.send(Sent(body, {}, 5000, 0.25)))
                if number in leaving:
                    asyncio.get_running_loop().call_later(0.002, tasks[body].cancel)
                number += 1
            for body, task in tasks.items():
                (found,) = await asyncio.gather(task, return_exceptions=True)
                if isinstance(found, BaseException):
                    assert isinstance(found, (*ALLOWED, asyncio.CancelledError)), found
                else:
                    # More may be behind it where the server said so, in a length or by its end.
                    assert found.content.startswith(body) or not honest
            pool = client._pool
            assert pool is not None
            assert (pool._places, len(pool._waiting)) == (0, 0)
            assert len(pool._open) <= BOUNDS.max_connections
            for _ in range(3):  # what was closed by an answer has its end in a moment
                await asyncio.sleep(0)
            assert {*pool._kept} == {*pool._open}

    honest = all(map(is_honest, ways))
    asking(Server(ways).talk, work, BOUNDS)
