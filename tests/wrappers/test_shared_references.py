"""Servers with homes of their own that share a cache stop answering the same wrong vectors."""

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from emblem.caches.tier import Tier
from emblem.caches.tiers import Tiers
from emblem.errors import ModelError
from emblem.space import Space
from emblem.types import EmbedRequest, EmbedResult, Reference
from emblem.wrappers.cached import Cached
from emblem.wrappers.proven import Demands, Proven
from emblem.wrappers.recent import Recent
from emblem.wrappers.references import FileReferences
from emblem.wrappers.shared_references import SharedReferences
from wrappers.honest import SPACE, Honest, run, same, until

OTHER = Space.declared("another", 4, normalised=True)


class Together:
    """What is shared, in this process. ``away`` says why it does not answer."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.away = ""

    def at_least(self, space: Space, least: int) -> int:
        return self._set(space, max(least, self.counts.get(space.identity, 0)))

    def doubt(self, space: Space, known: int) -> int:
        return self._set(space, max(known, self.counts.get(space.identity, 0)) + 1)

    def _set(self, space: Space, number: int) -> int:
        if self.away:
            raise ModelError(self.away)
        self.counts[space.identity] = number
        return number


@pytest.fixture
def shared() -> Together:
    return Together()


@pytest.fixture
def home(tmp_path: Path, shared: Together) -> Callable[[str], SharedReferences]:
    return lambda name: SharedReferences(FileReferences(tmp_path / name), shared)


Home = Callable[[str], SharedReferences]


def test_a_space_was_wrong_as_often_as_whoever_knows_most_of_it_says(
    home: Home, shared: Together, tmp_path: Path
) -> None:
    one, two = home("one"), home("two")
    assert one.doubts(SPACE) == two.doubts(SPACE) == 0
    assert one.doubt(SPACE, 0) == 1
    assert two.doubts(SPACE) == 1
    assert two.doubt(SPACE, 0) == 2, "what it gave since the first is in doubt, too"
    assert one.doubt(SPACE, 7) == 8
    assert (two.doubts(SPACE), two.doubts(OTHER)) == (8, 0)
    assert FileReferences(tmp_path / "two").doubts(SPACE) == 8, "it outlives what is shared"


def test_what_is_shared_learns_anew_what_it_has_lost(home: Home, shared: Together) -> None:
    one, two = home("one"), home("two")
    one.doubt(SPACE, 3)
    shared.counts.clear()
    assert one.doubts(SPACE) == 4
    assert two.doubts(SPACE) == 4


def test_a_home_counts_alone_while_the_others_do_not_answer_and_tells_them_later(
    home: Home, shared: Together, caplog: pytest.LogCaptureFixture
) -> None:
    one, two = home("one"), home("two")
    one.doubt(SPACE, 0)
    shared.away = "nobody answers"
    with caplog.at_level(logging.WARNING):
        assert one.doubts(SPACE) == 1
        assert one.doubt(SPACE, 1) == 2
        assert two.doubts(SPACE) == 0
        assert two.doubt(SPACE, 0) == 1
        shared.away = ""
        assert one.doubts(SPACE) == 2
        assert two.doubts(SPACE) == 2
    said = [line.getMessage() for line in caplog.records]
    assert (
        sum("nobody answers: until it does, the home folder alone counts" in one for one in said)
        == 2
    )
    assert sum("says again how often" in one for one in said) == 2


def test_what_is_shared_counts_also_where_the_home_cannot_be_written(
    home: Home,
    shared: Together,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def full(*_: object) -> int:
        raise ModelError("the disk is full")

    monkeypatch.setattr(FileReferences, "at_least", full)
    shared.counts[SPACE.identity] = 3
    assert home("one").doubts(SPACE) == 3
    assert home("one").doubt(SPACE, 0) == 4
    assert caplog.text.count("the disk is full") == 2


def test_a_home_that_is_damaged_is_said_and_not_taken_for_what_is_shared(
    home: Home, shared: Together, tmp_path: Path
) -> None:
    home("one").doubt(SPACE, 0)
    (file,) = (tmp_path / "one").iterdir()
    file.write_text("many")
    for asked in (home("one").doubts, lambda space: home("one").doubt(space, 0)):
        with pytest.raises(ModelError, match="is damaged: it is to hold a number"):
            asked(SPACE)
    assert shared.counts[SPACE.identity] == 1


def test_references_are_those_of_the_home(home: Home) -> None:
    vectors = np.eye(3, SPACE.width, dtype=np.float32)
    kept = home("one").put(SPACE, Reference("t", vectors, (), "d", 1.0))
    assert home("one").get(SPACE, "t") is not None
    assert kept.by == "d"
    assert home("two").get(SPACE, "t") is None


# -- servers that share entries ----------------------------------------------------------------


class Place(Honest):
    """A deployment; all of its vectors are turned once ``wrong``."""

    wrong = False

    async def embed(self, request: EmbedRequest) -> EmbedResult:
        result = await super().embed(request)
        if not self.wrong:
            return result
        turned = np.ascontiguousarray(np.roll(result.vectors, 1, axis=1))
        return EmbedResult(turned, result.tokens, result.overflowed, result.served_by)


class Shelf:
    """Entries that all servers share."""

    name = "shared"

    def __init__(self) -> None:
        self.contents: dict[bytes, bytes] = {}

    async def get(self, names: list[bytes]) -> dict[bytes, bytes]:
        return {name: self.contents[name] for name in names if name in self.contents}

    async def put(self, contents: dict[bytes, bytes]) -> None:
        self.contents |= contents

    async def aclose(self) -> None:
        """Nothing is held."""


def test_what_one_server_finds_wrong_no_other_answers_from_what_they_share(home: Home) -> None:
    request, entries = EmbedRequest(("a text",)), Shelf()

    def server(name: str) -> tuple[Place, Proven, Cached]:
        place = Place()
        proof = Proven(place, home(name), name, SPACE, Demands())
        return place, proof, Cached(proof, Recent(0), beyond=Tiers([Tier(entries)]))

    async def go() -> None:
        (first, one, by_one), (_, two, by_two) = server("one"), server("two")
        for proof in (one, two):
            await proof.prove()
        right = await by_one.embed(request)
        await _written(entries)
        first.wrong = True
        entries.contents.clear()
        wrong = await by_one.embed(request)  # which it then shares
        await _written(entries)
        assert not same(wrong, right)
        assert same(await by_two.embed(request), wrong), "nobody can tell as yet"
        await one.prove()
        await two.prove()
        answer = await by_two.embed(request)
        assert answer.hits == 0
        assert same(answer, right)
        assert (one.era(), two.era()) == (1, 1)
        assert server("three")[1].era() == 1, "nor one that begins now"

    run(go)


async def _written(entries: Shelf) -> None:
    await until(lambda: bool(entries.contents))
