"""Whatever is known on disk or in Redis, damaged or not, changes nothing in the answers."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caches.shelves import DictShelf, Meddling, written
from emblem.caches.disk import DiskShelf
from emblem.caches.ports import Away, Shelf
from emblem.caches.redis import RedisShelf
from emblem.caches.tier import Tier
from emblem.caches.tiers import Tiers
from emblem.types import EmbedRequest, EmbedResult, Lane
from emblem.wrappers.cached import Cached
from emblem.wrappers.checked import Checked
from emblem.wrappers.coalesced import Coalesced
from emblem.wrappers.laned import Laned
from emblem.wrappers.recent import Recent
from redis_server import RedisServer, redis_server
from tiny_engine import tiny_engine
from wrappers.honest import Honest, run, same
from wrappers.test_same_answers import REQUESTS, alike, outcome

Shelves = Callable[[], list[Shelf]]


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server


@pytest.fixture(params=["dictionary", "disk", "redis", "disk and redis"])
def shelves(request: pytest.FixtureRequest, tmp_path: Path) -> Shelves:
    """Open shelves at the same places whenever it is called."""
    url = ""
    if "redis" in request.param:
        server: RedisServer = request.getfixturevalue("redis")
        server.run("FLUSHALL")
        url = server.url

    def opened() -> list[Shelf]:
        made: list[Shelf] = []
        if "dictionary" in request.param:
            made.append(DictShelf())
        if "disk" in request.param:
            made.append(DiskShelf(tmp_path / "cache.sqlite", 1 << 20))
        if "redis" in request.param:
            made.append(RedisShelf(url, ttl_s=1000, max_bytes=1 << 30))
        return made

    return opened


def test_answers_are_those_of_the_embedder_alone_whatever_the_shelves_do(shelves: Shelves) -> None:
    @given(
        st.lists(st.lists(REQUESTS, min_size=1, max_size=4), min_size=1, max_size=4),
        st.sampled_from([0, 700, 10**6]),
        st.sampled_from([None, 1, 2]),
    )
    @settings(max_examples=40, deadline=None)
    def holds(rounds: list[list[EmbedRequest]], room: int, seed: int | None) -> None:
        """The requests of a round run at once; with a ``seed`` the shelves damage and fail."""

        async def go() -> None:
            alone, inner = Checked(Honest()), Honest()
            dice = Random(seed)
            throw = (lambda: 0) if seed is None else (lambda: dice.randrange(12))
            tiers = Tiers([Tier(Meddling(one, throw), timeout_s=20) for one in shelves()])
            cached = Cached(Coalesced(Checked(inner)), Recent(room), beyond=tiers)
            try:
                for requests in rounds:
                    answers = await asyncio.gather(*(outcome(cached, one) for one in requests))
                    for request, answer in zip(requests, answers, strict=True):
                        expected = await outcome(alone, request)
                        assert alike(answer, expected), (request, answer, expected)
                        if isinstance(answer, EmbedResult):
                            assert answer.hits is not None
                            assert 0 <= answer.hits <= len(request.inputs)
                    await written(tiers)
            finally:
                await tiers.aclose()

        asyncio.run(go())

    holds()


def test_what_was_embedded_before_a_restart_is_not_embedded_again(shelves: Shelves) -> None:
    async def go() -> None:
        texts = tuple(f"t{n}" for n in range(300))
        kept = shelves()
        for turn in range(2):
            inner = Honest()
            places = kept if isinstance(kept[0], DictShelf) else shelves()
            tiers = Tiers([Tier(one, timeout_s=20) for one in places])
            cached = Cached(Coalesced(Checked(inner)), Recent(10**7), beyond=tiers)
            answer = await cached.embed(EmbedRequest((*texts, *texts)))
            assert same(answer, await Honest().embed(EmbedRequest((*texts, *texts))))
            assert answer.hits == (300, 600)[turn]
            assert len(inner.computed) == (300, 0)[turn]
            await cached.aclose()
            await tiers.aclose()
        for one in kept if not isinstance(kept[0], DictShelf) else []:
            await one.aclose()

    run(go)


class Bench:
    """A cache over a dictionary, before an embedder."""

    def __init__(self, room: int = 10**6) -> None:
        self.inner, self.shelf = Honest(), DictShelf()
        self.tiers = Tiers([Tier(self.shelf)])
        self.recent = Recent(room)
        self.cached = Cached(self.inner, self.recent, beyond=self.tiers)

    async def embed(self, *inputs: str, **options: object) -> EmbedResult:
        result = await self.cached.embed(EmbedRequest(inputs, **options))
        await written(self.tiers)
        return result


def test_only_what_memory_does_not_know_is_asked_for() -> None:
    async def go() -> None:
        bench = Bench()
        await bench.embed("a", "b")
        bench.shelf.asked.clear()
        assert (await bench.embed("a", "c", "b")).hits == 2
        assert [len(names) for names in bench.shelf.asked] == [1]
        bench.shelf.asked.clear()
        assert (await bench.embed("c", "a")).hits == 2
        assert not bench.shelf.asked

    run(go)


def test_what_was_found_farther_away_is_remembered_here() -> None:
    async def go() -> None:
        bench = Bench()
        await bench.embed("a")
        other = Bench()
        other.shelf.contents = bench.shelf.contents
        assert (await other.embed("a", keep=False)).hits == 1
        assert other.recent.report().entries == 0
        assert (await other.embed("a")).hits == 1
        assert other.recent.report().entries == 1
        assert not other.inner.asked

    run(go)


def test_without_reuse_nothing_is_asked_for_and_without_keep_nothing_written() -> None:
    async def go() -> None:
        bench = Bench(room=0)
        await bench.embed("a")
        bench.shelf.asked.clear()
        assert (await bench.embed("a", reuse=False)).hits == 0
        assert not bench.shelf.asked
        assert len(bench.shelf.puts) == 2
        await bench.embed("b", keep=False)
        assert len(bench.shelf.puts) == 2
        assert (await bench.embed("a", keep=False)).hits == 1

    run(go)


def test_a_shelf_that_is_away_fails_no_request() -> None:
    async def go() -> None:
        bench = Bench(room=0)
        bench.shelf.error = Away("it sleeps")
        for _ in range(5):
            assert (await bench.embed("a")).hits == 0
        assert bench.inner.computed == ["a"] * 5

    run(go)


def test_what_a_text_costs_is_known_from_farther_away_too() -> None:
    async def go() -> None:
        async with tiny_engine() as engine:
            shelf = DictShelf()
            request = EmbedRequest(("w1 w2", "w3"), lane=Lane.BULK)
            for known in (False, True):
                tiers = Tiers([Tier(shelf)])
                stack = Cached(Laned(Coalesced(Checked(engine))), Recent(10**6), beyond=tiers)
                counted, tokens = await stack.count(request)
                assert bool(counted.readings) is not known
                result = await stack.embed(counted)
                assert result.tokens.tolist() == tokens.tolist() == [4, 3]
                assert result.hits == (2 if known else 0)
                await tiers.aclose()

    asyncio.run(go())
