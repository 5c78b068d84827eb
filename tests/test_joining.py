"""A model of another Emblem that was not there at the start: asked for again, until it is served."""

import asyncio
from collections.abc import Awaitable, Callable

import numpy as np
import pytest

from emblem.accounts import Caller, Key, Terms
from emblem.allowed import find
from emblem.config import AliasSettings, ModelSettings, Settings, UpstreamSettings
from emblem.errors import (
    ConfigError,
    DeploymentFailed,
    LedgerUnavailable,
    Overloaded,
    SpaceChanged,
    UnknownModel,
)
from emblem.hosting import Hosting, NotThere, host
from emblem.joining import Joining
from emblem.names import Names, Served
from emblem.serving import Awaited, Plan, plan
from emblem.types import Overflow
from emblem.upstreams.answers import Named
from emblem.upstreams.finding import Probed
from wrappers.honest import until

PROBED = Probed(8, True, "m", Named("m@01234567", 8, Overflow.MEAN), True, None, np.ones((1, 8)))
FAR = ModelSettings(upstream="there", source="m")
SETTINGS = Settings(
    models={"far": FAR},
    aliases={"question": AliasSettings("far", overflow=Overflow.ERROR)},
    upstreams={"there": UpstreamSettings(preset="emblem", base_url="http://127.0.0.1:9/v1")},
    home="/nonexistent/home",
)
PLAN = Plan(SETTINGS, (), None, awaited=(Awaited("far", FAR, "it is not there"),))
WHO = Caller(Key("key_1", Terms("one"), 0.0), None)


def caller(*models: str) -> Caller:
    return Caller(Key("key_1", Terms("one", models=models), 0.0), None)


class Looks:
    """What is found at each look: an error, or the model."""

    def __init__(self, *outcomes: Exception | None) -> None:
        self.outcomes = [*outcomes]
        self.looks = 0

    async def __call__(self, *_: object) -> tuple[Probed, None]:
        self.looks += 1
        if (error := self.outcomes.pop(0)) is not None:
            raise error
        return PROBED, None


class Front:
    """What a server has of the model: names, and what it was told to serve."""

    def __init__(self, looks: Looks, *refusals: Exception) -> None:
        self.looks = looks
        self.now = 100.0
        self.pauses: list[float] = []
        self.refusals = [*refusals]
        self.joined: list[Hosting] = []
        self.seen: list[tuple[list[str], float]] = []
        self.joining = Joining(PLAN, clock=lambda: self.now, dice=lambda: 1.0, pause=self.pause)
        self.names = Names((), "no {}".format, self.joining.absent)

    async def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        with pytest.raises(DeploymentFailed) as caught:
            find(self.names, "far", WHO)
        self.seen.append((self.joining.problems(), caught.value.retry_after_s))
        self.now += seconds
        await asyncio.sleep(0)

    async def join(self, hosting: Hosting, served: tuple[Served, ...]) -> None:
        if self.refusals:
            raise self.refusals.pop(0)
        self.joined.append(hosting)
        self.names.serve(served)

    async def run(self) -> None:
        self.joining.begin(self.join)
        await asyncio.gather(*self.joining._tasks)
        await self.joining.aclose()


@pytest.fixture
def front(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Front]:
    def made(*outcomes: Exception | None, refusals: tuple[Exception, ...] = ()) -> Front:
        looks = Looks(*outcomes)
        monkeypatch.setattr("emblem.joining.look", looks)
        return Front(looks, *refusals)

    return made


def run(work: Awaitable[None]) -> None:
    asyncio.run(asyncio.wait_for(work, 30))


def test_it_is_asked_for_again_with_longer_pauses_until_it_is_there(
    front: Callable[..., Front],
) -> None:
    one = front(*[NotThere("gone")] * 7, None)
    run(one.run())
    assert one.pauses == [2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0]
    assert [seconds for _, seconds in one.seen] == one.pauses
    assert one.seen[0][0] == ["far is not known yet: it is not there"]
    assert one.seen[1][0] == ["far is not known yet: gone"]
    assert [str(hosting.offer.space) for hosting in one.joined] == ["m@01234567/8"]
    assert one.joining.problems() == []
    assert {served.name for served in one.names} == {"far", "far-query", "far-document", "question"}
    assert find(one.names, "question", WHO).fixed.overflow is Overflow.ERROR


