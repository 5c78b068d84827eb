"""Who reads what: long texts hold up nobody but one another."""

import asyncio
import threading

import numpy as np
import pytest

from emblem.core.tokenize import Reading, TextTokenizer
from emblem.engine.engine import SMALL_TOKENS
from emblem.engine.readers import LONG, SHORT, Readers
from emblem.errors import InvalidInput
from emblem.types import EmbedRequest
from tiny_engine import MAX_LENGTH, PATIENCE_S, ids_of, tiny_engine, tokenizer, until, words

pytestmark = pytest.mark.anyio

ANY_SIZE = pytest.mark.parametrize("characters", [1, SHORT + 1, LONG + 1])


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Held(TextTokenizer):
    """Does not come to an end with long texts until it is let go."""

    def __init__(self) -> None:
        super().__init__(tokenizer(), max_length=MAX_LENGTH)
        self.go = threading.Event()
        self.begun = 0

    def readings(self, inputs, prompt, most=None) -> list[Reading]:
        if sum(map(len, inputs)) > LONG:
            self.begun += 1
            assert self.go.wait(PATIENCE_S)
        return super().readings(inputs, prompt, most)


def spaced(n: int, characters: int) -> str:
    """Make a text of one word and so many characters."""
    return words(n).ljust(characters)


@pytest.mark.parametrize("characters", [8, 5 * SMALL_TOKENS, SHORT // 2, SHORT * 2, LONG // 2])
async def test_while_many_long_texts_are_read_others_are_answered(characters: int) -> None:
    reader = Held()
    async with tiny_engine(reader=reader) as engine:
        long = [
            asyncio.ensure_future(engine.embed(EmbedRequest((spaced(n, 2 * LONG),))))
            for n in range(8)
        ]
        await until(lambda: reader.begun)
        for n in range(20):
            await engine.embed(EmbedRequest((spaced(100 + n, characters),)))
        assert not any(one.done() for one in long)
        assert reader.begun == 1  # one at a time, which bounds the memory that they take
        reader.go.set()
        results = await asyncio.gather(*long)
        for n, result in enumerate(results):
            again = await engine.embed(EmbedRequest((words(n),)))
            np.testing.assert_array_equal(result.vectors, again.vectors)


async def test_long_texts_of_those_who_left_are_not_read() -> None:
    reader = Held()
    async with tiny_engine(reader=reader) as engine:
        long = [
            asyncio.ensure_future(engine.embed(EmbedRequest((spaced(n, 2 * LONG),))))
            for n in range(8)
        ]
        await until(lambda: reader.begun)
        for one in long[1:]:
            one.cancel()
        await asyncio.wait(long[1:])
        reader.go.set()
        await long[0]
        await engine.embed(EmbedRequest((spaced(9, 2 * LONG),)))
        assert reader.begun == 2


async def test_a_long_text_beyond_the_limit_is_refused_by_the_number_of_its_tokens() -> None:
    async with tiny_engine() as engine:
        long = words(*range(1000)) * 60
        with pytest.raises(InvalidInput) as caught:
            await engine.embed(EmbedRequest((words(1), long), max_input_tokens=8192))
        # "w999w0" joins the last word of one round and the first of the next.
        tokens = 2 + len(long.split())
        assert f"requested {tokens} tokens of its own vocabulary" in str(caught.value)
        kept = await engine.embed(EmbedRequest((words(*range(1000)),), max_input_tokens=8192))
        assert kept.tokens.tolist() == [2 + len(ids_of(words(*range(1000))))]


@ANY_SIZE
def test_work_of_any_size_gives_what_it_gives(characters: int) -> None:
    readers = Readers()
    try:
        assert readers.submit(characters, lambda: 7).result(PATIENCE_S) == 7
    finally:
        readers.close()


@ANY_SIZE
def test_work_of_one_size_waits_for_none_of_another(characters: int) -> None:
    readers = Readers()
    go = threading.Event()
    others = [size for size in (1, SHORT + 1, LONG + 1) if size != characters]
    try:
        for size in others * 4:
            readers.submit(size, lambda: go.wait(PATIENCE_S))
        assert readers.submit(characters, lambda: "done").result(PATIENCE_S) == "done"
        assert not go.is_set()
    finally:
        go.set()
        readers.close()


@ANY_SIZE
def test_no_work_is_taken_once_closed(characters: int) -> None:
    readers = Readers()
    readers.close()
    with pytest.raises(RuntimeError):
        readers.submit(characters, lambda: None)
