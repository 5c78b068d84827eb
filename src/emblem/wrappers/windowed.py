"""Windowed: no deployment is sent a text that is longer than it reads, so none can cut it unseen."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

import numpy as np

from emblem.core.check import refuse_wrong
from emblem.core.pieces import most_tokens, most_tokens_each
from emblem.core.plan import Charges, charges, problems, refuse_unread, slices
from emblem.core.tokenize import Reading, Text, TextTokenizer
from emblem.core.windows import Manner, Parts, Reader, parts, perhaps_long
from emblem.errors import ConfigError, DeploymentFailed, InvalidInput, InvalidRequest, TooManyTokens
from emblem.ports import Embedder
from emblem.types import EmbedRequest, EmbedResult, Overflow, Tokens
from emblem.wrappers.around import Around, Aside

NUMBERS_PER_CHARACTER = 200  # reading one takes as long as making so many numbers


class Windowed(Around):
    """Cuts texts that are too long for a deployment, as its tokenizer reads them, or refuses them.

    With the ``tokenizer`` of the deployment's model a long text is embedded in windows, cut or
    refused by the request's rule, as the engine does with a model that is here; tokens are counted
    as the engine counts them. ``manner`` says what the deployment does with texts by itself.

    Without a tokenizer nobody can tell how long a text is. One that may be too long by its bytes is
    refused, unless the deployment itself refuses such a text; what it cost is then what the
    deployment says, and ``count`` gives what it costs at most: up to four times as much for English.

    The deployment is never asked for a rule, and only for a kind that is not written into the text.
    It may be asked for more texts than there are inputs: where it takes only so many at once, wrap
    it in ``Pieced`` first. What it gives is checked before windows are joined, and after.
    Raises ConfigError where the deployment would cut in silence and nobody knows when.
    """

    def __init__(
        self, embedder: Embedder, manner: Manner, tokenizer: TextTokenizer | None = None
    ) -> None:
        super().__init__(embedder)
        if tokenizer is None and manner.length is None and not manner.refuses_long:
            raise ConfigError(
                f"{embedder.space.name}: nobody knows how long a text may be before it is cut there: "
                "set `max_length`, and better `tokenizer`, too"
            )
        self._manner = manner
        self._tokenizer = tokenizer
        self._aside = Aside()

    async def embed(self, request: EmbedRequest) -> EmbedResult:
        """Embed every text of the request; see ``ports.Embedder``."""
        if self._tokenizer is None:
            self._refuse_doubtful(request, {})
            return await self._embedder.embed(self._sent(request, request.inputs))
        readings = await self._readings(request, self._tokenizer, {})
        charged = charges(readings, self._tokenizer.frame, request, self._rule(request))
        cut = await self._cut(request, self._tokenizer, readings, charged)
        asked = self._sent(request, cut.sent)
        if not cut.whole:
            asked = replace(asked, dimensions=None)
        try:
            result = await self._embedder.embed(asked)
        except InvalidInput as error:
            raise InvalidInput(cut.blamed(error.problems)) from None
        return await self._joined(request, asked, cut, charged, result)

    async def count(self, request: EmbedRequest) -> tuple[EmbedRequest, Tokens]:
        """Say what every text will cost, or at most will where no tokenizer is known."""
        if self._tokenizer is None:
            self._refuse_doubtful(request, {})
            before = self._manner.prompts.of(request.kind)
            most = most_tokens(before) if before else 0
            each = most_tokens_each(request.inputs)
            return request, np.array([most + one for one in each], np.int32)
        readings = await self._readings(request, self._tokenizer, {})
        charged = charges(readings, self._tokenizer.frame, request, self._rule(request))
        return replace(request, readings=tuple(readings)), charged.tokens

    async def examine(self, request: EmbedRequest, wrong: Mapping[int, str]) -> None:
        """Name every input that cannot be embedded; see ``ports.Examining``."""
        if self._tokenizer is None:
            self._refuse_doubtful(request, wrong)
            if wrong:
                raise InvalidInput(sorted(wrong.items()))
            return
        readings = await self._readings(request, self._tokenizer, wrong)
        charges(readings, self._tokenizer.frame, request, self._rule(request))

    async def aclose(self) -> None:
        """Close the embedder, and the thread."""
        await super().aclose()
        self._aside.close()

    def _rule(self, request: EmbedRequest) -> Overflow:
        return request.overflow or self.space.overflow

    def _sent(
        self, request: EmbedRequest, inputs: tuple[str | tuple[int, ...], ...]
    ) -> EmbedRequest:
        """Give what the deployment is asked: what was decided here it is not told."""
        if not self._manner.takes_ids and not all(isinstance(one, str) for one in inputs):
            raise InvalidRequest(
                f"{self.space.name} is served elsewhere and takes texts, not arrays of token ids.",
                param="input",
            )
        if self._tokenizer is None and (before := self._manner.written(request.kind)):
            inputs = tuple([before + one for one in inputs if isinstance(one, str)])
        # Each request comes here, and dataclasses.replace takes half as long again.
        return EmbedRequest(
            inputs,
            self._manner.kind(request.kind),
            request.dimensions,
            lane=request.lane,
            deadline=request.deadline,
            fair_share=request.fair_share,
            reuse=request.reuse,
            keep=request.keep,
            lane_by_size=request.lane_by_size,
        )

    async def _cut(
        self,
        request: EmbedRequest,
        tokenizer: TextTokenizer,
        readings: list[Reading],
        charged: Charges,
    ) -> Parts:
        """Say what is sent for each input. Raises InvalidInput, or DeploymentFailed; see ``Manner``."""
        texts = [one for one in readings if isinstance(one, Text)]
        reader = Reader(tokenizer, self._manner, request.kind)
        made = partial(
            parts, request.inputs, texts, charged.overflowed, reader, self._rule(request)
        )
        long = sum(len(request.inputs[place]) for place in charged.overflowed)
        cut = await self._aside.do(made, 2 * NUMBERS_PER_CHARACTER * long)
        if isinstance(cut, dict) and self._manner.exact:
            raise DeploymentFailed(
                f"cannot be sent {len(cut)} of the texts as they are read here: they are long, and a "
                "window of them begins or ends inside of a word",
                unasked=True,
            )
        if isinstance(cut, dict):
            raise InvalidInput(sorted(cut.items()))
        return cut

    async def _joined(
        self,
        request: EmbedRequest,
        asked: EmbedRequest,
        cut: Parts,
        charged: Charges,
        result: EmbedResult,
    ) -> EmbedResult:
        """Give the result of the inputs, made of that of their parts."""
        vectors = result.vectors
        if not cut.whole:
            # What is wrong with one window does not show in the mean of several.
            refuse_wrong(asked, result, self.space)
            made = partial(
                cut.joined,
                vectors,
                charged,
                normalised=self.space.normalised,
                dimensions=request.dimensions,
            )
            vectors = await self._aside.do(made, 4 * vectors.size)
        joined = EmbedResult(
            vectors,
            charged.tokens,
            charged.overflowed,
            result.served_by,
            charged.uncut,
            result.hits,
        )
        if not cut.whole:
            refuse_wrong(request, joined, self.space)
        return joined

    async def _readings(
        self, request: EmbedRequest, tokenizer: TextTokenizer, wrong: Mapping[int, str]
    ) -> list[Reading]:
        """Read every input, unless ``count`` has, slice by slice.

        ``wrong`` has those that are not to be read, and why, which stands in their places.
        """
        counted = [one for one in request.readings if isinstance(one, Text)]
        if counted and len(counted) == len(request.inputs):
            return [*counted]
        unread = {**refuse_unread(request), **wrong}
        prompt = self._manner.prompts.of(request.kind)
        frame, most = tokenizer.frame, request.max_total_tokens
        readings: list[Reading] = []
        total = 0
        for some in slices(request.inputs, unread):
            reading = partial(tokenizer.readings, some, prompt, request.max_input_tokens)
            read = await self._aside.do(reading, NUMBERS_PER_CHARACTER * sum(map(len, some)))
            readings += read
            total += sum(frame.length(one) for one in read if not isinstance(one, str))
            if most is not None and total > most:
                found = {**dict(problems(readings, frame, request, self._rule(request))), **unread}
                if found:
                    raise InvalidInput(sorted(found.items()))
                counted_all = len(readings) == len(request.inputs)
                raise TooManyTokens(str(total) if counted_all else f"more than {total}", most)
        for place, why in unread.items():
            readings[place] = why
        return readings

    def _refuse_doubtful(self, request: EmbedRequest, wrong: Mapping[int, str]) -> None:
        """Refuse what may be cut unseen, or by another rule than was asked for."""
        found = refuse_unread(request)
        found.update(wrong)
        rule = request.overflow
        if not self._manner.refuses_long or rule in (Overflow.MEAN, Overflow.TRUNCATE):
            for place, most in perhaps_long(request.inputs, self._manner, request.kind):
                found.setdefault(place, self._doubtful(most))
        if found and found != dict(wrong):
            raise InvalidInput(sorted(found.items()))

    def _doubtful(self, most: int) -> str:
        return (
            f"may be too long: {self.space.name} reads {self._manner.length} tokens, and by its bytes "
            f"the text has up to {most}; nobody here knows its tokenizer, without which a text is "
            "neither measured nor cut. Shorten it; whoever runs this server can set `tokenizer` for "
            "the model"
        )
