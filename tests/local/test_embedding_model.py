"""Texts in, arrays out: from any thread, any event loop, and never a wrong or a missing vector."""

import asyncio
import gc
import os
import pickle
import threading
import time
import weakref
from collections import UserList, deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from emblem.backends.fake import FakeBackend
from emblem.core.tokenize import TextTokenizer
from emblem.engine import Engine
from emblem.errors import DeploymentFailed, InvalidInput, InvalidRequest
from emblem.local import loop as loop_module
from emblem.local import model as local_model
from emblem.local.loop import Loop
from emblem.local.model import Abilities, EmbeddingModel
from emblem.offer import Prompts
from emblem.types import EmbedRequest, EmbedResult, Overflow
from emblem.wrappers.checked import Checked
from tiny_engine import MAX_LENGTH, PATIENCE_S, PLENTY, WIDTH, model, tokenizer, vector_of, words

TEXTS = [words(*range(n, n + 1 + n % 7)) for n in range(50)]
DUE = np.array([vector_of(text) for text in TEXTS], np.float32)
NEAR = {"atol": 1e-6, "rtol": 0}


def opened(backend: FakeBackend, *, prompts: bool = True) -> EmbeddingModel:
    described = model(prompts=Prompts(query="ask: ") if prompts else None)
    engine = Engine(described, TextTokenizer(tokenizer(), max_length=MAX_LENGTH), backend, PLENTY)
    abilities = Abilities(MAX_LENGTH, prompts)
    return EmbeddingModel("tiny", Checked(engine), Loop("tiny"), abilities)


@pytest.fixture
def backend() -> FakeBackend:
    return FakeBackend(WIDTH)


@pytest.fixture
def tiny(backend: FakeBackend) -> Iterator[EmbeddingModel]:
    with opened(backend) as found:
        yield found
        backend.release()


def test_many_texts_give_a_row_each(tiny: EmbeddingModel) -> None:
    vectors = tiny.embed(TEXTS)
    assert (vectors.dtype, vectors.shape) == (np.float32, (50, WIDTH))
    np.testing.assert_allclose(vectors, DUE, **NEAR)


def test_one_text_gives_one_vector(tiny: EmbeddingModel) -> None:
    assert tiny.embed(TEXTS[3]).shape == (WIDTH,)
    np.testing.assert_allclose(tiny.embed(TEXTS[3]), DUE[3], **NEAR)
    assert tiny.embed([TEXTS[3]]).shape == (1, WIDTH)


def test_no_texts_give_no_rows(tiny: EmbeddingModel) -> None:
    assert tiny.embed([]).shape == (0, WIDTH)
    assert tiny.embed([], dimensions=2).shape == (0, 2)


def test_texts_may_come_from_anything_that_holds_strings(tiny: EmbeddingModel) -> None:
    for texts in (
        tuple(TEXTS),
        iter(TEXTS),
        np.array(TEXTS),
        np.array(TEXTS, object),
        UserList(TEXTS),
        deque(TEXTS),
        dict.fromkeys(TEXTS).keys(),
    ):
        np.testing.assert_allclose(tiny.embed(texts), DUE, **NEAR)


def test_many_parts_come_back_in_order(
    tiny: EmbeddingModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_model, "PART_TEXTS", 3)
    np.testing.assert_allclose(tiny.embed(TEXTS), DUE, **NEAR)
    monkeypatch.setattr(local_model, "PART_CHARACTERS", 1)
    np.testing.assert_allclose(tiny.embed(TEXTS), DUE, **NEAR)


def test_kind_dimensions_and_overflow_are_what_was_asked_for(tiny: EmbeddingModel) -> None:
    long = words(*range(40))
    for given, due in (
        ({"kind": "query"}, vector_of(long, prompt="ask: ")),
        ({"kind": "document"}, vector_of(long)),
        ({"overflow": "truncate"}, vector_of(long, truncate=True)),
        ({"overflow": Overflow.MEAN}, vector_of(long)),
    ):
        np.testing.assert_allclose(tiny.embed(long, **given), due, **NEAR)
    due = vector_of(long)[:4] / np.linalg.norm(vector_of(long)[:4])
    for four in (4, np.int64(4), np.uint8(4)):
        np.testing.assert_allclose(tiny.embed(long, dimensions=four), due, **NEAR)


