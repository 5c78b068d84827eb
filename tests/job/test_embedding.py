"""One chunk: what cannot be embedded is told apart from the rest, and the rest is in its order."""

import asyncio
from collections.abc import Callable

import numpy as np
import pytest

from emblem.errors import DeploymentFailed, EmblemError, InvalidInput, InvalidRequest, InvalidResult
from emblem.files.ports import Chunk
from emblem.job import Choices, Manner, embed_chunk
from emblem.job.embedding import HOPELESS, Embedded
from emblem.space import Space
from emblem.types import EmbedRequest, EmbedResult, Lane, Overflow

Refuse = Callable[[tuple[str, ...]], EmblemError | None]


class Server:
    """Gives each text a vector of its own, a number, and refuses what it is told to refuse."""

    space = Space("server", "", "", 2, normalised=False)

    def __init__(self, refuse: Refuse = lambda _: None, problem: str | None = None) -> None:
        self._problem = problem
        self.requests: list[EmbedRequest] = []
        self._refuse = refuse

    def problem(self) -> str | None:
        return self._problem

    async def embed(self, request: EmbedRequest) -> EmbedResult:
        self.requests.append(request)
        texts = tuple(map(str, request.inputs))
        if (error := self._refuse(texts)) is not None:
            raise error
        numbers = np.array([[int(text), 1] for text in texts], np.float32)
        long = tuple(at for at, text in enumerate(texts) if int(text) % 10 == 5)
        return EmbedResult(numbers, np.full(len(texts), 3, np.int32), long, "server")


def chunk(count: int, without: tuple[int, ...] = (), first: int = 100) -> Chunk:
    return Chunk(
        first,
        tuple(None if at in without else str(at) for at in range(count)),
        dict.fromkeys(without, "is null"),
        tuple(b'{"n":%d}' % at for at in range(count)),
        tuple(f"file{at}" for at in range(count)),
    )


def embed(server: Server, one: Chunk, **more: object) -> Embedded:
    return asyncio.run(embed_chunk(server, one, Choices(), **more))  # type: ignore[arg-type]


def check(embedded: Embedded, good: list[int]) -> None:
    """See that the part has these rows, each with its own record, vector and flag."""
    part = embedded.part
    assert part.rows.tolist() == [100 + at for at in good]
    assert part.records == tuple(b'{"n":%d}' % at for at in good)
    assert part.vectors[:, 0].tolist() == good
    assert part.overflowed is not None
    assert part.overflowed.tolist() == [at % 10 == 5 for at in good]
    assert embedded.tally.vectors == len(good)
    assert embedded.tally.tokens == 3 * len(good)


def test_a_chunk_is_one_request_in_the_bulk_lane() -> None:
    server = Server()
    check(embed(server, chunk(20)), list(range(20)))
    (request,) = server.requests
    assert request.lane is Lane.BULK
    assert request.inputs == tuple(map(str, range(20)))


def test_rows_without_a_text_are_not_sent() -> None:
    server = Server()
    embedded = embed(server, chunk(6, without=(0, 5)))
    check(embedded, [1, 2, 3, 4])
    assert [(one.row, one.why, one.file) for one in embedded.failures] == [
        (100, "is null", "file0"),
        (105, "is null", "file5"),
    ]


def test_a_chunk_without_any_text_is_not_sent() -> None:
    server = Server()
    embedded = embed(server, chunk(2, without=(0, 1)))
    assert server.requests == []
    assert embedded.part.vectors.shape == (0, 2)
    assert embedded.tally.failed == 2


def test_inputs_that_are_named_fail_and_the_rest_is_sent_again() -> None:
    def refuse(texts: tuple[str, ...]) -> EmblemError | None:
        wrong = [(at, f"is {text}") for at, text in enumerate(texts) if int(text) % 4 == 3]
        return InvalidInput(wrong[:2]) if wrong else None

    server = Server(refuse)
    embedded = embed(server, chunk(16, without=(3,)))
    check(embedded, [at for at in range(16) if at % 4 != 3])
    assert [one.why for one in embedded.failures] == ["is null", "is 7", "is 11", "is 15"]
    assert len(server.requests) == 3


