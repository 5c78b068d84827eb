"""Models in memory only while there is room: every race between loading, using and closing."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

import numpy as np
import pytest

from emblem.errors import (
    DeadlineExceeded,
    DeploymentFailed,
    InvalidInput,
    MissingExtra,
    ModelError,
    Overloaded,
)
from emblem.space import Space
from emblem.types import EmbedRequest, EmbedResult, Lane, Queued, State, Work
from emblem.wrappers.on_demand import BACK_OFF_S, Closed, OnDemand
from emblem.wrappers.residency import Residency

PATIENCE_S = 30.0  # nothing waits so long unless it waits for ever
REQUEST = EmbedRequest(("a text",))


class Opened:
    """What a load gives: answers at once, or when told to."""

    def __init__(self, space: Space, number: int) -> None:
        self.space = space
        self.number = number  # which load this is of
        self.open = asyncio.Event()
        self.open.set()
        self.using = 0
        self.closed = False

    async def embed(self, request: EmbedRequest) -> EmbedResult:
        assert not self.closed, "used after it was closed"
        self.using += 1
        try:
            await self.open.wait()
        finally:
            self.using -= 1
        n = len(request.inputs)
        return EmbedResult(
            np.ones((n, 1), np.float32),
            np.ones(n, np.int32),
            (),
            f"{self.space.name} {self.number}",
        )

    async def examine(self, request: EmbedRequest, wrong: Mapping[int, str]) -> None:
        assert not self.closed, "used after it was closed"
        raise InvalidInput([(0, "examined"), *wrong.items()])

    def problem(self) -> str | None:
        return "is closed" if self.closed else None

    def work(self) -> Work:
        return Work({Lane.BULK: Queued(self.using, 5, 0.5)}, rows=1, tokens=10, seconds_per_token=2)

    async def aclose(self) -> None:
        assert not self.using, "closed while it was used"
        await asyncio.sleep(0)
        self.closed = True


class Fake:
    """A model on disk. ``gate`` holds its loads back, ``error`` lets them fail.

    ``damage`` is what shows before it is opened.
    """

    def __init__(self, name: str, residency: Residency, size: int, clock: Callable[[], float]):
        self.space = Space(name, "a" * 64, "b" * 64, 1, normalised=True)
        self.loads: list[Opened] = []
        self.begun = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.error: BaseException | None = None
        self.damage: ModelError | None = None
        self.model = OnDemand(Closed(name, self.space, size), self, residency, clock)

    async def check(self) -> None:
        if self.damage:
            raise self.damage

    async def __call__(self) -> Opened:
        self.begun += 1
        await self.gate.wait()
        if self.error:
            raise self.error
        self.loads.append(Opened(self.space, len(self.loads) + 1))
        return self.loads[-1]

    async def served_by(self) -> str:
        return (await self.model.embed(REQUEST)).served_by


class Models:
    """Some models and a budget of ten bytes."""

    def __init__(self, patience_s: float = PATIENCE_S) -> None:
        self.now = [100.0]
        self.given_back = 0
        self.fakes: list[Fake] = []
        self.kept = 0  # beyond what the models were predicted to take
        self.never_less = 0  # that the process takes
        self.residency = Residency(10, self._measure, self._give_back, patience_s)

    def _measure(self) -> int:
        held = [fake.model.held for fake in self.fakes]
        return max(100 + sum(one.bytes for one in held if one) + self.kept, self.never_less)

    def _give_back(self) -> None:
        self.given_back += 1

    def add(self, name: str, size: int) -> Fake:
        self.fakes.append(Fake(name, self.residency, size, lambda: self.now[0]))
        return self.fakes[-1]

    def states(self) -> dict[str, State]:
        return {one.name: one.state for one in self.residency.report().models}


@asynccontextmanager
async def patiently() -> AsyncIterator[None]:
    async with asyncio.timeout(PATIENCE_S):
        yield


async def until(condition: Callable[[], object]) -> None:
    """Let others run until something is true."""
    while not condition():  # noqa: ASYNC110 - nothing sets an event for it
        await asyncio.sleep(0)


def run(test: Callable[[], object]) -> None:
    async def patient() -> None:
        async with patiently():
            await test()

    asyncio.run(patient())


def test_a_model_is_loaded_on_first_use_and_stays() -> None:
    async def go() -> None:
        models = Models()
        one = models.add("one", 5)
        assert one.model.space is one.space
        assert (one.model.problem(), models.states()) == (None, {"one": State.UNLOADED})
        assert [await one.served_by(), await one.served_by()] == ["one 1", "one 1"]
        assert models.states() == {"one": State.LOADED}

    run(go)


def test_first_uses_at_once_share_one_load() -> None:
    async def go() -> None:
        models = Models()
        one = models.add("one", 5)
        one.gate.clear()
        asked = [asyncio.create_task(one.served_by()) for _ in range(20)]
        await until(lambda: one.begun)
        assert models.states() == {"one": State.LOADING}
        assert models.residency.report().models[0].requests == 20
        one.gate.set()
        assert await asyncio.gather(*asked) == ["one 1"] * 20
        assert one.begun == 1

    run(go)


def test_whoever_leaves_cancels_no_load_for_the_others() -> None:
    async def go() -> None:
        one = Models().add("one", 5)
        one.gate.clear()
        leaver, stayer = (asyncio.create_task(one.served_by()) for _ in range(2))
        await until(lambda: one.begun)
        leaver.cancel()
        await until(leaver.done)
        one.gate.set()
        assert await stayer == "one 1"
        assert leaver.cancelled()
        assert one.begun == 1

    run(go)


def test_a_load_that_everybody_has_left_is_there_for_the_next() -> None:
    async def go() -> None:
        models = Models()
        one = models.add("one", 5)
        one.gate.clear()
        leaver = asyncio.create_task(one.served_by())
        await until(lambda: one.begun)
        leaver.cancel()
        one.gate.set()
        await until(lambda: models.states() == {"one": State.LOADED})
        assert await one.served_by() == "one 1"

    run(go)


def test_waiting_for_a_load_ends_at_the_deadline_and_the_load_does_not() -> None:
    async def go() -> None:
        models = Models()
        one = models.add("one", 5)
        one.gate.clear()
        with pytest.raises(DeadlineExceeded):
            await one.model.embed(EmbedRequest(("a",), deadline=models.now[0] + 0.01))
        one.gate.set()
        assert await one.served_by() == "one 1"
        assert one.begun == 1

    run(go)


def test_the_least_recently_used_idle_model_makes_room() -> None:
    async def go() -> None:
        models = Models()
        one, two, three = (models.add(name, 5) for name in ("one", "two", "three"))
        for fake in (one, two, one):
            models.now[0] += 1
            await fake.served_by()
        assert await three.served_by() == "three 1"
        assert models.states() == {
            "one": State.LOADED,
            "two": State.UNLOADED,
            "three": State.LOADED,
        }
        assert two.loads[0].closed
        assert models.given_back == 4  # before each load, and after the closing
        assert await two.served_by() == "two 2"  # and it comes back when it is asked for

    run(go)


def test_a_model_in_use_is_never_closed_and_the_other_waits_for_it() -> None:
    async def go() -> None:
        models = Models()
        one, two = models.add("one", 6), models.add("two", 6)
        await one.served_by()
        one.loads[0].open.clear()
        using = asyncio.create_task(one.served_by())
        await until(lambda: one.loads[0].using)
        waiting = asyncio.create_task(two.served_by())
        await until(lambda: models.states()["two"] is State.LOADING)
        assert not two.begun
        one.loads[0].open.set()
        assert [await using, await waiting] == ["one 1", "two 1"]
        assert one.loads[0].closed

    run(go)


def test_a_model_that_is_held_between_two_uses_is_not_closed_and_the_other_waits_for_it() -> None:
    async def go() -> None:
        models = Models()
        one, other = models.add("one", 6), models.add("other", 6)
        with one.model.hold():
            assert await one.served_by() == "one 1"
            asked = asyncio.create_task(other.served_by())
            await until(lambda: models.given_back)  # it looks for room
            for _ in range(10):
                await asyncio.sleep(0)
            assert await one.served_by() == "one 1"
            assert not asked.done()
            assert models.residency.report().models[0].requests == 0
        assert await asked == "other 1"
        assert models.states() == {"one": State.UNLOADED, "other": State.LOADED}

    run(go)


def test_a_model_that_is_held_and_not_loaded_is_in_nobodys_way() -> None:
    async def go() -> None:
        models = Models()
        one, other = models.add("one", 6), models.add("other", 6)
        with one.model.hold():
            assert await other.served_by() == "other 1"
            assert await one.served_by() == "one 1"

    run(go)


def test_a_model_that_stays_in_use_makes_the_other_overloaded() -> None:
    async def go() -> None:
        models = Models(patience_s=0)
        one, two = models.add("one", 6), models.add("two", 6)
        await one.served_by()
        one.loads[0].open.clear()
        using = asyncio.create_task(one.served_by())
        await until(lambda: one.loads[0].using)
        with pytest.raises(Overloaded, match="two is not loaded") as refused:
            await two.served_by()
        assert 1 <= refused.value.retry_after_s <= 60
        one.loads[0].open.set()
        await using
        assert await two.served_by() == "two 1"  # at once: to be full is no failure

    run(go)


def test_others_answer_while_a_model_is_loaded() -> None:
    async def go() -> None:
        models = Models()
        one, two = models.add("one", 5), models.add("two", 5)
        await one.served_by()
        two.gate.clear()
        loading = asyncio.create_task(two.served_by())
        await until(lambda: two.begun)
        assert await one.served_by() == "one 1"
        two.gate.set()
        assert await loading == "two 1"

    run(go)


def test_what_was_promised_to_one_is_not_given_to_another() -> None:
    """Together they would not fit, so the second waits, and then the first has to leave."""

    async def go() -> None:
        models = Models()
        one, two = models.add("one", 6), models.add("two", 6)
        one.gate.clear()
        first = asyncio.create_task(one.served_by())
        await until(lambda: one.begun)
        second = asyncio.create_task(two.served_by())
        await until(lambda: models.states()["two"] is State.LOADING)
        assert not two.begun
        one.gate.set()
        assert [await first, await second] == ["one 1", "two 1"]
        assert one.loads[0].closed

    run(go)


def test_requests_that_come_while_a_model_is_closed_wait_and_load_it_again() -> None:
    async def go() -> None:
        models = Models()
        one, two = models.add("one", 6), models.add("two", 6)
        await one.served_by()
        two.gate.clear()
        loading = asyncio.create_task(two.served_by())
        await until(lambda: models.states()["one"] is State.UNLOADED)
        again = asyncio.create_task(one.served_by())
        await until(lambda: models.states()["one"] is State.LOADING)
        two.gate.set()
        assert [await loading, await again] == ["two 1", "one 2"]

    run(go)


def test_a_model_larger_than_the_budget_says_so_and_is_not_tried() -> None:
    async def go() -> None:
        one = Models().add("one", 11)
        with pytest.raises(DeploymentFailed, match=r"about 11 B.*max_model_bytes = 10\)"):
            await one.served_by()
        assert not one.begun

    run(go)


SECRET_PLACE = "/srv/secret"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            ModelError(f"{SECRET_PLACE}: no such folder"),
            "one could not be loaded: the server's log",
        ),
        (RuntimeError(SECRET_PLACE), "one could not be loaded: the server's log"),
        (MissingExtra("the backend 'torch'", "torch"), "pip install 'emblem\\[torch\\]'"),
        (DeploymentFailed("one failed to run"), "one failed to run"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_failed_load_reaches_all_who_wait_and_tells_no_place(
    error: Exception, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def go() -> None:
        one = Models().add("one", 5)
        one.gate.clear()
        one.error = error
        asked = [asyncio.create_task(one.served_by()) for _ in range(3)]
        await until(lambda: one.begun)
        one.gate.set()
        for outcome in await asyncio.gather(*asked, return_exceptions=True):
            with pytest.raises(DeploymentFailed, match=said) as failed:
                raise outcome
            assert SECRET_PLACE not in str(failed.value)
        assert one.begun == 1

    run(go)
    if not isinstance(error, DeploymentFailed):
        assert str(error) in caplog.text


def test_a_panic_of_a_library_is_a_failed_load_too() -> None:
    class Panic(BaseException):
        pass

    async def go() -> None:
        one = Models().add("one", 5)
        one.error = Panic()
        with pytest.raises(DeploymentFailed, match="could not be loaded"):
            await one.served_by()

    run(go)


def test_after_a_failed_load_there_is_a_pause_and_then_another_try() -> None:
    async def go() -> None:
        models = Models()
        one = models.add("one", 5)
        one.error = ModelError("damaged")
        for _ in range(3):
            with pytest.raises(DeploymentFailed):
                await one.served_by()
        assert one.begun == 1
        assert models.residency.report().models[0].problem is not None
        assert one.model.problem() is None  # or /ready would stay red for a model nobody needs
        models.now[0] += BACK_OFF_S
        one.error = None
        assert await one.served_by() == "one 1"
        assert models.residency.report().models[0].problem is None

    run(go)


def test_the_pause_grows_with_each_failure_in_a_row_and_success_ends_that() -> None:
    async def go() -> None:
        models = Models()
        one = models.add("one", 5)

        async def fail(pause_s: float) -> None:
            begun = one.begun
            with pytest.raises(DeploymentFailed):
                await one.served_by()
            models.now[0] += pause_s - 0.01
            with pytest.raises(DeploymentFailed):
                await one.served_by()
            assert one.begun == begun + 1
            models.now[0] += 0.01

        one.error = ModelError("damaged")
        for pause_s in (1, 2, 4, 8, 16, 32, 60, 60):
            await fail(pause_s)
        one.error = None
        await one.served_by()
        await one.model.let_go().aclose()
        one.error = ModelError("damaged")
        await fail(1)

    run(go)


def test_nobody_leaves_for_a_model_whose_files_are_seen_to_be_wrong() -> None:
    async def go() -> None:
        models = Models()
        one, two = models.add("one", 6), models.add("two", 6)
        await one.served_by()
        two.damage = ModelError("/place: has changed")
        with pytest.raises(DeploymentFailed, match="two could not be loaded: the server's log"):
            await two.served_by()
        assert models.states() == {"one": State.LOADED, "two": State.UNLOADED}
        assert not two.begun
        problem = models.residency.report().models[1].problem
        assert problem == "could not be loaded: /place: has changed"
        two.damage = None
        models.now[0] += BACK_OFF_S
        assert await two.served_by() == "two 1"

    run(go)


def test_whoever_may_see_it_is_told_what_a_library_said() -> None:
    async def go() -> None:
        models = Models()
        one = models.add("one", 5)
        one.error = RuntimeError("no\nmore")
        with pytest.raises(DeploymentFailed):
            await one.served_by()
        problem = models.residency.report().models[0].problem
        assert problem == "could not be loaded: RuntimeError: no more"

    run(go)


def test_what_the_process_takes_beyond_its_models_lets_the_idle_leave_earlier() -> None:
    async def go() -> None:
        models = Models()
        one, two, three = (models.add(name, 3) for name in ("one", "two", "three"))
        for fake in (one, two):
            models.now[0] += 1
            await fake.served_by()
        models.kept = 2  # without that, three would fit beside both
        assert models.residency.report().beyond_bytes == 2
        await three.served_by()
        assert models.states()["one"] is State.UNLOADED
        assert models.states()["two"] is State.LOADED

    run(go)


def test_closing_goes_on_while_memory_does_not_come_back_and_the_last_is_loaded_all_the_same() -> (
    None
):
    async def go() -> None:
        models = Models()
        one, two, three = (models.add(name, 3) for name in ("one", "two", "three"))
        for fake in (one, two):
            await fake.served_by()
        models.never_less = 100 + 6 + 3  # whoever is closed
        assert await three.served_by() == "three 1"
        assert models.states() == {
            "one": State.UNLOADED,
            "two": State.UNLOADED,
            "three": State.LOADED,
        }

    run(go)


def test_a_model_that_is_being_loaded_is_part_of_what_is_loaded() -> None:
    async def go() -> None:
        models = Models()
        one = models.add("one", 6)
        one.gate.clear()
        asked = asyncio.create_task(one.served_by())
        await until(lambda: one.begun)
        assert models.residency.report().loaded_bytes == 6
        one.error = RuntimeError("no more")
        one.gate.set()
        with pytest.raises(DeploymentFailed):
            await asked
        assert models.residency.report().loaded_bytes == 0

    run(go)


def test_a_load_that_failed_holds_no_room() -> None:
    async def go() -> None:
        models = Models()
        one, two = models.add("one", 10), models.add("two", 10)
        one.error = ModelError("damaged")
        with pytest.raises(DeploymentFailed):
            await one.served_by()
        assert await two.served_by() == "two 1"

    run(go)


def test_closing_ends_a_loaded_model_and_loads_none_any_more() -> None:
    async def go() -> None:
        one = Models().add("one", 5)
        await one.served_by()
        await one.model.aclose()
        assert one.loads[0].closed
        assert one.model.problem() == "is shutting down"
        with pytest.raises(DeploymentFailed, match="shutting down"):
            await one.served_by()

    run(go)


def test_closing_waits_for_a_load_and_closes_what_it_gives() -> None:
    async def go() -> None:
        one = Models().add("one", 5)
        one.gate.clear()
        asked = asyncio.create_task(one.served_by())
        await until(lambda: one.begun)
        closing = asyncio.create_task(one.model.aclose())
        await asyncio.sleep(0)
        one.gate.set()
        await closing
        assert one.loads[0].closed
        asked.cancel()
        await asyncio.wait([asked])

    # The fake asserts that nothing is used after it was closed; here somebody may come too late.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Opened, "embed", _refusing)
        run(go)


async def _refusing(self: Opened, request: EmbedRequest) -> EmbedResult:
    raise DeploymentFailed("is shutting down")


def test_at_the_end_no_load_that_waits_for_its_turn_is_begun() -> None:
    async def go() -> None:
        models = Models()
        one, two = models.add("one", 5), models.add("two", 5)
        one.gate.clear()
        first = asyncio.create_task(one.served_by())
        await until(lambda: one.begun)
        second = asyncio.create_task(two.served_by())
        await until(lambda: models.states()["two"] is State.LOADING)
        models.residency.close()
        one.gate.set()
        assert await first == "one 1"
        with pytest.raises(DeploymentFailed, match="shutting down"):
            await second
        assert not two.begun

    run(go)


def test_inputs_are_examined_by_the_model_which_is_loaded_for_that() -> None:
    async def go() -> None:
        one = Models().add("one", 5)
        with pytest.raises(InvalidInput, match=r"\[0\] examined.*\[3\] is a number"):
            await one.model.examine(REQUEST, {3: "is a number"})
        assert one.begun == 1

    run(go)


def test_loading_at_the_start_raises_what_went_wrong_as_it_is() -> None:
    async def go() -> None:
        one = Models().add("one", 5)
        one.error = ModelError("damaged")
        with pytest.raises(ModelError, match="damaged"):
            await one.model.load()
        one.error = None
        await one.model.load()
        assert await one.served_by() == "one 1"

    run(go)


def test_what_was_done_is_counted_over_every_load() -> None:
    async def go() -> None:
        models = Models()
        one, two = models.add("one", 6), models.add("two", 6)
        models.now[0] = 200.0
        await one.served_by()
        models.now[0] = 207.0
        (report, other) = models.residency.report().models
        assert (report.state, report.loaded_s, report.idle_s) == (State.LOADED, 7.0, 7.0)
        assert (report.work.rows, report.work.tokens) == (1, 10)
        assert report.work.queued[Lane.BULK].tokens == 5
        assert (other.loaded_s, other.idle_s, other.work) == (None, None, Work({}))
        await two.served_by()
        (report, _) = models.residency.report().models
        assert (report.state, report.loaded_s, report.idle_s) == (State.UNLOADED, None, 7.0)
        assert (report.work.rows, report.work.tokens, report.work.queued) == (1, 10, {})
        await one.served_by()
        (report, _) = models.residency.report().models
        assert (report.work.rows, report.work.tokens) == (2, 20)

    run(go)


def test_the_report_says_what_the_process_takes() -> None:
    async def go() -> None:
        models = Models()
        await models.add("one", 6).served_by()
        models.add("two", 6)
        models.kept = 3
        report = models.residency.report()
        assert (report.resident_bytes, report.base_bytes) == (109, 100)
        assert (report.loaded_bytes, report.beyond_bytes, report.max_model_bytes) == (6, 3, 10)

    run(go)


def test_any_order_of_use_keeps_the_budget_and_answers_everybody() -> None:
    """Many at once, more models than fit: nobody is refused, nothing is used after it was closed."""

    async def go() -> None:
        models = Models()
        fakes = [models.add(str(number), 2 + number) for number in range(5)]
        dice = np.random.default_rng(7)

        async def ask(fake: Fake, turns: int) -> str:
            for _ in range(turns):
                await asyncio.sleep(0)
            answer = await fake.served_by()
            assert models.residency.report().loaded_bytes <= models.residency.max_bytes
            return answer

        chosen = [fakes[int(n)] for n in dice.integers(0, len(fakes), 300)]
        answers = await asyncio.gather(
            *(ask(fake, int(n)) for fake, n in zip(chosen, dice.integers(0, 200, 300), strict=True))
        )
        assert [one.split()[0] for one in answers] == [fake.space.name for fake in chosen]

    run(go)


def test_errors_of_the_model_itself_are_passed_on() -> None:
    async def go() -> None:
        one = Models().add("one", 5)
        await one.served_by()

        async def fails(request: EmbedRequest) -> EmbedResult:
            raise Overloaded("full", 3)

        one.loads[0].embed = fails
        with pytest.raises(Overloaded, match="full"):
            await one.served_by()
        assert one.model.held is not None
        assert not one.model.held.busy

    run(go)


def test_nobody_but_an_idle_loaded_model_is_let_go_of() -> None:
    async def go() -> None:
        one = Models().add("one", 5)
        with pytest.raises(RuntimeError):
            one.model.let_go()
        await one.served_by()
        one.loads[0].open.clear()
        using = asyncio.create_task(one.served_by())
        await until(lambda: one.loads[0].using)
        with pytest.raises(RuntimeError):
            one.model.let_go()
        one.loads[0].open.set()
        await using

    run(go)
