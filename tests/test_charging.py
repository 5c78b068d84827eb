"""What a request is charged, when it is given back, and which models and lanes a key gets."""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest

from emblem.accounts import Caller, Charge, Grant, Key, Observed, Quota, Team, Terms
from emblem.allowed import LISTED, find, listed
from emblem.charging import HEARD_S, READ_IN_ANY_CASE, Charging
from emblem.core.foresight import SLACK_MS
from emblem.core.prices import Prices
from emblem.errors import (
    ChargeTooLarge,
    DeadlineExceeded,
    DeploymentFailed,
    InsufficientQuota,
    InvalidInput,
    InvalidRequest,
    InvalidResult,
    LimitReached,
    LimitsUnavailable,
    Overloaded,
    RateLimited,
    TooManyTokens,
    UnknownModel,
)
from emblem.limits.memory import MemoryLimiter
from emblem.names import Names, Options, Served
from emblem.service import Answer, Call, Limits, Service
from emblem.types import EmbedRequest, EmbedResult, Lane, Overflow, Tokens
from tiny_engine import WIDTH, model

MODEL = model("tiny")
TINY = Served("tiny", MODEL, 0)
ALIAS = Served("mine", MODEL, 0, Options(lane=Lane.INTERACTIVE), alias_of="tiny")
OTHER = Served("other", model("other"), 0)
NAMES = Names([TINY, ALIAS, OTHER], "fetch {}".format)
EVERY = Quota(requests_per_minute=10, tokens_per_minute=100)
NOW_MS = 1_795_262_400_000


class Worded:
    """An embedder whose tokens are words. ``counts`` are the requests that it counted."""

    space = MODEL.space

    def __init__(self) -> None:
        self.counts: list[EmbedRequest] = []
        self.examined = 0
        self.requests: list[EmbedRequest] = []
        self.error: Exception | None = None
        self.unreadable: Exception | None = None
        self.entered = asyncio.Event()
        self.stuck = False
        self.times = 1  # what it counts beforehand, of what the work then takes

    async def count(self, request: EmbedRequest) -> tuple[EmbedRequest, Tokens]:
        self.counts.append(request)
        if self.unreadable:
            raise self.unreadable
        counted = self.times * tokens_of(request)
        most, total = request.max_total_tokens, int(counted.sum())
        if most is not None and total > most:
            raise TooManyTokens(str(total), most)
        return replace(request, readings=("read",) * len(request.inputs)), counted

    async def examine(self, request: EmbedRequest, wrong: Mapping[int, str]) -> None:
        self.examined += 1

    async def embed(self, request: EmbedRequest) -> EmbedResult:
        self.requests.append(request)
        self.entered.set()
        if self.stuck:
            await asyncio.get_running_loop().create_future()
        if self.error:
            raise self.error
        n = len(request.inputs)
        return EmbedResult(np.eye(n, WIDTH, dtype=np.float32), tokens_of(request), (), "here")

    def problem(self) -> None:
        return None

    async def aclose(self) -> None:
        """Nothing is held."""


def tokens_of(request: EmbedRequest) -> Tokens:
    return np.array([len(str(one).split()) for one in request.inputs], np.int32)


class Desk:
    """A service over one embedder, and what its limits hold."""

    def __init__(self, prices: Prices | None = None, limits: Limits | None = None) -> None:
        self.embedder = Worded()
        self.limiter = MemoryLimiter(lambda: NOW_MS + int(self.ms))
        self.ms = 0.0
        charging = Charging(
            self.limiter,
            prices,
            clock=lambda: (NOW_MS + self.ms) / 1000,
            now=lambda: 9.0 + self.ms / 1000,
        )
        self.service = Service(NAMES, {"tiny": self.embedder}, limits or Limits(), charging)
        self.seen = Observed("req_1", "POST", 0.0)

    async def ask(self, who: Caller, *texts: str, name: str = "tiny", **options) -> Answer:
        call = Call(name, texts or ("one two three",), Options(**options))
        return await self.service.embed(call, who, self.seen)

    async def used(self, who: Caller) -> list[int]:
        return [one.used for one in await self.limiter.peek(who.account)]


