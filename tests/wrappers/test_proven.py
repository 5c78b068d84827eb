"""A deployment answers only while its vectors are those of its space."""

import asyncio
import logging
from dataclasses import replace
from math import inf
from pathlib import Path

import numpy as np
import pytest

from emblem.core.canaries import canaries
from emblem.errors import (
    DeadlineExceeded,
    DeploymentFailed,
    InvalidInput,
    InvalidRequest,
    InvalidResult,
    ModelError,
    Overloaded,
)
from emblem.ports import Embedder
from emblem.space import Space
from emblem.types import EmbedRequest, EmbedResult, Health, Kind, Lane, Overflow
from emblem.wrappers.around import Around
from emblem.wrappers.cached import Cached
from emblem.wrappers.coalesced import Coalesced
from emblem.wrappers.laned import Laned
from emblem.wrappers.pool import Member, Pool
from emblem.wrappers.proven import Demands, Proven
from emblem.wrappers.recent import Recent
from emblem.wrappers.references import FileReferences
from wrappers.honest import SPACE, Honest, run, same, until

REQUEST = EmbedRequest(("a text",))


class Place(Honest):
    """A deployment whose vectors a test can turn, and which can refuse long texts."""

    def __init__(self) -> None:
        super().__init__()
        self.turn = 0.0  # what is added to a number of each vector
        self.longest: int | None = None
        self.scale = 1.0
        self.after = 0  # requests that are answered as they were before the turn

    async def embed(self, request: EmbedRequest) -> EmbedResult:
        if self.longest is not None and any(len(one) > self.longest for one in request.inputs):
            raise InvalidInput([(0, "is too long")])
        result = await super().embed(request)
        if self.turn and len(self.asked) > self.after:
            vectors = result.vectors.copy()
            vectors[:, 0] += self.turn
            vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
            result = replace(result, vectors=vectors)
        return replace(result, vectors=(result.vectors * np.float32(self.scale)))


class Elsewhere(Around):
    """The same model under another name, as it is called by whoever else serves it."""

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self._space = Space.declared("somebody else's", SPACE.width, normalised=True)
        self.embed = place.embed


