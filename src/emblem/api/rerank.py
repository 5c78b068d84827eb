"""POST /v1/rerank and /rerank: passed on to a model elsewhere, and its answer checked."""

from starlette.types import Receive, Scope, Send

from emblem.accounts import Caller, Observed
from emblem.api.body import BodyReader
from emblem.api.embeddings import MAX_USER, respond, unless_gone
from emblem.api.limits import headers as limit_headers
from emblem.api.passed import Advance, Directory, Elsewhere, Task
from emblem.api.problems import Headers, Problem, invalid
from emblem.api.rerank_wire import RerankRequest, decode, encode, read, written
from emblem.api.tags import tags
from emblem.charging import Charging
from emblem.errors import EmblemError, InvalidRequest, UnknownModel

# The second is where clients end up whose base URL ends in /v1 without a slash.
RERANK = ("/v1/rerank", "/rerank")


class Rerank:
    """Answers requests to rank documents; an ASGI application behind the edge."""

    def __init__(self, directory: Directory, bodies: BodyReader, charging: Charging) -> None:
        self._directory = directory
        self._bodies = bodies
        self._charging = charging

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request. Raises Problem, EmblemError, ClientGone."""
        caller: Caller = scope["state"]["caller"]
        seen: Observed = scope["state"]["seen"]
        advance = Advance(self._charging, caller, seen)
        async with self._bodies.read(scope["headers"], receive) as content:
            try:
                seen.tags = tags(scope["headers"])
                asked = read(content)
                if not asked.model:
                    raise invalid("you must provide a model parameter", "model")
                model = self._directory.find(Task.RERANK, asked.model, caller)
                passed_on = encode(asked, model.passage.model, model.dialect)
            except (Problem, InvalidRequest, UnknownModel):
                await advance.count_wrong()
                raise
            seen.user, seen.inputs = asked.user[:MAX_USER], len(asked.documents)
            seen.model, seen.served_by = model.name, model.passage.served_by
            await advance.pay(asked.guess)
            answer = await unless_gone(
                _answered(model, asked, passed_on, advance, seen.id), receive
            )
        await respond(send, 200, answer, _headers(model, advance))


async def _answered(
    model: Elsewhere, asked: RerankRequest, passed_on: bytes, advance: Advance, request_id: str
) -> bytes:
    """Give the answer's body. Raises EmblemError, once the charge is given back."""
    try:
        async with model.passage.send(passed_on) as passed:
            whole = await passed.whole()
        ranking = decode(whole, asked, model.dialect, model.passage.served_by)
    except InvalidRequest:
        await advance.count_wrong()
        raise
    except EmblemError:
        await advance.give_back()
        raise
    await advance.settle(asked.guess if ranking.tokens is None else ranking.tokens)
    return written(ranking, asked, model.name, request_id)


def _headers(model: Elsewhere, advance: Advance) -> Headers:
    served = ((b"x-served-by", model.passage.served_by.encode()),)
    return (*served, *limit_headers(advance.standings))
