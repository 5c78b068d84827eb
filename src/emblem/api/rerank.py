"""POST /v1/rerank and /rerank: passed on to a model elsewhere, and its answer checked."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.types import Receive, Scope, Send

from emblem.api.embeddings import respond, unless_gone
from emblem.api.passed import Door, Taken, Task
from emblem.api.rerank_wire import (
    Ranking,
    RerankRequest,
    decode,
    encode,
    read,
    refuse_unsayable,
    written,
)
from emblem.errors import EmblemError, InvalidRequest
from emblem.ports import Passage

# The second is where clients end up whose base URL ends in /v1 without a slash.
RERANK = ("/v1/rerank", "/rerank")


class Rerank:
    """Answers requests to rank documents; an ASGI application behind the edge."""

    def __init__(self, door: Door) -> None:
        self._door = door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request. Raises Problem, EmblemError, ClientGone."""
        async with self._door.taken(Task.RERANK, scope, receive, read) as taken:
            refuse_unsayable(taken.asked, taken.model.dialect)
            answer = await unless_gone(_answered(taken), scope, receive)
        await respond(send, 200, answer, taken.headers(taken.seen.served_by))


async def _answered(taken: Taken[RerankRequest]) -> bytes:
    """Give the answer's body. Raises EmblemError, once the charge is given back."""
    asked, model, advance, seen = taken.asked, taken.model, taken.advance, taken.seen

    @asynccontextmanager
    async def ask(passage: Passage, deadline: float) -> AsyncIterator[tuple[str, Ranking]]:
        content = encode(asked, passage.model, model.dialect)
        async with passage.send(content, deadline) as passed:
            whole = await passed.whole()
        yield passage.served_by, decode(whole, asked, model.dialect, passage.served_by)

    await advance.pay(asked.guess)
    try:
        async with model.passages.answer(ask) as (served_by, ranking):
            seen.served_by = served_by
    except InvalidRequest:
        raise
    except EmblemError:
        await advance.give_back()
        raise
    await advance.settle(asked.guess if ranking.tokens is None else ranking.tokens)
    return written(ranking, asked, model.name, seen.id)
