"""Puts a model together that has deployments elsewhere: each of them checked, proven, and pooled."""

import asyncio
from collections.abc import Sequence
from math import inf

from emblem.config import Settings, environment
from emblem.core.pieces import Caps
from emblem.core.tokenize import TextTokenizer
from emblem.core.windows import Manner
from emblem.hosting import LOCAL, Deployment, Hosting
from emblem.offer import Prompts
from emblem.ports import Embedder, References
from emblem.providers import provider
from emblem.types import Kind
from emblem.upstreams.opening import open_upstream
from emblem.upstreams.provider import Provider
from emblem.wrappers.checked import Checked
from emblem.wrappers.estimated import Estimated
from emblem.wrappers.pieced import Pieced
from emblem.wrappers.pool import Member, Pool
from emblem.wrappers.proven import Demands, Proven
from emblem.wrappers.windowed import Windowed

# For so long a start waits for deployments elsewhere to be proven; the rest is proven meanwhile.
PATIENCE_S = 15.0


class Assembled:
    """A model, and the proofs of its deployments: those that are here, and those elsewhere."""

    def __init__(
        self, embedder: Embedder, here: Sequence[Proven], elsewhere: Sequence[Proven]
    ) -> None:
        self.embedder = embedder
        self._here = here
        self._elsewhere = elsewhere
        self._beginning: set[asyncio.Task[None]] = set()

    async def begin(self) -> None:
        """Prove the deployments: what is here first, or the first of them, for others are held to it."""
        first, *others = [*self._here, *self._elsewhere]
        for batch in ([first], others):
            begun = {asyncio.create_task(one.begin()) for one in batch}
            self._beginning |= begun
            if begun:
                await asyncio.wait(begun, timeout=PATIENCE_S)

    async def end(self) -> None:
        """Begin no more proofs. The embedder is closed by whoever has it."""
        for task in self._beginning:
            task.cancel()
        if self._beginning:
            await asyncio.wait(self._beginning)


def assemble(
    hosting: Hosting,
    local: Embedder | None,
    tokenizer: TextTokenizer | None,
    references: References,
    settings: Settings,
) -> Assembled:
    """Put a model together. ``local`` is the deployment that is here, if there is one.

    ``tokenizer`` is the model's own, None where nobody here knows it. Raises ConfigError.
    """
    offer = hosting.offer
    members: list[Member] = []
    providers: list[Provider] = []
    here: list[Proven] = []
    elsewhere: list[Proven] = []
    for one in hosting.deployments:
        whose = provider(one.upstream, settings, environment()) if one.upstream else None
        if whose is None:
            inner, kind = local, LOCAL
        else:
            inner, kind = _elsewhere(hosting, one, whose, tokenizer), whose.preset.name
            providers.append(whose)
        assert inner is not None  # noqa: S101 - whoever plans a local deployment opens it
        proof = Proven(inner, references, one.name, offer.space, _demands(hosting, one, settings))
        (elsewhere if whose else here).append(proof)
        rests = whose is not None
        members.append(Member(one.name, proof, one.weight, one.max_requests, kind, rests))
    pool = Pool(offer.space, members, model=offer.name)
    return Assembled(Pieced(pool, _caps(providers)), here, elsewhere)


def _elsewhere(
    hosting: Hosting, one: Deployment, whose: Provider, tokenizer: TextTokenizer | None
) -> Embedder:
    """Open one deployment of an upstream, which is sent nothing yet."""
    offer = hosting.offer
    upstream: Embedder = Checked(
        open_upstream(whose, one.model, offer.space, shortening=offer.shortening)
    )
    emblem = whose.preset.dialect == "emblem"
    if emblem or tokenizer is None:  # nobody here counts what it is sent
        upstream = Estimated(upstream)
    if emblem:
        return upstream
    told = bool(whose.preset.kinds)
    manner = Manner(
        offer.max_length,
        Prompts() if told else offer.prompts,
        writes_prompts=not told,
        refuses_long=whose.preset.refuses_long is not None,
        exact=hosting.local and tokenizer is not None,
    )
    # A text of several windows is several inputs there, more than the request had.
    return Windowed(Pieced(upstream, _caps([whose])), manner, tokenizer)


def _demands(hosting: Hosting, one: Deployment, settings: Settings) -> Demands:
    return Demands(
        settings.proof_cosine,
        # What is here is what others are held to: it need not be held to itself again and again.
        settings.proof_every_s if one.upstream else inf,
        founds=not hosting.local or not one.upstream,
        kinds=tuple(Kind) if hosting.offer.kinds else (),
    )


def _caps(providers: Sequence[Provider]) -> Caps:
    """Give the caps of whoever takes least at once: any piece may go to any of them."""
    presets = [one.preset for one in providers]
    return Caps(
        min(one.max_inputs for one in presets),
        _least([one.max_request_tokens for one in presets]),
        _least([one.max_request_bytes for one in presets]),
    )


def _least(caps: Sequence[int | None]) -> int | None:
    return min((one for one in caps if one is not None), default=None)