def test_numbers_may_be_written_otherwise(tiny: EmbeddingModel) -> None:
    exact = tiny.embed(TEXTS)
    np.testing.assert_array_equal(tiny.embed(TEXTS, dtype="float16"), exact.astype(np.float16))
    np.testing.assert_array_equal(tiny.embed(TEXTS, dtype="int8"), np.rint(exact * 127))
    np.testing.assert_array_equal(tiny.embed(TEXTS, dtype="ubinary"), np.packbits(exact > 0, 1))
    assert tiny.embed(TEXTS[0], dtype="binary").dtype == np.int8


@pytest.mark.parametrize(
    ("texts", "wrong"),
    [
        (["w1", None, 3.5], ((1, "must be a string and is NoneType"), (2, "must be a string and is float"))),
        (["", "w1", ""], ((0, "is an empty string"), (2, "is an empty string"))),
        (["w1", b"w2"], ((1, "must be a string and is bytes"),)),
    ],
)  # fmt: skip
def test_every_text_that_is_none_is_named(
    tiny: EmbeddingModel, texts: list[str], wrong: tuple[tuple[int, str], ...]
) -> None:
    with pytest.raises(InvalidInput) as caught:
        tiny.embed(texts)
    assert caught.value.problems == wrong
    assert str(caught.value) == "; ".join(f"text {at} {why}" for at, why in wrong)


def test_a_text_that_is_too_long_is_named_as_the_call_has_it(
    tiny: EmbeddingModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_model, "PART_TEXTS", 3)
    with pytest.raises(InvalidInput) as caught:
        tiny.embed([*TEXTS[:7], words(*range(30)), *TEXTS], overflow="error")
    assert [at for at, _ in caught.value.problems] == [7]
    assert str(caught.value).startswith("text 7 ")
    assert "$.input" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"texts": b"w1"}, "texts must be strings, and bytes holds none"),
        ({"texts": 7}, "texts must be strings, and int holds none"),
        ({"texts": np.array("w1")}, "a str for one text, and this ndarray has 0"),
        ({"texts": np.array([["w1", "w2"]])}, "in one dimension, or a str"),
        ({"texts": {"w1", "w2"}}, "texts must be in an order, and set has none"),
        ({"texts": {"w1": 1}}, "texts must be in an order, and dict has none"),
        ({"texts": [np.array(["w1", "w2"])]}, "text 0 must be a string and is ndarray"),
        ({"dimensions": np.True_}, "dimensions is np.True_"),
        ({"dimensions": np.float32(4)}, "dimensions is np.float32(4.0)"),
        ({"dimensions": "4"}, "dimensions is '4'"),
        ({"dimensions": np.int64(WIDTH + 1)}, "it must be a whole number from 1 to 8"),
        ({"kind": "question"}, "kind is 'question'; it must be one of query, document, or None"),
        ({"overflow": "cut"}, "overflow is 'cut'; it must be one of mean, truncate, error"),
        ({"dtype": "float64"}, "dtype is 'float64'; it must be one of float32"),
        ({"dimensions": 0}, "dimensions is 0; tiny gives vectors of 8 numbers"),
        ({"dimensions": WIDTH + 1}, "it must be a whole number from 1 to 8"),
        ({"dimensions": 4.0}, "dimensions is 4.0"),
        ({"dimensions": True}, "dimensions is True"),
        ({"dimensions": 4, "dtype": "binary"}, "4 is no multiple of 8"),
    ],
)
def test_what_cannot_be_given_is_refused(
    tiny: EmbeddingModel, given: dict[str, object], said: str
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        tiny.embed(**{"texts": "w1", **given})  # type: ignore[arg-type]
    assert said in str(caught.value)


def test_a_kind_without_a_prompt_is_refused(backend: FakeBackend) -> None:
    with opened(backend, prompts=False) as plain, pytest.raises(InvalidRequest, match="no prompts"):
        plain.embed("w1", kind="query")


def test_similarity_takes_texts_or_their_vectors(tiny: EmbeddingModel) -> None:
    due = DUE.astype(np.float64) @ DUE[:3].T.astype(np.float64)
    for one, other in ((TEXTS, TEXTS[:3]), (DUE, DUE[:3]), (DUE, TEXTS[:3])):
        np.testing.assert_allclose(tiny.similarity(one, other), due, atol=1e-6)
    assert tiny.similarity(TEXTS[0], TEXTS[1]).shape == (1, 1)
    itself = tiny.similarity(TEXTS)
    assert (itself.dtype, itself.shape, itself.max() <= 1) == (np.float32, (50, 50), True)


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (np.ones((2, WIDTH - 1)), "vectors of 8 and of 7 numbers cannot be compared"),
        (np.ones((2, WIDTH), np.int8), "an array of int8 with shape (2, 8) holds no vectors"),
        (np.ones((2, 2, WIDTH)), "holds no vectors"),
        (np.zeros((2, WIDTH)), "vector 0 has no direction"),
        (np.full((2, WIDTH), np.nan), "vector 0 has no direction"),
    ],
)
def test_what_has_no_cosine_is_refused(tiny: EmbeddingModel, other: np.ndarray, said: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        tiny.similarity("w1", other)
    assert said in str(caught.value)


def test_many_threads_get_their_own_vectors(tiny: EmbeddingModel) -> None:
    def check(seed: int) -> None:
        for at in np.random.default_rng(seed).integers(0, 50, 20):
            np.testing.assert_allclose(tiny.embed(TEXTS[at:]), DUE[at:], **NEAR)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(check, range(8)))


