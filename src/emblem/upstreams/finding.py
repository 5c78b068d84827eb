"""What a server turns out to be when it embeds its first text: how wide, in which form, under what name."""

from dataclasses import dataclass, replace

import msgspec
import numpy as np

from emblem.core.cosine import paired
from emblem.errors import DeploymentFailed, InvalidRequest, InvalidResult
from emblem.types import Kind, Vectors
from emblem.upstreams import answers
from emblem.upstreams.answers import Embeddings, Malformed, Named
from emblem.upstreams.cohere import COHERE
from emblem.upstreams.dialects import Dialect, Wanted
from emblem.upstreams.openai import EMBLEM, OPENAI
from emblem.upstreams.presets import BASE64, FLOAT, Preset
from emblem.upstreams.refusals import TooLarge
from emblem.upstreams.sending import Answer
from emblem.upstreams.server import Posted, Posting

DIALECTS: dict[str, Dialect] = {"openai": OPENAI, "emblem": EMBLEM, "cohere": COHERE}

CANARY = "A short text that every model must embed before it is trusted."
SAME = 0.9999  # the least cosine of one text's vectors, sent as base64 and as numbers
STILL = 0.999  # and of those that a model gave under two names
UNIT = 1e-3  # how far from 1 the norm of a unit vector may be


@dataclass(frozen=True, slots=True)
class Spoken:
    """Of whom a model is asked for: its provider's name and preset, and the name that it has there."""

    provider: str
    preset: Preset
    model: str

    @property
    def dialect(self) -> Dialect:
        """How requests are written and answers read."""
        return DIALECTS[self.preset.dialect]


@dataclass(frozen=True, slots=True, eq=False)
class Probed:
    """What was found out with a first text.

    ``width`` is how many numbers it gave, having been asked for ``dimensions`` of them, None where
    it was not. ``model`` is what it calls the model, ``named`` the space that another Emblem names.
    ``base64`` tells that it gives the same numbers in that form; ``vector`` is (1, width) float32.
    """

    width: int
    normalised: bool
    model: str | None
    named: Named | None
    base64: bool
    dimensions: int | None
    vector: Vectors

    @property
    def encoding(self) -> str:
        """The cheapest form that it truly gives."""
        return BASE64 if self.base64 else FLOAT


async def find_out(server: Posting, spoken: Spoken, until: float, width: int | None) -> Probed:
    """Embed a text, as numbers and as base64, which must agree or numbers are asked for from then on.

    ``width`` is how many numbers are due, None where that is to be found out; where the model gives
    more, and has a field for it, so many are asked for. Raises what ``Posting.post`` raises.
    """
    wanted = Wanted(
        spoken.model, (CANARY,), kind=Kind.DOCUMENT if spoken.preset.needs_kind else None
    )
    try:
        found, answer = await _ask(server, spoken, wanted, until, None)
        if _wider(found, width) and spoken.preset.dimensions_field is not None:
            wanted = replace(wanted, dimensions=width)
            found, answer = await _ask(server, spoken, wanted, until, None)
        named = _measured(found, answer, width)
        base64 = BASE64 in spoken.preset.encodings
        base64 = base64 and await _agrees(server, spoken, wanted, until, found)
    except Malformed as error:
        raise InvalidResult(spoken.provider, str(error)) from None
    except TooLarge as error:
        raise DeploymentFailed(f"{spoken.provider} refused a short text: {error.said}") from None
    norm = float(np.linalg.norm(found.vectors.astype(np.float64)))
    unit = abs(norm - 1.0) <= UNIT
    given = found.vectors.shape[1]
    return Probed(given, unit, found.model, named, base64, wanted.dimensions, found.vectors)


def _measured(found: Embeddings, answer: Answer, width: int | None) -> Named | None:
    """Give the space that is named. Raises Malformed where its width, or the one due, is another."""
    given = found.vectors.shape[1]
    if width is not None and given != width:
        raise Malformed(f"{given} numbers in a vector where {width} were due")
    named = answers.space(answer.headers)
    if named is not None and named.width != given:
        raise Malformed(f"{given} numbers for the space {named}")
    return named


def _wider(found: Embeddings, width: int | None) -> bool:
    return width is not None and found.vectors.shape[1] > width


async def _ask(
    server: Posting, spoken: Spoken, wanted: Wanted, until: float, width: int | None
) -> tuple[Embeddings, Answer]:
    content = msgspec.json.encode(spoken.dialect.encode(spoken.preset, wanted))
    # What somebody remembered does not tell what the server is now.
    answer = await server.post(Posted(content, 1, until, width, "no-cache"))
    return spoken.dialect.decode(answer.content, 1, width), answer


async def _agrees(
    server: Posting, spoken: Spoken, wanted: Wanted, until: float, found: Embeddings
) -> bool:
    """Tell whether the server gives the canary's vector as base64, too.

    Raises Malformed where that is another model's.
    """
    width = found.vectors.shape[1]
    try:
        again, _ = await _ask(server, spoken, replace(wanted, encoding=BASE64), until, width)
    except (Malformed, InvalidRequest):
        return False
    if found.model is not None and again.model != found.model:
        raise Malformed(answers.other_model(again.model, found.model))
    one, other = (
        float(np.linalg.norm(each.vectors.astype(np.float64))) for each in (found, again)
    )  # which hold any number that four bytes can be
    alike = abs(one - other) <= UNIT * max(one, other)
    return alike and bool(paired(found.vectors, again.vectors)[0] >= SAME)
