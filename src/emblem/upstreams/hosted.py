"""HostedUpstream: an Embedder over a model of somebody else's server, in one deployment.

What a server gives is not taken on trust: vectors are put in the order of the texts, counted and
measured; a server that names its space, or the model, must go on naming the same one.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from functools import partial
from math import inf, isinf

import msgspec
import numpy as np
import orjson

from emblem.core.cosine import paired
from emblem.core.output import shortened
from emblem.errors import DeadlineExceeded, InvalidInput, InvalidResult
from emblem.space import Space
from emblem.types import EmbedRequest, EmbedResult, Overflow, value
from emblem.upstreams import answers
from emblem.upstreams.answers import Embeddings, Malformed, Named
from emblem.upstreams.asking import Hosted, caching_of, inputs_for, wanted_of
from emblem.upstreams.dialects import Input, Wanted
from emblem.upstreams.finding import STILL, Probed, find_out
from emblem.upstreams.refusals import TooLarge
from emblem.upstreams.sending import Answer
from emblem.upstreams.server import Posted, Posting

ASIDE_BYTES = 1 << 20  # a longer answer is read in a thread: it takes more than a few milliseconds


@value()
class Part:
    """Some of a request's texts, from ``start`` on, to be there by ``until``.

    ``named`` is the space that the server named when it was met, ``width`` the numbers that are due;
    ``caching`` is said of remembering it.
    """

    wanted: Wanted
    start: int
    until: float
    width: int
    named: Named | None
    caching: str = ""

    def texts(self, start: int, end: int) -> "Part":
        """Give a part of the part."""
        inputs = self.wanted.inputs[start:end]
        return replace(self, wanted=replace(self.wanted, inputs=inputs), start=self.start + start)


class HostedUpstream:
    """Embeds texts with a model of somebody else's server.

    The space is declared: what the server says and gives must not contradict it. What it turns out
    to be is found out with the first request, unless ``found`` says so. Requests beyond the
    provider's cap of texts are sent in parts, one after the other. The numbers themselves are not
    looked at: wrap it in Checked.
    """

    def __init__(self, hosted: Hosted, server: Posting, found: Probed | None = None) -> None:
        self._hosted = hosted
        self._server = server
        self._name = hosted.spoken.provider
        self._found = found
        self._first = found.vector if found else None
        self._models = {found.model} if found and found.model else set[str]()
        self._finding: asyncio.Task[Probed] | None = None
        self._aside: ThreadPoolExecutor | None = None

    @property
    def space(self) -> Space:
        """The declared space."""
        return self._hosted.space

    @property
    def hosted(self) -> Hosted:
        """What is asked of whom."""
        return self._hosted

    @property
    def found(self) -> Probed | None:
        """What the server turned out to be; None before it was first asked."""
        return self._found

    def problem(self) -> str | None:
        """Say whether it is closed; whether the server answers is not known before it is asked."""
        return "is closed" if self._server.closed else None

    async def aclose(self) -> None:
        """Close the connections. What is in progress fails."""
        await self._server.aclose()
        if self._finding is not None:
            await asyncio.wait({self._finding})
        if self._aside is not None:
            self._aside.shutdown(wait=False)

    async def embed(self, request: EmbedRequest) -> EmbedResult:
        """Embed every text of the request; see ``ports.Embedder``.

        The tokens of one text are an estimate: servers count those of a request together.
        """
        inputs = inputs_for(request, self._hosted)
        until = self._server.until(request.deadline)
        found = self._found or await self._met(until)
        wanted = wanted_of(request, inputs, self._hosted, found)
        width = self.space.width if wanted.dimensions is None else wanted.dimensions
        whole = Part(wanted, 0, until, width, found.named, caching_of(request))
        most = self._hosted.spoken.preset.max_inputs
        if len(inputs) <= most:
            result = await self._part(whole)
        else:
            starts = range(0, len(inputs), most)
            result = _joined([await self._part(whole.texts(at, at + most)) for at in starts])
        kept = request.dimensions or self.space.width
        if kept == width:
            return result
        short = shortened(result.vectors, kept, normalised=self.space.normalised)
        return replace(result, vectors=short)

    async def _met(self, until: float) -> Probed:
        """Wait until it is known what the server is; whoever waits shares the asking with all."""
        left = self._server.left_s(until)
        if left <= 0:
            raise DeadlineExceeded(f"{self._name} did not answer in time")
        if self._finding is None:
            self._finding = asyncio.create_task(self._find_out())
            self._finding.add_done_callback(self._after_finding)
        finding = self._finding
        try:
            async with asyncio.timeout(None if isinf(left) else left):
                return await asyncio.shield(finding)
        except TimeoutError:
            raise DeadlineExceeded(f"{self._name} did not answer in time") from None

    async def _find_out(self) -> Probed:
        until = self._server.until(inf)
        found = await find_out(self._server, self._hosted.spoken, until, self.space.width)
        if what := self._contradiction(found):
            raise InvalidResult(self._name, what)
        if self._first is None:
            self._first = found.vector
        if found.model is not None:
            self._models.add(found.model)
        self._found = found
        return found

    def _after_finding(self, done: asyncio.Task[Probed]) -> None:
        """Let the next request ask anew where this failed; nobody may be left to hear why."""
        self._finding = None
        if not done.cancelled():
            done.exception()

    def _contradiction(self, found: Probed) -> str | None:
        """Say how what was found out is not what is declared, or was found out before."""
        named, digest = found.named, self.space.digest
        if named is not None and digest and named.name.rpartition("@")[2] != digest:
            return f"vectors of the space {named}; those of {self.space} were due"
        if self.space.normalised and not found.normalised:
            norm = float(np.linalg.norm(found.vector.astype(np.float64)))
            return f"a vector with norm {norm:.4f}, not 1"
        if self._first is not None and (now := paired(self._first, found.vector)[0]) < STILL:
            return f"a vector with cosine {now:.4f} to the one that it gave to that text before"
        return None

    async def _part(self, part: Part) -> EmbedResult:
        """Embed some of the texts, in smaller parts where the server finds them too many."""
        start, texts = part.start, len(part.wanted.inputs)
        posted = Posted(self._written(part), texts, part.until, part.width, part.caching)
        try:
            answer = await self._server.post(posted)
        except InvalidInput as error:
            raise InvalidInput([(start + at, why) for at, why in error.problems]) from None
        except TooLarge as error:
            if texts == 1:
                raise InvalidInput([(start, f"is refused: {error.said}")]) from None
        else:
            return await self._result(part, answer)
        half = texts // 2
        first = await self._part(part.texts(0, half))
        return _joined([first, await self._part(part.texts(half, texts))])

    def _written(self, part: Part) -> bytes:
        spoken = self._hosted.spoken
        fields = spoken.dialect.encode(spoken.preset, part.wanted)
        with suppress(TypeError):  # half of a surrogate pair, or what msgspec alone can write
            return orjson.dumps(fields)  # in a tenth of the time
        try:
            return msgspec.json.encode(fields)
        except UnicodeEncodeError:
            raise InvalidInput(
                [
                    (part.start + index, "has half of a surrogate pair")
                    for index, one in enumerate(part.wanted.inputs)
                    if not _is_unicode(one)
                ]
            ) from None

    async def _result(self, part: Part, answer: Answer) -> EmbedResult:
        texts, content = len(part.wanted.inputs), answer.content
        decode = self._hosted.spoken.dialect.decode
        try:
            if len(content) <= ASIDE_BYTES:
                decoded = decode(content, texts, part.width)
            else:
                decoded = await self._beside(partial(decode, content, texts, part.width))
            if part.named is not None:
                _check_space(part, part.named, answers.space(answer.headers))
            self._check_model(decoded.model)
        except Malformed as error:
            raise InvalidResult(self._name, str(error)) from None
        long = answers.overflowed(answer.headers, texts)
        if part.start:
            long = tuple(part.start + at for at in long)
        tokens = answers.spread(decoded.tokens, part.wanted.inputs)
        return EmbedResult(decoded.vectors, tokens, long, self._name)

    async def _beside(self, work: Callable[[], Embeddings]) -> Embeddings:
        if self._aside is None:
            self._aside = ThreadPoolExecutor(1, "emblem-reading")
        return await asyncio.wrap_future(self._aside.submit(work))

    def _check_model(self, model: str | None) -> None:
        """Raise Malformed for a name that no text was compared under.

        The next request then looks whether the model behind it is the same.
        """
        if model in self._models:
            return
        if not self._models:
            self._models |= {model} if model else set()
            return
        self._found = None
        raise Malformed(answers.other_model(model, min(self._models)))


def _check_space(part: Part, due: Named, named: Named | None) -> None:
    """Raise Malformed where the server names another space than it did at first."""
    if named is None:
        raise Malformed("vectors without the name of their space, which it gave before")
    rule = part.wanted.overflow or due.overflow
    if (named.name, named.width) != (due.name, part.width) or named.overflow not in (
        rule,
        Overflow.MEAN,
    ):
        raise Malformed(
            f"vectors of the space {named}; those of {Named(due.name, part.width, rule)} were due"
        )


def _is_unicode(one: Input) -> bool:
    try:
        if isinstance(one, str):
            one.encode()
    except UnicodeEncodeError:
        return False
    return True


def _joined(parts: list[EmbedResult]) -> EmbedResult:
    if len(parts) == 1:
        return parts[0]
    return replace(
        parts[0],
        vectors=np.concatenate([part.vectors for part in parts]),
        tokens=np.concatenate([part.tokens for part in parts]),
        overflowed=tuple(index for part in parts for index in part.overflowed),
    )
