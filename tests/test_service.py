"""The use case between the wire and the embedders: options, token arrays, limits, time."""

import asyncio
import base64
import logging
import threading
from dataclasses import replace

import numpy as np
import pytest

from emblem.accounts import Caller, Key, Observed, Terms
from emblem.charging import Charging
from emblem.core.cl100k import Cl100k
from emblem.errors import (
    DeadlineExceeded,
    DeploymentFailed,
    InvalidInput,
    InvalidRequest,
    TooManyTokens,
    UnknownModel,
)
from emblem.limits.memory import MemoryLimiter
from emblem.names import Names, Options, Served
from emblem.offer import Prompts
from emblem.service import OVERFLOW_LOG_S, Answer, Call, Limits, Service
from emblem.types import EmbedRequest, EmbedResult, Kind, Lane, OutputType, Overflow, TokenIds
from tiny_engine import WIDTH, model

MODEL = replace(model("tiny"), prompts=Prompts("ask: ", "say: "))
TINY = Served("tiny", MODEL, 0)
ALIAS = Served("mine", MODEL, 0, Options(dimensions=4, overflow=Overflow.TRUNCATE), alias_of="tiny")
NATIVE = Served("native", MODEL, 0, token_ids=TokenIds.NATIVE, alias_of="tiny")
REFUSING = Served("refusing", MODEL, 0, token_ids=TokenIds.REFUSE, alias_of="tiny")
LIMITS = Limits(max_inputs=5, max_input_tokens=6, max_request_tokens=10)


class Recorder:
    """An embedder that remembers what it was asked, and gives unit vectors along the axes."""

    space = MODEL.space

    def __init__(self) -> None:
        self.requests: list[EmbedRequest] = []
        self.overflowed: tuple[int, ...] = ()
        self.error: Exception | None = None
        self.stuck = False
        self.entered = asyncio.Event()
        self.cancelled = False
        self.says: str | None = None

    async def embed(self, request: EmbedRequest) -> EmbedResult:
        self.requests.append(request)
        self.entered.set()
        if self.error:
            raise self.error
        if self.stuck:
            try:
                await asyncio.get_running_loop().create_future()
            except asyncio.CancelledError:
                self.cancelled = True
                raise
        n = len(request.inputs)
        vectors = np.eye(n, request.dimensions or WIDTH, dtype=np.float32)
        return EmbedResult(vectors, np.arange(1, n + 1, dtype=np.int32), self.overflowed, "tiny")

    def problem(self) -> str | None:
        return self.says

    async def aclose(self) -> None:
        """Nothing is held."""


@pytest.fixture(scope="module")
def bytes_first() -> Cl100k:
    """A vocabulary whose first 256 tokens are the bytes."""
    tokens = [bytes([rank]) if rank < 256 else b"x" for rank in range(Cl100k.SIZE)]
    lines = [base64.b64encode(token) + b" %d" % rank for rank, token in enumerate(tokens)]
    return Cl100k(b"\n".join(lines))


class Bench:
    """A service over one recorder, at a time that the tests set."""

    def __init__(self, cl100k: Cl100k | None = None, limits: Limits = LIMITS) -> None:
        self.embedder = Recorder()
        self.now = 1000.0
        charging = Charging(MemoryLimiter())
        names = Names([TINY, ALIAS, NATIVE, REFUSING], lambda name: "")
        self.service = Service(
            names, {"tiny": self.embedder}, limits, charging, cl100k, lambda: self.now
        )

    def embed(self, *inputs, model: str = "tiny", key: str = "key", **options) -> Answer:
        return asyncio.run(self.answer(Call(model, inputs, Options(**options)), key))

    async def answer(self, call: Call, key: str = "key") -> Answer:
        caller = Caller(Key(key, Terms(key), 0.0))
        return await self.service.embed(call, caller, Observed("req_1", "POST", 0.0))

    @property
    def asked(self) -> EmbedRequest:
        return self.embedder.requests[-1]


@pytest.fixture
def bench(bytes_first: Cl100k) -> Bench:
    return Bench(bytes_first)


# -- what is asked and what is answered -------------------------------------------------------


def test_an_embedder_is_asked_for_the_texts_and_nothing_that_nobody_asked_for(bench: Bench) -> None:
    bench.embed("one", "two", key="k7")
    assert bench.asked == EmbedRequest(
        ("one", "two"),
        deadline=1000.0 + LIMITS.timeout_s,
        fair_share="k7",
        max_input_tokens=6,
        max_total_tokens=10,
        lane_by_size=True,
    )


def test_what_a_request_asks_for_reaches_the_embedder(bench: Bench) -> None:
    bench.embed("one", kind=Kind.QUERY, dimensions=3, overflow=Overflow.ERROR, lane=Lane.BULK)
    asked = bench.asked
    assert (asked.kind, asked.dimensions, asked.overflow, asked.lane) == (
        Kind.QUERY,
        3,
        Overflow.ERROR,
        Lane.BULK,
    )