@pytest.mark.parametrize("error", [InvalidRequest("no"), InvalidResult("server", "a zero vector")])
@pytest.mark.parametrize("bad", [0, 9, 15])
def test_one_text_that_is_refused_without_a_name_is_found(error: EmblemError, bad: int) -> None:
    server = Server(lambda texts: error if str(bad) in texts else None)
    embedded = embed(server, chunk(16))
    check(embedded, [at for at in range(16) if at != bad])
    (failure,) = embedded.failures
    assert failure.row == 100 + bad
    assert failure.why in ("no", "a zero vector")
    assert len(server.requests) <= 9


def test_where_every_text_is_refused_it_is_not_the_texts() -> None:
    server = Server(lambda texts: InvalidRequest("the model does not exist"))
    with pytest.raises(InvalidRequest, match="the model does not exist"):
        embed(server, chunk(512))
    assert len(server.requests) < 10 * HOPELESS


def test_a_refusal_that_names_no_input_of_the_request_is_passed_on() -> None:
    server = Server(lambda texts: InvalidInput([(99, "is odd")]))
    with pytest.raises(InvalidInput):
        embed(server, chunk(4))
    assert len(server.requests) == 1


def test_a_server_that_fails_is_no_fault_of_a_text() -> None:
    server = Server(lambda texts: DeploymentFailed("gone"))
    with pytest.raises(DeploymentFailed, match="gone"):
        embed(server, chunk(16), manner=Manner(in_process=False))
    assert len(server.requests) == 1


def test_a_malformed_answer_is_not_asked_for_text_by_text() -> None:
    error = InvalidResult("server", "2 numbers in vector 1 where 4 were due")
    server = Server(lambda texts: error if len(texts) > 1 else None)
    with pytest.raises(InvalidResult, match="2 numbers in vector 1"):
        embed(server, chunk(16), manner=Manner(in_process=False))
    assert len(server.requests) == 1


def test_a_zero_vector_of_a_server_is_one_texts() -> None:
    error = InvalidResult("server", "a zero vector at 3", of_one_text=True)
    server = Server(lambda texts: error if "7" in texts else None)
    embedded = embed(server, chunk(16), manner=Manner(in_process=False))
    check(embedded, [at for at in range(16) if at != 7])


def test_an_engine_that_fails_at_one_text_goes_on_with_the_rest() -> None:
    server = Server(lambda texts: DeploymentFailed("a panic") if "7" in texts else None)
    embedded = embed(server, chunk(16))
    check(embedded, [at for at in range(16) if at != 7])
    assert [one.why for one in embedded.failures] == ["a panic"]


@pytest.mark.parametrize("rows", [1, 16])
def test_an_engine_that_has_failed_for_good_is_no_fault_of_a_text(rows: int) -> None:
    lost = Server(lambda texts: DeploymentFailed("has lost a stream"), "has lost a stream")
    with pytest.raises(DeploymentFailed, match="has lost a stream"):
        embed(lost, chunk(rows))
    assert len(lost.requests) == 1


def test_who_does_not_tell_of_long_texts_leaves_that_open() -> None:
    embedded = embed(Server(), chunk(16), manner=Manner(tells_overflow=False))
    assert embedded.part.overflowed is None
    assert embedded.tally.overflowed is None


async def _asked(choices: Choices) -> EmbedRequest:
    server = Server()
    server.space = Space("server", "", "", 1, normalised=False)

    async def embed_one(request: EmbedRequest) -> EmbedResult:
        server.requests.append(request)
        return EmbedResult(np.ones((1, 1), np.float32), np.ones(1, np.int32), (), "server")

    server.embed = embed_one  # type: ignore[method-assign]
    await embed_chunk(server, chunk(1), choices)  # type: ignore[arg-type]
    return server.requests[0]


def test_what_is_asked_for_is_passed_on() -> None:
    request = asyncio.run(_asked(Choices(dimensions=1, overflow=Overflow.ERROR)))
    assert (request.dimensions, request.overflow) == (1, Overflow.ERROR)


def test_vectors_of_another_width_are_never_written() -> None:
    server = Server()
    server.space = Space("server", "", "", 3, normalised=False)
    with pytest.raises(DeploymentFailed, match="4 × 2 numbers came for 4 × 3"):
        embed(server, chunk(4))