def test_it_works_below_a_running_event_loop_as_in_a_notebook(tiny: EmbeddingModel) -> None:
    async def cell() -> np.ndarray:
        return tiny.embed(TEXTS)

    np.testing.assert_allclose(asyncio.run(cell()), DUE, **NEAR)


def test_any_event_loop_may_await_it(tiny: EmbeddingModel) -> None:
    async def both() -> list[np.ndarray]:
        return await asyncio.gather(tiny.aembed(TEXTS), tiny.aembed(TEXTS[5], kind="query"))

    for _ in range(2):
        many, one = asyncio.run(both())
        np.testing.assert_allclose(many, DUE, **NEAR)
        np.testing.assert_allclose(one, vector_of(TEXTS[5], prompt="ask: "), **NEAR)


def test_awaiting_does_not_hold_up_the_loop_and_may_be_cancelled(
    tiny: EmbeddingModel, backend: FakeBackend
) -> None:
    async def run() -> None:
        backend.block()
        waiting = asyncio.ensure_future(tiny.aembed(TEXTS))
        await asyncio.to_thread(backend.await_run, PATIENCE_S)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        backend.release()
        np.testing.assert_allclose(await tiny.aembed(TEXTS), DUE, **NEAR)

    asyncio.run(run())


def test_closing_fails_what_waits_and_what_comes(backend: FakeBackend) -> None:
    tiny = opened(backend)
    backend.block()
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(tiny.embed, TEXTS * 40)  # more parts than are begun at once
        backend.await_run(PATIENCE_S)
        closing = threading.Thread(target=tiny.close)
        closing.start()
        _wait_until_closing(tiny)
        backend.release()
        closing.join(PATIENCE_S)
        assert not closing.is_alive()
        with pytest.raises(DeploymentFailed, match="tiny is shutting down"):
            waiting.result(PATIENCE_S)
    tiny.close()
    assert backend.closed
    with pytest.raises(DeploymentFailed, match="tiny is closed"):
        tiny.embed("w1")


def test_closing_reaches_whoever_awaits(backend: FakeBackend) -> None:
    async def run() -> None:
        tiny = opened(backend)
        backend.block()
        waiting = asyncio.ensure_future(tiny.aembed(TEXTS * 40))
        await asyncio.to_thread(backend.await_run, PATIENCE_S)
        closing = asyncio.ensure_future(tiny.aclose())
        await asyncio.to_thread(_wait_until_closing, tiny)
        backend.release()
        await closing
        with pytest.raises(DeploymentFailed, match="tiny is shutting down"):
            await waiting

    asyncio.run(run())