@pytest.fixture
def desk() -> Desk:
    return Desk()


def caller(quota: Quota = EVERY, team: Team | None = None, **terms) -> Caller:
    of = team.id if team else None
    return Caller(Key("key_1", Terms("one", quota=quota, team=of, **terms), 0.0), team)


# -- charged once, before the work ------------------------------------------------------------


def test_a_request_is_charged_what_its_answer_costs_and_what_was_read_goes_along(
    desk: Desk,
) -> None:
    async def go() -> None:
        answer = await desk.ask(caller(), "a b c", "a b c", "d")
        assert answer.tokens == 7
        assert [(one.used, one.remaining) for one in answer.standings] == [(1, 9), (7, 93)]
        assert await desk.used(caller()) == [1, 7]
        assert desk.embedder.requests[0].readings == ("read",) * 3
        assert (desk.seen.tokens, desk.seen.served_by) == (7, "here")

    asyncio.run(go())


@pytest.mark.parametrize(
    ("quota", "counted"),
    [
        (Quota(), 0),
        (Quota(requests_per_minute=5), 0),
        (Quota(tokens_per_minute=50), 1),
        (Quota(tokens_per_day=50), 1),
        (Quota(cost_per_month=50), 1),
    ],
)
def test_tokens_are_counted_beforehand_only_where_a_limit_needs_them(
    desk: Desk, quota: Quota, counted: int
) -> None:
    asyncio.run(desk.ask(caller(quota)))
    asyncio.run(desk.ask(caller(Quota(), Team("team_1", "t", 0.0, quota=quota))))
    assert len(desk.embedder.counts) == 2 * counted
    assert desk.seen.tokens == 3


def test_an_unlimited_key_is_not_asked_about_at_all() -> None:
    class Untouched:
        async def charge(self, *_: object) -> Grant:
            raise AssertionError

    embedder = Worded()
    service = Service(NAMES, {"tiny": embedder}, Limits(), Charging(Untouched()))  # type: ignore[arg-type]
    seen = Observed("req_1", "POST", 0.0)
    answer = asyncio.run(service.embed(Call("tiny", ("a b",)), caller(Quota()), seen))
    assert answer.standings == ()
    assert embedder.requests[0].readings == ()


def test_what_is_refused_is_not_begun_and_not_charged(desk: Desk) -> None:
    async def go() -> None:
        await desk.ask(caller(), "w " * 90)
        with pytest.raises(RateLimited) as refused:
            await desk.ask(caller(), "w " * 11)
        assert refused.value.limit.most == 100
        assert await desk.used(caller()) == [1, 90]
        assert len(desk.embedder.requests) == 1

    asyncio.run(go())


def test_cost_is_the_price_of_the_model_and_a_month_of_it_ends() -> None:
    desk = Desk(Prices([("tiny", 20)]))

    async def go() -> None:
        who = caller(Quota(cost_per_month=100))
        await desk.ask(who, "a b c", name="mine")
        assert (desk.seen.cost, await desk.used(who)) == (60, [60])
        with pytest.raises(InsufficientQuota):
            await desk.ask(who, "a b c")
        assert await desk.used(who) == [60]

    asyncio.run(go())


# -- refused before anything is read ----------------------------------------------------------


@pytest.mark.parametrize(
    "quota",
    [
        Quota(requests_per_minute=1, tokens_per_minute=100),
        Quota(requests_per_minute=9, tokens_per_day=3),
    ],
)
def test_a_key_with_nothing_left_is_refused_before_its_texts_are_read(
    desk: Desk, quota: Quota
) -> None:
    async def go() -> None:
        who = caller(quota)
        await desk.ask(who, "a b c")
        for call in (Call("tiny", ("a",)), Call("tiny", ("", "a"), wrong={0: "must not be empty"})):
            with pytest.raises(LimitReached) as refused:
                await desk.service.embed(call, who, desk.seen)
            assert refused.value.standings[0].used == 1
        assert len(desk.embedder.counts) == 1
        assert desk.embedder.examined == 0
        assert await desk.used(who) == [1, 3]

    asyncio.run(go())