def test_an_answer_says_what_was_really_given(bench: Bench) -> None:
    bench.embedder.overflowed = (1,)
    answer = bench.embed("one", "two")
    assert (answer.model, answer.tokens, answer.overflowed) == ("tiny", 3, (1,))
    assert (answer.space, answer.overflow) == (str(MODEL.space), Overflow.MEAN)
    assert answer.vectors.tolist() == np.eye(2, WIDTH).tolist()


def test_an_alias_answers_with_the_model_and_the_space_that_it_really_gives(bench: Bench) -> None:
    answer = bench.embed("one", model="mine")
    assert answer.model == "tiny"
    assert answer.space == f"tiny@{MODEL.space.digest}/4+truncate"
    assert answer.overflow is Overflow.TRUNCATE
    assert answer.vectors.shape == (1, 4)
    assert (bench.asked.dimensions, bench.asked.overflow) == (4, Overflow.TRUNCATE)


def test_what_contradicts_an_alias_or_the_model_is_refused_before_anything_runs(
    bench: Bench,
) -> None:
    with pytest.raises(InvalidRequest, match="`mine` stands for dimensions=4"):
        bench.embed("one", model="mine", dimensions=8)
    with pytest.raises(InvalidRequest, match="Vectors are never padded"):
        bench.embed("one", dimensions=WIDTH + 1)
    assert bench.embedder.requests == []


def test_a_pinned_name_is_answered_and_a_wrong_pin_is_not(bench: Bench) -> None:
    assert bench.embed("one", model=f"tiny@{MODEL.space.digest}").model == "tiny"
    assert bench.embed("one", model=f"mine@{MODEL.space.digest}+truncate").model == "tiny"
    with pytest.raises(UnknownModel, match="`mine` is served here as"):
        bench.embed("one", model="mine@00000000")


def test_vectors_come_in_the_number_format_that_was_asked_for(bench: Bench) -> None:
    answer = bench.embed("one", output=OutputType.INT8)
    assert answer.vectors.dtype == np.int8
    assert answer.vectors.tolist() == [[127, *[0] * 7]]
    assert answer.space.endswith("/8+int8")
    assert bench.embed("one", output=OutputType.UBINARY).vectors.tolist() == [[128]]


@pytest.mark.parametrize("inputs", [("", "one"), ((), (65,))])
def test_a_call_with_a_wrong_input_is_refused_whatever_the_embedder_says(
    inputs: tuple[str, ...], bench: Bench
) -> None:
    """An empty input stands in its place, and must never come back as a vector."""
    call = Call("tiny", inputs, wrong={0: "is wrong"})
    with pytest.raises(InvalidInput) as refused:
        asyncio.run(bench.answer(call))
    assert refused.value.problems == ((0, "is wrong"),)
    assert not bench.embedder.requests


def test_ids_that_are_wrong_are_named_with_an_array_that_is(bench: Bench) -> None:
    call = Call("tiny", ((), (65,), (999_999,)), wrong={0: "is an empty array"})
    with pytest.raises(InvalidInput) as refused:
        asyncio.run(bench.answer(call))
    assert [index for index, _ in refused.value.problems] == [0, 2]


# -- lanes ------------------------------------------------------------------------------------


def test_the_lane_is_chosen_by_size_unless_one_is_asked_for(bench: Bench) -> None:
    bench.embed("a short question")
    assert bench.asked.lane_by_size
    for wanted in Lane:
        bench.embed("a short question", lane=wanted)
        assert (bench.asked.lane, bench.asked.lane_by_size) == (wanted, False)


# -- limits -----------------------------------------------------------------------------------


def test_as_many_inputs_as_allowed_are_taken_and_not_one_more(bench: Bench) -> None:
    bench.embed(*["x"] * 5)
    with pytest.raises(InvalidRequest, match="it has 6 items and may have at most 5"):
        bench.embed(*["x"] * 6)


# -- arrays of token ids ----------------------------------------------------------------------


def test_token_arrays_are_read_as_cl100k_under_every_name(bench: Bench) -> None:
    bench.embed((104, 105), tuple("né".encode()))
    assert bench.asked.inputs == ("hi", "né")
    bench.embed((104, 105), model="mine")
    assert bench.asked.inputs == ("hi",)


def test_token_arrays_are_counted_as_they_came_and_their_text_has_room_to_spare(
    bench: Bench,
) -> None:
    bench.embed((104,) * 6, (105,) * 4)
    assert (bench.asked.max_input_tokens, bench.asked.max_total_tokens) == (4 * 6, 4 * 10)


def test_ids_of_the_model_s_own_are_counted_once(bench: Bench) -> None:
    bench.embed((104,) * 6, (105,) * 4, model="native")
    assert (bench.asked.max_input_tokens, bench.asked.max_total_tokens) == (None, None)


