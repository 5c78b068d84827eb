"""What a deployment is looked at for: each look asks it something, and says what came of that."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from emblem.cli import canaries
from emblem.cli.canaries import Check
from emblem.core.cosine import paired
from emblem.core.output import shortened
from emblem.errors import EmblemError, InvalidRequest, InvalidResult
from emblem.types import EmbedRequest, Kind, Lane

if TYPE_CHECKING:
    from emblem.ports import Embedder
    from emblem.types import Vectors

TEXTS = canaries.SHORT
SAME = 0.9999  # the least cosine of one text's vectors, asked for twice
DISTINCT = 0.99999  # the cosine from which on vectors of different texts are one vector
TIMED = 8  # requests that are timed
WORDS = (
    600,
    9_000,
)  # of the long text: beyond what most models read, and beyond what any here knows
SHORTER = 2  # the part of the numbers that is asked for, to see whether dimensions are honoured


@dataclass(frozen=True, slots=True, eq=False)
class Patient:
    """A deployment that answers.

    ``kind`` is what texts must be said to be for, None where nothing must. ``base64`` tells whether
    it gives the same numbers in that form, None where it is not asked for it. ``refuses_long`` tells
    that Emblem relies on its refusing texts that are too long; ``shortens`` that fewer dimensions
    are made here. ``longest`` is how many tokens it reads at once, None where that is not known.
    """

    embedder: Embedder
    kind: Kind | None = None
    base64: bool | None = None
    refuses_long: bool = False
    shortens: bool = False
    longest: int | None = None

    async def embed(self, texts: Sequence[str], dimensions: int | None = None) -> Vectors:
        """Give the vectors of texts: (n, width) float32. Raises what ``Embedder.embed`` raises."""
        request = EmbedRequest(
            tuple(texts), self.kind, dimensions, lane=Lane.BULK, reuse=False, keep=False
        )
        return (await self.embedder.embed(request)).vectors


Look = Callable[[Patient], Awaitable[Check]]


async def looked_at(patient: Patient) -> list[Check]:
    """Look at a deployment in every way; a look that fails is a check that failed."""
    found = []
    for name, look in LOOKS.items():
        try:
            found.append(await look(patient))
        except InvalidResult as error:
            found.append(Check(name, False, error.what))
        except EmblemError as error:
            found.append(Check(name, False, str(error)))
    return found


async def _count(patient: Patient) -> Check:
    vectors = await patient.embed(TEXTS)
    width = patient.embedder.space.width
    finite = canaries.finite(vectors, width)
    return replace(finite, name="count", said=f"{finite.said} for {len(TEXTS)} texts")


async def _norm(patient: Patient) -> Check:
    vectors = await patient.embed(TEXTS)
    return canaries.norm(vectors, patient.embedder.space.normalised)


async def _order(patient: Patient) -> Check:
    """Ask for texts in another order, and one alone: each must have the vector that it had."""
    forward = await patient.embed(TEXTS)
    backward = await patient.embed(TEXTS[::-1])
    last = await patient.embed(TEXTS[-1:])
    worst = float(paired(forward, backward[::-1]).min())
    alone = float(paired(forward[-1:], last).min())
    if min(worst, alone) < SAME:
        said = f"a text has another vector in another order (cosine {min(worst, alone):.4f})"
        return Check("order", False, said)
    if (twins := _twins(forward)) is not None:
        return Check("order", False, f"texts {twins[0] + 1} and {twins[1] + 1} have one vector")
    return Check("order", True, f"the same in another order and alone: {min(worst, alone):.7f}")


async def _twice(patient: Patient) -> Check:
    one, again = await patient.embed(TEXTS), await patient.embed(TEXTS)
    worst = float(paired(one, again).min())
    exact = bool((one == again).all())
    said = "the same bytes twice" if exact else f"the least cosine of two answers is {worst:.7f}"
    return Check("twice", worst >= SAME, said)


async def _base64(patient: Patient) -> Check:
    if patient.base64 is None:
        return Check("base64", None, "is not asked for; numbers are")
    said = {
        True: "asked for, and the numbers are the same",
        False: "not given, or of other numbers; numbers are asked for instead",
    }
    return Check("base64", True if patient.base64 else None, said[patient.base64])


async def _dimensions(patient: Patient) -> Check:
    """Ask for half of the numbers, and compare with the first half of all."""
    name, width = "dimensions", patient.embedder.space.width
    fewer = width // SHORTER
    if patient.shortens:
        return Check(name, True, "are made here of the whole vector")
    if not fewer:
        return Check(name, None, "there is one number only")
    try:
        given = await patient.embed(TEXTS[:2], fewer)
    except InvalidRequest as error:
        return Check(name, None, f"cannot be chosen: {error}")
    except InvalidResult as error:
        return Check(name, None, f"not honoured, so a request for fewer is an error: {error.what}")
    whole = await patient.embed(TEXTS[:2])
    unit = patient.embedder.space.normalised
    worst = float(paired(given, shortened(whole, fewer, normalised=unit)).min())
    what = "the first numbers" if worst >= SAME else "other numbers than the first"
    return Check(name, True, f"honoured: {fewer} of {width} are {what} (cosine {worst:.4f})")


async def _long(patient: Patient) -> Check:
    """Send two long texts that end differently: who cuts gives them one vector."""
    longest = patient.longest or 0
    count = next((one for one in WORDS if one > 1.2 * longest), int(1.2 * longest))
    stem = [f"word{number % 97}" for number in range(count)]
    pair = [" ".join([*stem, *end.split()]) for end in (canaries.SENTENCE, canaries.UNRELATED)]
    try:
        one, other = await patient.embed(pair)
    except InvalidRequest:
        return Check("long texts", True, f"a text of {count:,} words is refused")
    if float(paired(one[None], other[None])[0]) < 1.0 - 1e-9:
        return Check("long texts", True, f"a text of {count:,} words is read to its end")
    said = f"a text of {count:,} words is cut without a word"
    if patient.refuses_long:
        return Check("long texts", False, f"{said}, and it was asked to refuse it")
    return Check("long texts", None, f"{said}: its model needs max_length, so that Emblem cuts")


async def _sense(patient: Patient) -> Check:
    return canaries.sense(
        await patient.embed([canaries.SENTENCE, canaries.PARAPHRASE, canaries.UNRELATED])
    )


async def _latency(patient: Patient) -> Check:
    taken = []
    for number in range(TIMED):
        began = time.perf_counter()
        await patient.embed([f"{canaries.SENTENCE} {number}"])
        taken.append(1e3 * (time.perf_counter() - began))
    taken.sort()
    said = f"{taken[len(taken) // 2]:,.1f} ms for a short text, {taken[-1]:,.1f} ms at worst"
    return Check("latency", None, f"{said} of {TIMED}")


LOOKS: dict[str, Look] = {
    "count": _count,
    "length": _norm,
    "order": _order,
    "twice": _twice,
    "base64": _base64,
    "dimensions": _dimensions,
    "long texts": _long,
    "sense": _sense,
    "latency": _latency,
}


def _twins(vectors: Vectors) -> tuple[int, int] | None:
    """Find two different texts with the same vector."""
    unit = vectors.astype(np.float64)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    alike = np.triu(unit @ unit.T, 1)
    if alike.max() < DISTINCT:
        return None
    first, second = np.unravel_index(int(np.argmax(alike)), alike.shape)
    return int(first), int(second)