def test_it_is_let_in_again_as_soon_as_it_was_told(desk: Desk) -> None:
    async def go() -> None:
        who = caller(Quota(requests_per_minute=60))
        for _ in range(60):
            await desk.ask(who)
        with pytest.raises(RateLimited) as refused:
            await desk.ask(who)
        assert 1000 <= refused.value.wait_ms <= 1000 + SLACK_MS
        desk.ms += 900
        with pytest.raises(RateLimited, match=r"try again in 10[0-3]ms"):
            await desk.ask(who)
        desk.ms += 100
        await desk.ask(who)

    asyncio.run(go())


def test_more_inputs_than_a_limit_has_tokens_are_not_read(desk: Desk) -> None:
    with pytest.raises(ChargeTooLarge):
        asyncio.run(desk.ask(caller(Quota(tokens_per_minute=3)), *"abcd"))
    assert not desk.embedder.counts


def test_a_day_that_is_used_up_says_when_the_next_begins_though_nobody_was_asked(
    desk: Desk,
) -> None:
    async def go() -> None:
        who = caller(Quota(tokens_per_day=3))
        await desk.ask(who)
        with pytest.raises(InsufficientQuota, match=r"next day begins at .* 00:00 UTC"):
            await desk.ask(who)
        assert len(desk.embedder.counts) == 1

    asyncio.run(go())


def test_limits_that_were_raised_or_given_back_hold_at_once(desk: Desk) -> None:
    async def go() -> None:
        await desk.ask(caller(Quota(requests_per_minute=1)))
        await desk.ask(caller(Quota(requests_per_minute=2)))
        desk.embedder.error = Overloaded("full", 1)
        for _ in range(3):  # each is given back
            with pytest.raises(Overloaded):
                await desk.ask(caller(Quota(requests_per_minute=3)))

    asyncio.run(go())


def test_what_was_heard_of_limits_long_ago_refuses_nothing(desk: Desk) -> None:
    """Somebody else may have given something back meanwhile."""

    async def go() -> None:
        who = caller(Quota(tokens_per_day=3))
        await desk.ask(who)
        desk.ms += 1000 * HEARD_S + 1
        with pytest.raises(InsufficientQuota):
            await desk.ask(who)
        assert len(desk.embedder.counts) == 2

    asyncio.run(go())


# -- read no further than the limits may let it pass ------------------------------------------

LARGE = "word " * READ_IN_ANY_CASE  # as many tokens as there are "word"s


@pytest.mark.parametrize(
    ("quota", "most"),
    [
        (Quota(tokens_per_minute=600), 590 + 10),
        (Quota(tokens_per_minute=6000), 5990 + 10),
        (Quota(tokens_per_day=100), 90),
        (Quota(tokens_per_minute=600, tokens_per_day=100), 90),
        (Quota(cost_per_month=400), 10),
    ],
)
def test_no_more_is_read_of_a_large_text_than_may_pass(quota: Quota, most: int) -> None:
    desk = Desk(Prices([("tiny", 20)]), Limits(max_input_tokens=READ_IN_ANY_CASE))

    async def go() -> None:
        who = caller(quota)
        await desk.ask(who, "w " * 10)
        with pytest.raises(LimitReached):
            await desk.ask(who, LARGE)
        assert desk.embedder.counts[-1].max_total_tokens == most
        assert (await desk.used(who))[0] in (10, 200)

    asyncio.run(go())


def test_whoever_sends_too_much_to_count_passes_after_the_time_that_is_said(desk: Desk) -> None:
    desk.service.limits = Limits(max_input_tokens=READ_IN_ANY_CASE)

    async def go() -> None:
        who = caller(Quota(tokens_per_minute=10_000))
        await desk.ask(who, LARGE)
        with pytest.raises(RateLimited, match=r"Requested at least \d+\. Please") as refused:
            await desk.ask(who, LARGE)
        desk.ms += refused.value.wait_ms
        await desk.ask(who, LARGE)
        desk.ms += 60_000
        with pytest.raises(ChargeTooLarge, match="Requested at least 10001"):
            await desk.ask(who, LARGE + LARGE)

    asyncio.run(go())