class Elsewhere:
    """An embedder that refuses what it is asked for in the words of an HTTP API."""

    space = model().space

    def __init__(self, error: InvalidRequest) -> None:
        self._error = error

    async def embed(self, request: EmbedRequest) -> EmbedResult:
        raise self._error

    def problem(self) -> str | None:
        return None

    async def aclose(self) -> None:
        pass


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (InvalidRequest("Leave input_type out.", param="input_type"), "Leave kind out."),
        (InvalidInput([(0, "is long")]), "text 0 is long"),
        (InvalidRequest("no such dimensions", param="dimensions"), "no such dimensions"),
    ],
)
def test_a_server_refuses_in_the_words_of_python(error: InvalidRequest, said: str) -> None:
    with (
        EmbeddingModel("there", Elsewhere(error), Loop("there")) as there,
        pytest.raises(InvalidRequest) as caught,
    ):
        there.embed("w1", kind="query")
    assert str(caught.value) == said


class Stuck:
    """An embedder that never answers, not even when it is closed."""

    space = model().space

    def __init__(self) -> None:
        self.begun = threading.Event()

    async def embed(self, request: EmbedRequest) -> EmbedResult:
        self.begun.set()
        await asyncio.get_running_loop().create_future()
        raise AssertionError

    def problem(self) -> str | None:
        return None

    async def aclose(self) -> None:
        pass


def test_closing_ends_calls_that_would_never_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop_module, "LAST_WORDS_S", 0.01)
    for begin in (lambda tiny: tiny.embed("w1"), lambda tiny: asyncio.run(tiny.aembed("w1"))):
        stuck = Stuck()
        tiny = EmbeddingModel("stuck", stuck, Loop("stuck"))
        with ThreadPoolExecutor(1) as threads:
            waiting = threads.submit(begin, tiny)
            assert stuck.begun.wait(PATIENCE_S)
            tiny.close()
            with pytest.raises(DeploymentFailed, match="stuck is closed"):
                waiting.result(PATIENCE_S)


def _wait_until_closing(tiny: EmbeddingModel) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while tiny._embedder.problem() is None:
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_an_async_block_closes_it(backend: FakeBackend) -> None:
    async def run() -> EmbeddingModel:
        async with opened(backend) as tiny:
            await tiny.aembed("w1")
        return tiny

    found = asyncio.run(run())
    assert backend.closed
    with pytest.raises(DeploymentFailed, match="is closed"):
        found.embed("w1")


def test_whoever_forgets_it_frees_it(backend: FakeBackend) -> None:
    tiny = opened(backend)
    tiny.embed("w1")
    loop = next(one for one in threading.enumerate() if one.name == "emblem-loop")
    gone = weakref.ref(tiny)
    del tiny
    gc.collect()
    assert gone() is None
    loop.join(PATIENCE_S)
    assert not loop.is_alive()
    assert backend.closed


def test_a_forked_process_is_told_what_to_do(tiny: EmbeddingModel) -> None:
    tiny.embed("w1")
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        said = b"nothing"
        try:
            tiny.embed("w1")
        except DeploymentFailed as error:
            said = str(error).encode()
        finally:
            os.write(writer, said)
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        said = pipe.read().decode()
    os.waitpid(child, 0)
    assert "was loaded before this process was forked" in said
    np.testing.assert_allclose(tiny.embed(TEXTS), DUE, **NEAR)


def test_it_cannot_be_pickled(tiny: EmbeddingModel) -> None:
    with pytest.raises(TypeError, match="tiny cannot be pickled; load it in each process"):
        pickle.dumps(tiny)


def test_it_says_what_it_is(tiny: EmbeddingModel) -> None:
    assert repr(tiny) == f"<EmbeddingModel tiny@aaaaaaaa-bbbbbbbb/{WIDTH}>"
    assert (tiny.name, tiny.width, tiny.max_length) == ("tiny", WIDTH, MAX_LENGTH)
    assert str(tiny.space) == f"tiny@aaaaaaaa-bbbbbbbb/{WIDTH}"
