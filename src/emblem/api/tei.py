"""The addresses of Text Embeddings Inference, so that leaving it is changing a URL.

The same models, keys, limits and checks as everywhere; only the bodies and the errors are TEI's.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from starlette.types import Receive, Scope, Send

from emblem.accounts import Caller, Observed
from emblem.allowed import find
from emblem.api.body import BodyReader
from emblem.api.embeddings import answer_headers, respond, unless_gone
from emblem.api.passed import Advance
from emblem.api.problems import Detail, Problem, invalid
from emblem.api.tags import tags
from emblem.api.tei_wire import (
    TeiRequest,
    as_tei,
    encode,
    encode_tokens,
    info,
    kind_of_prompt,
    normalised,
    read,
    too_long,
)
from emblem.charging import Charging
from emblem.errors import InvalidInput, InvalidRequest, TooManyTokens, UnknownModel
from emblem.models.tokens import Tokens
from emblem.names import Options, Served
from emblem.service import Answer, Call, Service
from emblem.types import OutputType, Overflow

EMBED = ("/", "/embed", "/{model:path}/embed")  # the first is what huggingface_hub asks
TOKENIZE = ("/tokenize", "/{model:path}/tokenize")
INFO = ("/info", "/{model:path}/info")
ABSENT = ("/embed_all", "/embed_sparse", "/predict", "/similarity", "/decode", "/vertex")

MAX_TOKENISED = 1 << 20  # characters

Handled = Callable[[Scope, Receive, Send], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Tei:
    """Answers as TEI does. ``default`` is the name of the model where an address names none."""

    service: Service
    bodies: BodyReader
    charging: Charging
    tokens: Tokens
    default: str
    max_requests: int

    async def embed(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with vectors. Raises Problem, EmblemError, ClientGone."""
        caller, seen = _who(scope)
        async with self.bodies.read(scope["headers"], receive) as content:
            try:
                seen.tags = tags(scope["headers"])
                asked = read(content, self.service.limits)
                name, served = self._named(scope, caller)
                call = Call(name, asked.inputs, _options(asked, served))
            except (Problem, InvalidRequest, UnknownModel):
                await self.service.count_wrong(caller, seen)
                raise
            seen.inputs = len(asked.inputs)
            try:
                work = self.service.embed(call, caller, seen)
                answer = await unless_gone(work, scope, receive)
            except InvalidInput as error:
                raise too_long(error) from None
            except TooManyTokens as error:
                raise Problem(413, Detail(str(error), param="inputs")) from None
        if asked.normalize:
            answer = _normalised(answer, served)
        await _give(answer, send)

    async def tokenize(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with the tokens of each text. Raises Problem, EmblemError, ClientGone."""
        caller, seen = _who(scope)
        advance = Advance(self.charging, caller, seen)
        async with self.bodies.read(scope["headers"], receive) as content:
            try:
                asked = read(content, self.service.limits)
                _, served = self._named(scope, caller)
                kind = kind_of_prompt(asked.prompt_name, served.model)
                _refuse_book(asked)
                if served.model.name not in self.tokens:
                    raise invalid(f"The tokenizer of `{served.model.name}` is not here.")
            except (Problem, InvalidRequest, UnknownModel):
                await advance.count_wrong()
                raise
            await advance.pay(0)
            found = await unless_gone(
                asyncio.to_thread(
                    self.tokens.read,
                    served.model.name,
                    asked.inputs,
                    prompt=served.model.prompts.of(kind),
                    special=asked.special,
                ),
                scope,
                receive,
            )
        await respond(send, 200, encode_tokens(found))

    async def info(self, scope: Scope, _receive: Receive, send: Send) -> None:
        """Describe a model."""
        caller, _ = _who(scope)
        _, served = self._named(scope, caller)
        body = info(served.name, served.model, self.service.limits, self.max_requests)
        await respond(send, 200, body)

    async def absent(self, scope: Scope, _receive: Receive, _send: Send) -> None:
        """Say that something of TEI is not here."""
        path = scope["path"]
        raise Problem(
            404, Detail(f"Emblem has no {path}: see /embed, /tokenize, /info and /rerank.")
        )

    def _named(self, scope: Scope, caller: Caller) -> tuple[str, Served]:
        """Find the model that the address names, or the one that is meant without a name."""
        names = self.service.names
        name: str = scope.get("path_params", {}).get("model", "")
        if not name:
            models = {one.model.name for one in names}
            alone = len(models) == 1 and self.default not in {one.name for one in names}
            name = models.pop() if alone else self.default
        try:
            return name, find(names, name, caller)
        except UnknownModel:
            if scope["path_params"]:
                raise
        raise invalid("This address names no model, and none is meant: ask /MODEL/embed.")


class InItsShape:
    """An ASGI application whose errors are answered as TEI writes them."""

    def __init__(self, handle: Handled) -> None:
        self._handle = handle

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        scope["emblem.shape"] = as_tei
        await self._handle(scope, receive, send)


def _refuse_book(asked: TeiRequest) -> None:
    """Refuse to show more tokens than anybody looks at: each takes far more memory than its text."""
    if (characters := sum(map(len, asked.inputs))) > MAX_TOKENISED:
        message = f"`inputs` have {characters} characters and may have at most {MAX_TOKENISED} here"
        raise Problem(413, Detail(message, param="inputs"))


def _who(scope: Scope) -> tuple[Caller, Observed]:
    return scope["state"]["caller"], scope["state"]["seen"]


def _options(asked: TeiRequest, served: Served) -> Options:
    """Give what is asked for. What a model cannot give is refused: raises Problem."""
    if not asked.normalize and served.model.space.normalised:
        raise invalid(
            f"'$.normalize' is invalid: `{served.model.name}` gives unit vectors, and has no others. "
            "Leave normalize out.",
            "normalize",
        )
    overflow = Overflow.TRUNCATE if asked.truncate else Overflow.ERROR
    if asked.truncate is None and served.fixed.overflow is not None:
        overflow = served.fixed.overflow
    kind = kind_of_prompt(asked.prompt_name, served.model)
    return Options(dimensions=asked.dimensions, kind=kind, overflow=overflow)


def _normalised(answer: Answer, served: Served) -> Answer:
    """Give unit vectors, which the answer says then, where the model gives others."""
    output = served.fixed.output or OutputType.FLOAT
    if served.model.space.normalised or output is not OutputType.FLOAT:
        return answer
    return replace(answer, vectors=normalised(answer.vectors), space=f"{answer.space}+normalised")


async def _give(answer: Answer, send: Send) -> None:
    parts = []
    for part in encode(answer.vectors):
        parts.append(part)
        await asyncio.sleep(0)
    await respond(send, 200, b"".join(parts), answer_headers(answer))