class Rounds:
    """The time between two proofs: each begins when a test says so. Pauses are kept."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.pauses: list[float] = []
        self._next = asyncio.Semaphore(0)
        self._waits = asyncio.Event()

    def __call__(self) -> float:
        return self.now

    async def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self._waits.set()
        await self._next.acquire()
        self.now += seconds

    async def over(self) -> None:
        """Let one more proof be made, and wait until it is."""
        await self._waits.wait()
        self._waits.clear()
        self.release()
        await self._waits.wait()

    def release(self) -> None:
        """Let the next proof be made."""
        self._next.release()


@pytest.fixture
def references(tmp_path: Path) -> FileReferences:
    return FileReferences(tmp_path / "spaces")


def proven(
    place: Embedder,
    references: FileReferences,
    name: str = "place",
    rounds: Rounds | None = None,
    **demands: object,
) -> Proven:
    rounds = rounds or Rounds()
    return Proven(
        place,
        references,
        name,
        SPACE,
        Demands(**demands),  # type: ignore[arg-type]
        clock=rounds,
        dice=lambda: 0.5,
        pause=rounds.pause,
    )


def test_nothing_is_answered_before_the_first_proof(references: FileReferences) -> None:
    async def go() -> None:
        place = Place()
        one = proven(place, references)
        with pytest.raises(DeploymentFailed, match="no proof was made yet"):
            await one.embed(REQUEST)
        assert place.asked == []
        assert one.deployments()[0].health is Health.UNPROVEN
        await one.begin()
        assert same(await one.embed(REQUEST), await place.embed(REQUEST))
        state = one.deployments()[0]
        assert (state.name, state.health, state.problem) == ("place", Health.SERVING, None)
        assert state.worst_cosine == pytest.approx(1.0)
        assert state.proven_s == 0.0
        await one.aclose()

    run(go)


def test_a_proof_is_work_in_the_background_that_nobody_keeps(references: FileReferences) -> None:
    async def go() -> None:
        place = Place()
        one = proven(place, references)
        await one.prove()
        assert {request.lane for request in place.asked} == {Lane.BULK}
        assert not any(request.reuse or request.keep for request in place.asked)
        assert sorted(place.computed) == sorted(text.text for text in canaries())
        assert max(len(request.inputs) for request in place.asked) > 1, "mixed up texts would show"

    run(go)


def test_the_first_is_what_all_others_are_held_to_also_after_a_restart(
    references: FileReferences,
) -> None:
    async def go() -> None:
        turned = Place()
        turned.turn = 0.2
        first, twin, other = (
            proven(Elsewhere(place), references, place_name)
            for place_name, place in (("a", Place()), ("b", Place()), ("c", turned))
        )
        for one in (first, twin, other):
            await one.prove()
        assert first.problem() is None
        assert twin.problem() is None
        problem = other.problem()
        assert problem is not None
        assert problem.startswith("is quarantined, for it does not give vectors of honest@")
        assert "to the reference, and 0.999 is the least" in problem
        again = proven(Place(), FileReferences(references.folder), "d")
        await again.prove()
        assert again.problem() is None

    run(go)


def test_a_quarantined_one_answers_nothing_and_comes_back_when_it_is_right(
    references: FileReferences, caplog: pytest.LogCaptureFixture
) -> None:
    async def go() -> None:
        place, rounds = Place(), Rounds()
        one = proven(place, references, "place", rounds, every_s=300.0)
        await one.begin()
        place.turn = 0.3
        before = (await one.embed(REQUEST)).vectors
        await rounds.over()
        place.asked.clear()
        with pytest.raises(DeploymentFailed, match="place is quarantined"):
            await one.embed(REQUEST)
        assert place.asked == []
        state = one.deployments()[0]
        assert state.health is Health.QUARANTINED
        assert state.worst_cosine is not None
        assert 0.5 < state.worst_cosine < 0.999
        assert state.proven_s == 300.0
        await rounds.over()
        place.turn = 0.0
        await rounds.over()
        assert one.deployments()[0].health is Health.SERVING
        assert not np.allclose((await one.embed(REQUEST)).vectors, before)
        assert rounds.pauses == [300.0] * 4
        await one.aclose()

    with caplog.at_level(logging.INFO, "emblem.wrappers.proven"):
        run(go)
    told = [record.levelno for record in caplog.records if "vectors of" in record.message]
    assert told == [logging.INFO, logging.ERROR, logging.INFO], "each piece of news once"


def test_what_is_in_work_when_it_is_found_out_is_not_answered(
    references: FileReferences,
) -> None:
    async def go() -> None:
        place = Place()
        one = proven(place, references)
        await one.prove()
        place.gate.clear()
        asked = len(place.asked)
        answer = asyncio.create_task(one.embed(REQUEST))
        await until(lambda: len(place.asked) > asked)
        place.turn = 0.3
        proof = asyncio.create_task(one.prove())
        await until(lambda: len(place.asked) > asked + 4)
        one._judge(replace(one._verdict, problem="other vectors"))
        place.gate.set()
        with pytest.raises(DeploymentFailed, match="quarantined"):
            await answer
        await proof

    run(go)


@pytest.mark.parametrize(
    "error", [DeploymentFailed("gone"), Overloaded("busy", 3.0), DeadlineExceeded("late")]
)
def test_a_proof_that_cannot_be_made_changes_nothing(
    references: FileReferences, error: Exception
) -> None:
    async def go() -> None:
        place, rounds = Place(), Rounds()
        place.error = error
        one = proven(place, references, "place", rounds)
        await one.begin()
        problem = one.problem()
        assert problem is not None
        assert problem.startswith("is not proven to give vectors of honest@")
        assert problem.endswith(str(error))
        await rounds.over()
        await rounds.over()
        assert rounds.pauses == [2.0, 4.0, 8.0], "it is tried soon, and less and less often"
        place.error = None
        await rounds.over()
        assert one.problem() is None
        place.error = error
        await rounds.over()
        assert one.problem() is None, "it was right when it was last heard of"
        place.error, place.turn = None, 0.3
        await rounds.over()
        assert one.deployments()[0].health is Health.QUARANTINED
        place.error = error
        await rounds.over()
        assert one.deployments()[0].health is Health.QUARANTINED
        await one.aclose()

    run(go)


@pytest.mark.parametrize(
    ("what", "said"),
    [
        (InvalidResult("place", "a zero vector at 0"), "it gave a zero vector at 0"),
        (InvalidResult("place", "1 × 3 where 1 × 6 was asked for"), "1 × 3 where 1 × 6"),
    ],
)
def test_vectors_that_cannot_be_right_put_it_in_quarantine(
    references: FileReferences, what: InvalidResult, said: str
) -> None:
    async def go() -> None:
        place = Place()
        one = proven(place, references)
        await one.prove()
        place.error = what
        await one.prove()
        assert one.deployments()[0].health is Health.QUARANTINED
        assert said in str(one.problem())

    run(go)


def test_a_deployment_of_another_width_or_length_of_vectors_is_none_of_the_space(
    references: FileReferences,
) -> None:
    async def go() -> None:
        await proven(Place(), references).prove()
        long = Place()
        long.scale = 3.0
        one = proven(long, references, "long")
        await one.prove()
        assert "norm 3.0000, not 1" in str(one.problem())
        wide = Honest(Space.declared("wide", SPACE.width + 2, normalised=True))
        two = Proven(wide, references, "wide", SPACE)
        await two.prove()
        assert "8 where" in str(two.problem())

    run(go)


def test_another_rule_for_long_texts_is_another_space(references: FileReferences) -> None:
    async def go() -> None:
        await proven(Place(), references).prove()
        cuts = Honest(replace(SPACE, overflow=Overflow.TRUNCATE))
        one = Proven(cuts, references, "cuts", SPACE)
        await one.prove()
        assert "its vector of the text of about" in str(one.problem())

    run(go)


def test_texts_that_both_refuse_are_no_difference(references: FileReferences) -> None:
    async def go() -> None:
        places = [Place() for _ in range(3)]
        places[0].longest = places[1].longest = 2000
        first, twin, all_ = (
            proven(place, references, name) for name, place in zip("abc", places, strict=True)
        )
        for one in (first, twin, all_):
            await one.prove()
        assert first.problem() is None
        assert twin.problem() is None
        assert "it embeds the text of about 2000 tokens in English, which a refused" in str(
            all_.problem()
        )

    run(go)


def test_a_model_that_is_no_longer_served_refusing_long_texts_is_held_to_other_vectors(
    references: FileReferences,
) -> None:
    async def go() -> None:
        refusing = Place()
        refusing.longest = 2000
        before = Proven(
            refusing, references, "place", replace(SPACE, overflow=Overflow.ERROR), Demands()
        )
        await before.prove()
        now = proven(Place(), references)  # its tokenizer was found, so its texts are windowed
        await now.prove()
        assert (before.problem(), now.problem()) == (None, None)

    run(go)


def test_a_deployment_that_refuses_everything_becomes_nobodys_reference(
    references: FileReferences,
) -> None:
    async def go() -> None:
        place = Place()
        place.error = InvalidRequest("there is no such model")
        one = proven(place, references)
        await one.prove()
        assert "it refuses even short texts" in str(one.problem())
        assert one.deployments()[0].health is Health.UNPROVEN
        assert not references.folder.exists()

    run(go)


def test_texts_that_it_cannot_be_asked_for_are_left_out_of_its_proof(
    references: FileReferences,
) -> None:
    class Picky(Place):
        async def embed(self, request: EmbedRequest) -> EmbedResult:
            if any(len(one) > 500 for one in request.inputs):
                raise DeploymentFailed("cannot be sent that", unasked=True)
            return await super().embed(request)

    async def go() -> None:
        here, there = Place(), Picky()
        await proven(here, references, "here").prove()
        beside = proven(there, references, "there", founds=False)
        await beside.prove()
        assert beside.problem() is None
        there.turn = 0.3
        await beside.prove()
        assert beside.deployments()[0].health is Health.QUARANTINED

    run(go)


def test_where_the_model_is_here_itself_only_its_own_vectors_are_the_reference(
    references: FileReferences,
) -> None:
    async def go() -> None:
        elsewhere, here = Place(), Place()
        elsewhere.turn = 0.3
        far = proven(elsewhere, references, "far", founds=False)
        near = proven(here, references, "near")
        await far.prove()
        assert "nothing yet to compare it with" in str(far.problem())
        assert elsewhere.asked == [], "nothing is asked for in vain"
        await near.prove()
        await far.prove()
        assert near.problem() is None
        assert far.deployments()[0].health is Health.QUARANTINED

    run(go)


def test_kinds_are_proven_where_the_model_has_them(references: FileReferences) -> None:
    class Deaf(Place):
        """One to which a question is a document."""

        async def embed(self, request: EmbedRequest) -> EmbedResult:
            kind = None if request.kind is None else Kind.DOCUMENT
            return await super().embed(replace(request, kind=kind))

    async def go() -> None:
        first = proven(Place(), references, "a", kinds=tuple(Kind))
        deaf = proven(Deaf(), references, "b", kinds=tuple(Kind))
        await first.prove()
        await deaf.prove()
        assert "texts of no kind agree, so its prompts are others" in str(deaf.problem())

    run(go)


def test_a_damaged_reference_is_not_trusted_and_is_named(references: FileReferences) -> None:
    async def go() -> None:
        one = proven(Place(), references)
        await one.prove()
        (path,) = references.folder.iterdir()
        path.write_bytes(path.read_bytes()[:-1])
        other = proven(Place(), references, "other")
        await other.prove()
        assert f"spaces/{path.name}: is damaged" in str(other.problem())
        assert other.deployments()[0].health is Health.UNPROVEN

    run(go)


def test_two_that_come_first_at_once_are_held_to_one_reference(
    references: FileReferences,
) -> None:
    async def go() -> None:
        turned = Place()
        turned.turn = 0.3
        one, other = proven(Place(), references, "a"), proven(turned, references, "b")
        await asyncio.gather(one.prove(), other.prove())
        health = {state.deployments()[0].health for state in (one, other)}
        assert health == {Health.SERVING, Health.QUARANTINED}

    run(go)


def test_an_error_nobody_thought_of_does_not_end_the_proofs(
    references: FileReferences, caplog: pytest.LogCaptureFixture
) -> None:
    async def go() -> None:
        place, rounds = Place(), Rounds()
        one = proven(place, references, "place", rounds)
        await one.begin()
        place.error = RuntimeError("a bug")
        await rounds.over()
        assert one.problem() is None
        place.error, place.turn = None, 0.3
        await rounds.over()
        assert one.deployments()[0].health is Health.QUARANTINED
        await one.aclose()

    run(go)
    assert "place could not be proven" in caplog.text


def test_what_cannot_change_is_proven_once_and_as_often_as_that_fails(
    references: FileReferences,
) -> None:
    async def go() -> None:
        place, rounds = Place(), Rounds()
        place.error = Overloaded("busy", 1.0)
        one = proven(place, references, "place", rounds, every_s=inf)
        await one.begin()
        await until(lambda: rounds.pauses == [2.0])
        place.error = None
        rounds.release()
        await until(lambda: one._rounds is not None and one._rounds.done())
        assert one.problem() is None
        assert rounds.pauses == [2.0]
        await one.aclose()

    run(go)


def test_closing_ends_the_proofs_and_closes_the_deployment(references: FileReferences) -> None:
    async def go() -> None:
        place, rounds = Place(), Rounds()
        one = proven(place, references, "place", rounds)
        await one.begin()
        await until(lambda: rounds.pauses)
        await one.aclose()
        assert place.closed
        assert len(asyncio.all_tasks()) == 1

    run(go)


def test_what_was_remembered_of_a_deployment_that_was_wrong_is_computed_anew(
    references: FileReferences,
) -> None:
    async def go() -> None:
        place, rounds = Place(), Rounds()
        one = proven(place, references, "place", rounds)
        pool = Pool(SPACE, [Member("place", one)])
        cached = Cached(Laned(Coalesced(pool)), Recent(10**6))
        await one.begin()
        right = (await cached.embed(REQUEST)).vectors
        place.turn = 0.3
        late = EmbedRequest(("another text",))
        wrong = (await cached.embed(late)).vectors
        assert (await cached.embed(REQUEST)).hits == 1
        assert cached.era() == 0
        await rounds.over()
        assert cached.era() == 1
        with pytest.raises(DeploymentFailed, match="quarantined"):
            await cached.embed(late)
        place.turn = 0.0
        await rounds.over()
        again = await cached.embed(late)
        assert again.hits == 0
        assert not np.allclose(again.vectors, wrong)
        np.testing.assert_array_equal((await cached.embed(REQUEST)).vectors, right)
        assert (await cached.embed(late)).hits == 1
        assert cached.era() == 1, "it was found wrong once"
        await cached.aclose()

    run(go)


def test_what_is_here_alone_is_never_answered_with_what_came_from_elsewhere(
    references: FileReferences,
) -> None:
    """Both are in one space; but what is in this process cannot be wrong, and forgets nothing."""

    async def go() -> None:
        place, here, recent = Place(), Place(), Recent(10**6)
        one = proven(place, references)
        await one.prove()
        place.turn = 0.3
        await Cached(Pool(SPACE, [Member("place", one)]), recent).embed(REQUEST)
        alone = await Cached(here, recent).embed(REQUEST)
        assert alone.hits == 0
        assert same(alone, await here.embed(REQUEST))

    run(go)


def test_an_era_outlives_the_process_and_is_that_of_all_who_share_the_references(
    references: FileReferences,
) -> None:
    async def go() -> None:
        place = Place()
        one, twin = proven(place, references, "a"), proven(place, references, "b")
        for each in (one, twin):
            await each.prove()
        assert (one.era(), twin.era()) == (0, 0)
        place.turn = 0.3
        await one.prove()
        assert (one.era(), twin.era()) == (1, 0)
        await twin.prove()
        assert (one.era(), twin.era()) == (1, 2), "it had answered since the first was found out"
        await one.prove()
        assert one.era() == 2, "it is wrong still, and has given nothing since"
        assert proven(Place(), references, "c").era() == 2
        never = proven(place, references, "d")
        await never.prove()
        assert never.deployments()[0].health is Health.QUARANTINED
        assert never.era() == 3, "it may have given some before this process began"

    run(go)


def test_what_was_remembered_before_a_restart_is_not_answered_where_the_model_changed_meanwhile(
    references: FileReferences,
) -> None:
    async def go() -> None:
        place, kept = Place(), Recent(10**6)
        before = proven(place, references)
        await before.prove()
        place.turn = 0.3  # and before that is found out, the process ends
        wrong = await Cached(before, kept).embed(REQUEST)
        now = proven(place, references)
        await now.prove()
        assert now.deployments()[0].health is Health.QUARANTINED
        place.turn = 0.0
        await now.prove()
        right = await Cached(now, kept).embed(REQUEST)
        assert not np.array_equal(right.vectors, wrong.vectors)
        assert same(right, await place.embed(REQUEST))

    run(go)


def test_what_the_second_gave_before_it_was_found_wrong_too_is_not_remembered(
    references: FileReferences,
) -> None:
    """Two deployments of one provider change at once, and are found out one after the other."""

    async def go() -> None:
        place, other = Place(), Place()
        one, twin = proven(place, references, "a"), proven(other, references, "b")
        for each in (one, twin):
            await each.prove()
        pool = Pool(SPACE, [Member("a", one), Member("b", twin)])
        cached = Cached(pool, Recent(10**6))
        place.turn = other.turn = 0.3
        await one.prove()
        wrong = await cached.embed(REQUEST)
        assert wrong.served_by == "b"
        await twin.prove()
        other.turn = 0.0
        await twin.prove()
        right = await cached.embed(REQUEST)
        assert right.hits == 0
        assert not same(right, wrong)

    run(go)


def test_an_era_begins_also_where_that_cannot_be_written(
    references: FileReferences, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise ModelError("the disk is full")

    async def go() -> None:
        place = Place()
        one = proven(place, references)
        await one.prove()
        monkeypatch.setattr(FileReferences, "doubt", full)
        place.turn = 0.3
        await one.prove()
        assert one.era() == 1

    run(go)
    assert "may be in doubt: the disk is full" in caplog.text


def test_whoever_comes_while_none_is_proven_is_told_when_the_next_proof_begins(
    references: FileReferences,
) -> None:
    async def go() -> None:
        first, second = Place(), Place()
        first.error = second.error = DeploymentFailed("nobody answers")
        rounds, others = Rounds(), Rounds()
        one, two = (
            proven(first, references, "one", rounds),
            proven(second, references, "two", others),
        )
        pool = Pool(SPACE, [Member("one", one), Member("two", two)], clock=rounds)
        for each in (one, two):
            await each.begin()
        await others.over()
        await until(lambda: bool(rounds.pauses))
        assert (rounds.pauses, others.pauses) == ([2.0], [2.0, 4.0])
        rounds.now += 0.5
        with pytest.raises(DeploymentFailed, match="nobody answers") as caught:
            await pool.embed(REQUEST)
        assert caught.value.retry_after_s == 1.5
        assert [state.retry_s for state in pool.deployments()] == [1.5, 4.0]
        first.error = None
        rounds.release()
        await until(lambda: one.problem() is None)
        assert one.deployments()[0].retry_s is None
        await pool.aclose()

    run(go)


def test_a_pool_goes_on_with_the_others_when_one_changes_its_model(
    references: FileReferences,
) -> None:
    """What a model's provider changes without a word is noticed at the next proof."""

    async def go() -> None:
        good, changing = Place(), Place()
        rounds = Rounds()
        one, two = (
            proven(good, references, "good"),
            proven(Elsewhere(changing), references, "bad", rounds),
        )
        pool = Pool(SPACE, [Member("good", one), Member("bad", two, weight=1000.0)])
        await one.begin()
        await two.begin()
        assert (await pool.embed(REQUEST)).served_by == "bad"
        changing.turn, changing.after = 0.3, len(changing.asked) + 5
        for _ in range(5):
            assert same(
                replace(await pool.embed(REQUEST), served_by="honest"), await good.embed(REQUEST)
            )
        await rounds.over()
        for _ in range(20):
            result = await pool.embed(REQUEST)
            assert result.served_by == "good"
        health = [state.health for state in pool.deployments()]
        assert health == [Health.SERVING, Health.QUARANTINED]
        assert pool.problem() is None
        await pool.aclose()

    run(go)
