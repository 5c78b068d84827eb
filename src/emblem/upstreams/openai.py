"""OpenAIUpstream: an Embedder over any server with OpenAI's embeddings API, Emblem itself included.

What a server gives is not taken on trust: vectors are put in the order of the texts by their index,
counted and measured; a server that names its space, or the model, must go on naming the same one.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from emblem.errors import DeploymentFailed, InvalidInput, InvalidRequest, InvalidResult
from emblem.space import Space
from emblem.types import EmbedRequest, EmbedResult, Overflow, Vectors
from emblem.upstreams import answers
from emblem.upstreams.answers import Embeddings, Malformed
from emblem.upstreams.sending import Answer
from emblem.upstreams.server import Server, TooLarge

CANARY = "A short text that every model must embed before it is trusted."
SAME = 0.9999  # the least cosine of one text's vectors, sent as base64 and as numbers
UNIT = 1e-3  # how far from 1 the norm of a unit vector may be
NAMED_INPUTS = 100  # so many long inputs are named by Emblem's header


@dataclass(frozen=True, slots=True)
class Manner:
    """What a server was found to understand: Emblem's own fields; vectors written as base64.

    ``model`` is what it calls the model in its answers, None where it has named none.
    """

    emblem: bool = False
    base64: bool = True
    model: str | None = None


class OpenAIUpstream:
    """Embeds texts with a model of somebody else's server.

    ``space`` is declared; ``connect`` finds it out. Large requests are sent in parts, one after the
    other. The numbers themselves are not looked at: wrap it in Checked.
    """

    def __init__(self, space: Space, server: Server, manner: Manner | None = None) -> None:
        self._space = space
        self._server = server
        self._manner = manner or Manner()
        self._model = self._manner.model

    @property
    def space(self) -> Space:
        """The declared space."""
        return self._space

    @property
    def manner(self) -> Manner:
        """What the server understands."""
        return self._manner

    def problem(self) -> str | None:
        """Say whether it is closed; whether the server answers is not known before it is asked."""
        return "is closed" if self._server.closed else None

    async def aclose(self) -> None:
        """Close the connections, unless the client was given."""
        await self._server.aclose()

    async def embed(self, request: EmbedRequest) -> EmbedResult:
        """Embed every text of the request; see ``ports.Embedder``.

        The tokens of one text are an estimate: servers count those of a request together.
        """
        texts = self._texts(request)
        until = self._server.until(request.deadline)
        most = self._server.endpoint.max_inputs
        if self._manner.emblem:
            most = min(most, NAMED_INPUTS)
        return _joined(
            [
                await self._part(request, texts[start : start + most], start, until)
                for start in range(0, len(texts), most)
            ]
        )

    def _texts(self, request: EmbedRequest) -> tuple[str, ...]:
        """Give the texts, or raise InvalidRequest for what the server would not understand."""
        host = self._server.endpoint.host
        texts = tuple(one for one in request.inputs if isinstance(one, str))
        if not texts or len(texts) < len(request.inputs):
            raise InvalidRequest(f"{host} is sent texts only, and at least one", param="input")
        if self._manner.emblem:
            return texts
        if request.kind is not None:
            raise InvalidRequest(
                f"{host} is no Emblem and knows no kinds of text; put the model's own prompt "
                "before each text instead",
                param="input_type",
            )
        if request.overflow is not None:
            raise InvalidRequest(
                f"{host} is no Emblem; what it does with long texts cannot be chosen here",
                param="overflow",
            )
        return texts

    async def _part(
        self, request: EmbedRequest, texts: tuple[str, ...], start: int, until: float
    ) -> EmbedResult:
        """Embed some of the texts, in smaller parts where the server finds them too many."""
        try:
            answer = await self._server.post(
                texts, self._options(request), until, self._space.width
            )
        except InvalidInput as error:
            raise InvalidInput([(start + at, why) for at, why in error.problems]) from None
        except TooLarge as error:
            if len(texts) == 1:
                raise InvalidInput([(start, f"is refused: {error.said}")]) from None
        else:
            return self._result(request, texts, start, answer)
        half = len(texts) // 2
        first = await self._part(request, texts[:half], start, until)
        return _joined([first, await self._part(request, texts[half:], start + half, until)])

    def _options(self, request: EmbedRequest) -> dict[str, Any]:
        options: dict[str, Any] = {"encoding_format": "base64" if self._manner.base64 else "float"}
        if request.dimensions is not None and request.dimensions != self._space.width:
            options["dimensions"] = request.dimensions
        if self._manner.emblem:
            options |= {"input_type": request.kind, "overflow": request.overflow}
            options["priority"] = request.lane
        return options

    def _result(
        self, request: EmbedRequest, texts: tuple[str, ...], start: int, answer: Answer
    ) -> EmbedResult:
        host = self._server.endpoint.host
        width = request.dimensions or self._space.width
        try:
            found = answers.embeddings(answer.content, len(texts), width)
            if self._manner.emblem:
                self._check_space(request, answers.space(answer.headers), found.vectors)
            self._model = _same(self._model, found.model)
        except Malformed as error:
            raise InvalidResult(host, str(error)) from None
        long = tuple(start + at for at in answers.overflowed(answer.headers, len(texts)))
        return EmbedResult(found.vectors, answers.spread(found.tokens, texts), long, host)

    def _check_space(
        self, request: EmbedRequest, named: answers.Named | None, vectors: Vectors
    ) -> None:
        """Raise Malformed where the server names another space than the declared one."""
        if named is None:
            raise Malformed("vectors without the name of their space, which it gave before")
        rules = {request.overflow, self._space.overflow} | {Overflow.MEAN}
        due = self._space.written(dimensions=request.dimensions, overflow=request.overflow)
        right = (self._space.name, vectors.shape[1])
        if (named.name, named.width) != right or named.overflow not in rules:
            raise Malformed(f"vectors of the space {named}; those of {due} were due")


async def connect(server: Server) -> OpenAIUpstream:
    """Embed a canary and give an upstream with the space that was found; it owns the server.

    The canary is asked for as numbers and as base64, which must agree, or else numbers are asked
    for from then on. The space is the one that another Emblem names; any other server's is called
    after its host and the model. A server that is not there is not waited for. Raises what ``embed``
    raises.
    """
    try:
        return await _found_out(server)
    except BaseException:
        await server.aclose()
        raise


async def _found_out(server: Server) -> OpenAIUpstream:
    host = server.endpoint.host
    until = server.until(float("inf"))
    try:
        answer = await server.post([CANARY], {"encoding_format": "float"}, until)
        try:
            found = answers.embeddings(answer.content, 1, None)
            named = answers.space(answer.headers)
            base64 = await _agrees(server, found, until)
        except Malformed as error:
            raise InvalidResult(host, str(error)) from None
        if named is not None and named.width != found.vectors.shape[1]:
            raise InvalidResult(host, f"{found.vectors.shape[1]} numbers for the space {named}")
    except TooLarge as error:
        raise DeploymentFailed(f"{host} refused a short text: {error.said}") from None
    norm = float(np.linalg.norm(found.vectors.astype(np.float64)))
    space = Space.declared(
        named.name if named else f"{host}/{server.endpoint.model}",
        found.vectors.shape[1],
        normalised=abs(norm - 1.0) <= UNIT,
        overflow=named.overflow if named else Overflow.MEAN,
    )
    return OpenAIUpstream(space, server, Manner(named is not None, base64, found.model))


async def _agrees(server: Server, found: Embeddings, until: float) -> bool:
    """Tell whether the server gives the canary's vector as base64, too.

    Raises Malformed where that is another model's.
    """
    width = found.vectors.shape[1]
    try:
        answer = await server.post([CANARY], {"encoding_format": "base64"}, until, width)
        again = answers.embeddings(answer.content, 1, width)
    except (Malformed, InvalidRequest):
        return False
    _same(found.model, again.model)
    one, other = (each.vectors[0].astype(np.float64) for each in (found, again))
    return bool(one @ other >= SAME * np.linalg.norm(one) * np.linalg.norm(other) > 0.0)


def _same(before: str | None, now: str | None) -> str | None:
    """Give the model that answers, or raise Malformed where it is no longer the one it was.

    A gateway that falls back to another model would mix vectors that cannot be compared.
    """
    if before is not None and now != before:
        named = "no model" if now is None else f"the model {answers.short(now)!r}"
        raise Malformed(f"vectors of {named}, and before of {answers.short(before)!r}")
    return now


def _joined(parts: list[EmbedResult]) -> EmbedResult:
    if len(parts) == 1:
        return parts[0]
    return replace(
        parts[0],
        vectors=np.concatenate([part.vectors for part in parts]),
        tokens=np.concatenate([part.tokens for part in parts]),
        overflowed=tuple(index for part in parts for index in part.overflowed),
    )