def test_what_is_cut_is_read_as_far_as_its_charge_may_still_pass(desk: Desk) -> None:
    """A text is charged what the model reads of it, so a long one may cost little."""
    most = MODEL.max_length
    assert most is not None

    async def go() -> None:
        who = caller(Quota(tokens_per_day=4))
        with pytest.raises(ChargeTooLarge):
            await desk.ask(who, LARGE, overflow=Overflow.TRUNCATE)
        cut = -(-desk.service.limits.max_input_tokens // most)
        assert desk.embedder.counts[-1].max_total_tokens == 4 * cut

    asyncio.run(go())


@pytest.mark.parametrize("quota", [Quota(tokens_per_minute=10**6), Quota(cost_per_month=9)])
def test_what_the_limits_have_room_for_is_read_within_the_contract_s_own_bound(
    desk: Desk, quota: Quota
) -> None:
    asyncio.run(desk.ask(caller(quota), LARGE))
    assert desk.embedder.counts[-1].max_total_tokens == Limits().max_request_tokens
    assert desk.embedder.requests[-1].max_total_tokens == Limits().max_request_tokens


# -- held from the count to the vectors -------------------------------------------------------


def test_a_model_is_held_from_when_its_tokens_are_counted_until_it_has_embedded_them() -> None:
    said: list[str] = []

    @contextmanager
    def hold() -> Iterator[None]:
        said.append("held")
        yield
        said.append("let go")

    class Told(Worded):
        async def count(self, request: EmbedRequest) -> tuple[EmbedRequest, Tokens]:
            said.append("counted")
            return await super().count(request)

        async def embed(self, request: EmbedRequest) -> EmbedResult:
            said.append("embedded")
            return await super().embed(request)

    charging = Charging(MemoryLimiter())
    service = Service(NAMES, {"tiny": Told()}, Limits(), charging, holding={"tiny": hold})
    for who in (caller(), caller(Quota())):
        asyncio.run(service.embed(Call("tiny", ("a",)), who, Observed("req_1", "POST", 0.0)))
    assert said == ["held", "counted", "embedded", "let go", "embedded"]


# -- given back -------------------------------------------------------------------------------

SERVERS_FAULT: list[Callable[[], Exception]] = [
    lambda: Overloaded("full", 1),
    lambda: DeadlineExceeded("late"),
    lambda: InvalidResult("here", "nan"),
    lambda: DeploymentFailed("gone"),
    lambda: RuntimeError("a bug"),
]


@pytest.mark.parametrize("quota", [EVERY, Quota(requests_per_minute=10)])
@pytest.mark.parametrize("made", SERVERS_FAULT, ids=lambda made: type(made()).__name__)
def test_what_the_server_fails_at_is_given_back(
    desk: Desk, made: Callable[[], Exception], quota: Quota
) -> None:
    async def go() -> None:
        who = caller(quota)
        desk.embedder.error = made()
        with pytest.raises(type(made())):
            await desk.ask(who)
        assert not any(await desk.used(who))
        assert (desk.seen.tokens, desk.seen.cost) == (0, 0)
        desk.embedder.error = None
        await desk.ask(who)
        assert (await desk.used(who))[0] == 1

    asyncio.run(go())


def test_what_is_not_answered_in_time_is_given_back() -> None:
    async def go() -> None:
        desk = Desk(limits=Limits(timeout_s=0.02))
        desk.embedder.stuck = True
        with pytest.raises(DeadlineExceeded):
            await desk.ask(caller())
        assert await desk.used(caller()) == [0, 0]

    asyncio.run(go())


def test_a_client_that_leaves_has_been_charged(desk: Desk) -> None:
    async def go() -> None:
        desk.embedder.stuck = True
        task = asyncio.ensure_future(desk.ask(caller()))
        await desk.embedder.entered.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await desk.used(caller()) == [1, 3]
        assert desk.seen.tokens == 3

    asyncio.run(go())


@pytest.mark.parametrize("quota", [EVERY, Quota(requests_per_minute=10)])
@pytest.mark.parametrize("found_by", ["name", "option", "reading", "counting", "working"])
def test_a_wrong_request_counts_as_one_and_costs_nothing_else_whoever_finds_out(
    desk: Desk, quota: Quota, found_by: str
) -> None:
    async def go() -> None:
        if found_by == "counting":
            desk.embedder.unreadable = InvalidInput([(0, "is too long")])
        desk.embedder.error = InvalidInput([(0, "is too long")])
        wrong = {0: "must not be empty"} if found_by == "reading" else {}
        name = "nobody" if found_by == "name" else "tiny"
        options = Options(dimensions=WIDTH + 1 if found_by == "option" else None)
        with pytest.raises((InvalidRequest, UnknownModel)):
            await desk.service.embed(Call(name, ("a",), options, wrong), caller(quota), desk.seen)
        requests, *others = await desk.used(caller(quota))
        assert (requests, sum(others)) == (1, 0)
        assert (desk.seen.tokens, desk.seen.cost) == (0, 0)

    asyncio.run(go())


@pytest.mark.parametrize("name", ["tiny", "nobody"])
def test_whoever_asks_wrongly_again_and_again_is_refused_like_anybody_else(
    desk: Desk, name: str
) -> None:
    async def go() -> None:
        who = caller(Quota(requests_per_minute=2))
        call = Call(name, ("",), wrong={0: "is an empty string"})
        for _ in range(2):
            with pytest.raises((InvalidRequest, UnknownModel)):
                await desk.service.embed(call, who, desk.seen)
        with pytest.raises(RateLimited):
            await desk.service.embed(call, who, desk.seen)
        with pytest.raises(RateLimited):
            await desk.service.count_wrong(who, desk.seen)
        assert await desk.used(who) == [2]

    asyncio.run(go())


def test_a_wrong_request_is_told_what_is_wrong_though_it_cannot_be_counted(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> Grant:
        raise LimitsUnavailable

    monkeypatch.setattr(desk.limiter, "charge_at_once", away)
    with pytest.raises(UnknownModel):
        asyncio.run(desk.ask(caller(), name="nobody"))


def test_a_wrong_request_of_a_key_whose_requests_are_not_limited_is_not_counted() -> None:
    class Untouched:
        async def charge(self, *_: object) -> Grant:
            raise AssertionError

    charging = Charging(Untouched())  # type: ignore[arg-type]
    asyncio.run(charging.count_wrong(caller(Quota(tokens_per_minute=5)).account))


def test_an_answer_that_cannot_be_given_is_given_back(desk: Desk) -> None:
    async def go() -> None:
        answer = await desk.ask(caller())
        assert await desk.used(caller()) == [1, 3]
        await answer.withdraw()
        await answer.withdraw()
        assert await desk.used(caller()) == [0, 0]
        assert (desk.seen.tokens, desk.seen.cost) == (0, 0)

    asyncio.run(go())


def test_a_refund_that_is_lost_leaves_the_failure_as_it_was(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(_: Grant) -> None:
        raise LimitsUnavailable

    monkeypatch.setattr(desk.limiter, "refund", away)
    desk.embedder.error = Overloaded("full", 1)
    with pytest.raises(Overloaded):
        asyncio.run(desk.ask(caller()))


def test_a_refund_is_made_though_the_client_leaves_meanwhile(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def go() -> None:
        begun, may_end = asyncio.Event(), asyncio.Event()
        refund = desk.limiter.refund

        async def slow(grant: Grant) -> None:
            begun.set()
            await may_end.wait()
            await refund(grant)

        monkeypatch.setattr(desk.limiter, "refund", slow)
        desk.embedder.error = Overloaded("full", 1)
        task = asyncio.ensure_future(desk.ask(caller()))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        may_end.set()
        while any(await desk.used(caller())):  # noqa: ASYNC110 - nothing sets an event for it
            await asyncio.sleep(0)

    asyncio.run(asyncio.wait_for(go(), 30))


def test_the_end_waits_for_what_is_being_given_back() -> None:
    class Slow(MemoryLimiter):
        async def refund(self, grant: Grant) -> None:
            await asyncio.sleep(0)
            await super().refund(grant)

    async def go() -> None:
        limiter, account = Slow(), caller().account
        charging = Charging(limiter)
        task = asyncio.ensure_future(charging.refund(await charging.charge(account, Charge(1, 3))))
        await asyncio.sleep(0)
        task.cancel()
        await charging.aclose()
        assert not any(one.used for one in await limiter.peek(account))

    asyncio.run(go())


# -- charged by a bound -----------------------------------------------------------------------


@pytest.mark.parametrize("quota", [EVERY, Quota(10, tokens_per_day=100, cost_per_month=2000)])
def test_what_was_charged_beyond_what_an_answer_cost_is_given_back(quota: Quota) -> None:
    desk = Desk(Prices([("tiny", 20)]))
    desk.embedder.times = 4

    async def go() -> None:
        who = caller(quota)
        for n in (1, 2):
            answer = await desk.ask(who, "a b c", "d")
            cost = [4 * n * 20] if quota.cost_per_month else []
            assert await desk.used(who) == [n, 4 * n, *cost]
            assert [one.used for one in answer.standings] == [n, 4 * n, *cost]
            assert (answer.tokens, desk.seen.tokens, desk.seen.cost) == (4, 4, 80)
        await answer.withdraw()
        assert await desk.used(who) == [1, 4, *([80] if cost else [])]

    asyncio.run(go())


def test_a_bound_has_to_be_within_the_limits_before_the_work(desk: Desk) -> None:
    desk.embedder.times = 4

    async def go() -> None:
        with pytest.raises(ChargeTooLarge):
            await desk.ask(caller(), "w " * 26)
        assert not desk.embedder.requests
        await desk.ask(caller(), "w " * 25)
        await desk.ask(caller(), "w " * 18)  # which the whole of the first bound would refuse
        assert await desk.used(caller()) == [2, 43]

    asyncio.run(go())


def test_an_answer_that_cost_more_than_its_bound_is_given_and_noted_as_it_was(desk: Desk) -> None:
    desk.embedder.times = 0

    async def go() -> None:
        assert (await desk.ask(caller(), "a b c")).tokens == 3
        assert await desk.used(caller()) == [1, 0]
        assert desk.seen.tokens == 3

    asyncio.run(go())


def test_what_fails_after_it_was_charged_by_a_bound_is_given_back_whole(desk: Desk) -> None:
    desk.embedder.times = 4
    desk.embedder.error = Overloaded("full", 1)

    async def go() -> None:
        with pytest.raises(Overloaded):
            await desk.ask(caller())
        assert await desk.used(caller()) == [0, 0]

    asyncio.run(go())


# -- a team -----------------------------------------------------------------------------------


def test_the_keys_of_a_team_share_its_limits(desk: Desk) -> None:
    team = Team("team_1", "search", 0.0, quota=Quota(tokens_per_minute=10))

    async def go() -> None:
        ada = Caller(Key("key_a", Terms("ada", team=team.id), 0.0), team)
        bob = Caller(Key("key_b", Terms("bob", team=team.id), 0.0), team)
        await desk.ask(ada, "w " * 6)
        with pytest.raises(RateLimited) as refused:
            await desk.ask(bob, "w " * 5)
        assert refused.value.limit.team
        await desk.ask(bob, "w " * 4)

    asyncio.run(go())


# -- lanes ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("priority", "asked", "name", "lane", "by_size"),
    [
        (None, None, "tiny", Lane.INTERACTIVE, True),
        (Lane.BULK, None, "tiny", Lane.BULK, False),
        (Lane.BULK, Lane.INTERACTIVE, "tiny", Lane.INTERACTIVE, False),
        (Lane.BULK, None, "mine", Lane.INTERACTIVE, False),
    ],
)
def test_a_key_s_lane_is_that_of_requests_that_name_none(
    desk: Desk, priority: Lane | None, asked: Lane | None, name: str, lane: Lane, by_size: bool
) -> None:
    asyncio.run(desk.ask(caller(Quota(), priority=priority), name=name, lane=asked))
    [request] = desk.embedder.requests
    assert (request.lane, request.lane_by_size) == (lane, by_size)


# -- models -----------------------------------------------------------------------------------

PINNED = f"tiny@{TINY.pin}"


@pytest.mark.parametrize(
    ("globs", "allowed", "refused"),
    [
        ((), ["tiny", "mine", "other", PINNED, "tiny:latest"], []),
        (("tiny",), ["tiny", "mine", PINNED, "tiny:latest"], ["other"]),
        (("mine",), ["mine", f"mine@{ALIAS.pin}"], ["tiny", "other", PINNED]),
        (("o*",), ["other", "other:latest"], ["tiny", "mine"]),
        ((PINNED,), [PINNED], ["tiny", "mine"]),
        (("nothing",), [], ["tiny", "mine", "other"]),
    ],
)
def test_a_name_is_allowed_where_any_name_that_it_stands_for_is(
    globs: tuple[str, ...], allowed: list[str], refused: list[str]
) -> None:
    by_key = caller(models=globs)
    by_team = caller(team=Team("team_1", "t", 0.0, models=globs))
    for who in (by_key, by_team):
        for name in allowed:
            assert find(NAMES, name, who).model.name in ("tiny", "other")
        for name in refused:
            with pytest.raises(UnknownModel):
                find(NAMES, name, who)


def test_what_may_not_be_asked_for_is_refused_in_the_words_for_what_is_not_there() -> None:
    who = caller(models=("tiny",))
    said = []
    for name in ("other", "nobody", "other@12345678", f"other@{OTHER.pin}", "other:latest"):
        with pytest.raises(UnknownModel) as refused:
            find(NAMES, name, who)
        said.append(str(refused.value).replace(name, "NAME"))
    assert len(set(said)) == 1
    assert said[0].endswith(LISTED)


def test_who_may_ask_for_a_model_is_told_its_right_pin_and_who_may_ask_for_all_how_to_have_it() -> (
    None
):
    with pytest.raises(UnknownModel, match="`tiny` is served here as `tiny@"):
        find(NAMES, "tiny@00000000", caller(models=("tiny",)))
    with pytest.raises(UnknownModel, match="fetch nobody"):
        find(NAMES, "nobody", caller())


def test_only_what_may_be_asked_for_is_listed() -> None:
    def names(**terms) -> list[str]:
        return [one.name for one in listed(NAMES, caller(**terms))]

    assert names() == ["tiny", "mine", "other"]
    assert names(models=("mine", "other")) == ["mine", "other"]
    assert names(models=(PINNED,)) == [PINNED]
    team = Team("team_1", "t", 0.0, models=("o*",))
    assert names(models=("*",), team=team) == ["other"]
    pinned = Team("team_1", "t", 0.0, models=("*@*",))
    assert names(models=("tiny",), team=pinned) == [PINNED, f"mine@{ALIAS.pin}"]
    for globs in ((PINNED,), ("mine", PINNED), ("*@*",), ("o*", "t*@*"), ("tiny",)):
        who = caller(models=globs)
        for one in listed(NAMES, who):
            assert find(NAMES, one.name, who).same_as(one)


def test_a_caller_s_account_is_that_of_its_key_and_its_team() -> None:
    team = Team("team_1", "t", 0.0, quota=Quota(requests_per_minute=1))
    assert (caller(Quota()).limited, caller(Quota()).counted) == (False, False)
    both = caller(Quota(tokens_per_day=1), team)
    assert (both.limited, both.counted) == (True, True)
    assert (both.account.key, both.account.team) == ("key_1", "team_1")
    assert both.account.team_quota.requests_per_minute == 1
    assert Charge().requests == 1