def test_large_token_arrays_are_read_off_the_event_loop(
    bytes_first: Cl100k, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_the_loop: list[bool] = []
    decode = bytes_first.decode

    def noting(ids: tuple[int, ...]) -> str:
        on_the_loop.append(threading.current_thread() is threading.main_thread())
        return decode(ids)

    monkeypatch.setattr(bytes_first, "decode", noting)
    bench = Bench(bytes_first, limits=Limits())
    bench.embed((104,) * 5000, (105,) * 5000)
    bench.embed((104,) * 5000, (105,) * 5001)
    assert on_the_loop == [True, True, False, False]
    assert bench.asked.inputs == ("h" * 5000, "i" * 5001)
    with pytest.raises(InvalidInput, match="has the id 100256"):
        bench.embed((104,) * 8000, (104,) * 8000, (100_256,))


def test_every_token_array_that_is_wrong_is_named(bench: Bench) -> None:
    with pytest.raises(InvalidInput) as caught:
        bench.embed((104,), (100_256,), (1,) * 7, (-1,))
    assert [index for index, _ in caught.value.problems] == [1, 2, 3]
    assert "maximum context length is 6 tokens, however you requested 7 tokens" in str(caught.value)


def test_too_many_ids_in_all_are_refused(bench: Bench) -> None:
    with pytest.raises(TooManyTokens, match="Requested 11 tokens, max 10"):
        bench.embed((1,) * 6, (1,) * 5)


def test_native_ids_reach_the_embedder_as_they_are(bench: Bench) -> None:
    bench.embed((7, 8, 100_300), model="native")
    assert bench.asked.inputs == ((7, 8, 100_300),)
    with pytest.raises(InvalidInput, match="maximum context length is 6"):
        bench.embed((1,) * 7, model="native")


def test_a_name_that_refuses_token_arrays_says_what_to_set_in_langchain(bench: Bench) -> None:
    with pytest.raises(InvalidRequest, match="check_embedding_ctx_length=False"):
        bench.embed((104,), model="refusing")
    bench.embed("hi", model="refusing")


def test_without_the_vocabulary_token_arrays_are_refused_and_texts_served() -> None:
    bench = Bench(cl100k=None)
    with pytest.raises(InvalidRequest, match="cannot be read here"):
        bench.embed((104,))
    bench.embed((104,), model="native")
    bench.embed("hi")


def test_texts_and_token_arrays_in_one_request_are_refused_and_neither_is_lost(
    bench: Bench,
) -> None:
    with pytest.raises(InvalidRequest, match="mixes texts and arrays"):
        bench.embed("hi", (104,))


# -- time and failure -------------------------------------------------------------------------


def test_what_takes_too_long_is_cancelled_and_said(bytes_first: Cl100k) -> None:
    bench = Bench(limits=replace(LIMITS, timeout_s=0.001))
    bench.embedder.stuck = True
    with pytest.raises(DeadlineExceeded):
        bench.embed("one")
    assert bench.embedder.cancelled


def test_a_caller_who_leaves_cancels_the_embedding(bench: Bench) -> None:
    bench.embedder.stuck = True

    async def leave() -> None:
        task = asyncio.ensure_future(bench.answer(Call("tiny", ("one",))))
        await bench.embedder.entered.wait()
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()

    asyncio.run(leave())
    assert bench.embedder.cancelled


def test_an_embedder_s_error_reaches_the_caller_as_it_is(bench: Bench) -> None:
    bench.embedder.error = DeploymentFailed("gone")
    with pytest.raises(DeploymentFailed, match="gone"):
        bench.embed("one")


def test_a_model_that_cannot_answer_is_named(bench: Bench) -> None:
    assert bench.service.problems() == []
    bench.embedder.says = "has lost emblem-stream-0"
    assert bench.service.problems() == ["tiny has lost emblem-stream-0"]


def test_overflow_is_logged_once_for_each_key_and_hour(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        bench.embed("short")
        assert caplog.messages == []
        bench.embedder.overflowed = (0,)
        for key in ("one", "two", "one", "two"):
            bench.embed("a secret text", key=key)
        assert [message.split()[1] for message in caplog.messages] == ["one", "two"]
        bench.now += OVERFLOW_LOG_S - 1
        bench.embed("a secret text", key="one")
        assert len(caplog.messages) == 2
        bench.now += 1
        bench.embed("a secret text", key="one")
        assert len(caplog.messages) == 3
    assert "secret" not in caplog.text
    assert "tiny" in caplog.text


def test_keys_whose_overflow_was_logged_long_ago_are_forgotten(bench: Bench) -> None:
    bench.embedder.overflowed = (0,)
    for n in range(50):
        bench.embed("x", key=f"key-{n}")
    bench.now += OVERFLOW_LOG_S
    bench.embed("x", key="another")
    assert len(bench.service._overflow_logged) == 1