@pytest.mark.parametrize(
    "name", ["far", "far:latest", "far@01234567", "far-query", "far-document", "question"]
)
def test_every_name_that_it_will_have_is_answered_that_it_is_not_there_yet(
    front: Callable[..., Front], name: str
) -> None:
    names = front().names
    with pytest.raises(DeploymentFailed, match="`far` cannot be answered now: it is not there"):
        find(names, name, WHO)
    with pytest.raises(UnknownModel, match="no nobody"):
        find(names, "nobody", WHO)


def test_whoever_may_not_ask_for_it_does_not_learn_that_it_is_to_come(
    front: Callable[..., Front],
) -> None:
    names = front().names
    with pytest.raises(UnknownModel):
        find(names, "far", caller("other"))
    with pytest.raises(DeploymentFailed):
        find(names, "far", caller("f*"))
    with pytest.raises(DeploymentFailed):
        find(names, "question", caller("question"))


@pytest.mark.parametrize(
    "error",
    [SpaceChanged([("far", "a/8", "b/8")]), LedgerUnavailable("away"), RuntimeError("a bug")],
)
def test_what_may_not_be_served_as_it_is_stays_away_and_is_asked_for_again(
    front: Callable[..., Front], error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    one = front(None, None, refusals=(error,))
    run(one.run())
    assert one.looks.looks == 2
    assert len(one.joined) == 1
    assert len([line for line in caplog.records if line.levelname in ("WARNING", "ERROR")]) >= 1


def test_the_same_reason_is_said_once(
    front: Callable[..., Front], caplog: pytest.LogCaptureFixture
) -> None:
    run(front(*[NotThere("gone")] * 5, None).run())
    assert caplog.text.count("gone") == 1


def test_ending_the_server_ends_the_asking(front: Callable[..., Front]) -> None:
    async def go() -> None:
        one = front(*[NotThere("gone")] * 9)
        one.joining.begin(one.join)
        await until(lambda: one.looks.looks > 1)
        await one.joining.aclose()
        assert all(task.done() for task in one.joining._tasks)

    run(go())


# -- what is awaited ---------------------------------------------------------------------------


def no_tokenizer(*_: object) -> None:
    return None


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (DeploymentFailed("refused"), NotThere),
        (Overloaded("busy", 1), NotThere),
        (DeploymentFailed("wrong key", lasting=True), ConfigError),
    ],
)
def test_only_what_may_answer_later_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, error: Exception, kind: type[Exception]
) -> None:
    async def fails(*_: object) -> None:
        raise error

    monkeypatch.setattr("emblem.hosting._look_at", fails)
    with pytest.raises(ConfigError) as caught:
        host("far", FAR, None, SETTINGS, no_tokenizer)
    assert type(caught.value) is kind


def test_a_model_whose_table_says_its_space_and_width_is_known_without_being_asked_for() -> None:
    own = ModelSettings(upstream="there", source="m", space="m@01234567", width=8)
    offer = host("far", own, None, SETTINGS, no_tokenizer).offer
    assert (str(offer.space), offer.kinds, offer.max_length) == ("m@01234567/8", True, None)


def test_a_plan_has_what_is_there_and_says_what_is_awaited(
    monkeypatch: pytest.MonkeyPatch, tmp_path, caplog: pytest.LogCaptureFixture
) -> None:
    async def fails(*_: object) -> None:
        raise DeploymentFailed("there cannot be reached")

    monkeypatch.setattr("emblem.hosting._look_at", fails)
    monkeypatch.setattr("emblem.serving._vocabulary", lambda _: None)
    near = replace_model(FAR, space="m@01234567", width=8)
    made = plan(settings_with(tmp_path, near=near))
    assert [one.name for one in made.awaited] == ["far"]
    assert {one.model.name for one in made.served} == {"near"}
    assert "question" not in {one.name for one in made.served}
    (line,) = [one.getMessage() for one in caplog.records if "far" in one.getMessage()]
    assert line.startswith("far is not served yet, and is asked again: [models.far] is served by")
    assert "\n" not in line


def replace_model(own: ModelSettings, **changes: object) -> ModelSettings:
    fields = {name: getattr(own, name) for name in own.__struct_fields__}
    return ModelSettings(**{**fields, **changes})


def settings_with(home, **models: ModelSettings) -> Settings:
    fields = {name: getattr(SETTINGS, name) for name in SETTINGS.__struct_fields__}
    changes = {"models": {**SETTINGS.models, **models}, "home": str(home), "offline": True}
    return Settings(**{**fields, **changes})
