"""What cosines of stored vectors with new ones say: by length of text, and why they are low. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from emblem.core.output import cast, shortened
from emblem.types import Kind, OutputType, Overflow, Tokens, Vectors

Numbers = np.ndarray[Any, np.dtype[np.float64]]

LENGTHS = (16, 64, 256, 1024)  # tokens up to which texts are told of together
HUGE = 1e100  # a number of a vector that cannot be meant: its square is beyond all numbers
UNIT = 1e-2  # how far from 1 the norm of a stored unit vector may be
MOVED = (
    0.5  # the share of vectors that are another row's, from which on the rows are said to be moved
)

# What people put before texts for models that want it, whether or not theirs does.
PREFIXES = ("query: ", "passage: ", "search_query: ", "search_document: ")


@dataclass(frozen=True, slots=True)
class Way:
    """One way in which texts may have been embedded. None and "" are the model's own."""

    kind: Kind | None = None
    overflow: Overflow | None = None
    prefix: str = ""
    flat: bool = False

    @property
    def cause(self) -> str:
        """What differs from the way before it."""
        if self.prefix or self.kind is not None:
            return "prompt"
        return "overflow" if self.overflow is not None else "line breaks"

    def text(self, text: str) -> str:
        """Give a text as it is sent."""
        return self.prefix + (text.replace("\n", " ") if self.flat else text)

    def __str__(self) -> str:
        """Say it in words."""
        said = [
            f"with the prompt for a {self.kind}" if self.kind else "",
            f"with {self.prefix!r} before it" if self.prefix else "",
            f"with the rule {self.overflow} for long texts" if self.overflow else "",
            "with line breaks made spaces" if self.flat else "",
        ]
        return " and ".join(one for one in said if one) or "as it is"


@dataclass(frozen=True, slots=True)
class Band:
    """Cosines of texts of similar length. ``texts`` of ``tokens``, such as ``17-64``.

    ``alike`` is the share of cosines from the least one that is asked for on.
    """

    tokens: str
    texts: int
    least: float
    tenth: float
    median: float
    alike: float


@dataclass(frozen=True, slots=True)
class Finding:
    """What explains a mismatch, or is to be known of the vectors; ``whole`` where it explains all."""

    cause: str
    said: str
    whole: bool


def compared(stored: Numbers, ours: Vectors, *, normalised: bool) -> Numbers | None:
    """Give the cosine of each stored vector with ours of the same text: (n,) float64.

    Ours are shortened to the stored width and rounded as the stored ones are. None where the stored
    ones are wider, so that nothing can be compared. A vector of zeros, or with what is no number,
    is like nothing: 0.
    """
    width = stored.shape[1]
    if width > ours.shape[1]:
        return None
    mine = shortened(ours, width, normalised=normalised)
    other = _sound(stored)
    if number_type(stored) is not None:
        other = other - 128 if number_type(stored) is OutputType.UINT8 else other
        own = cast(mine, OutputType.INT8).astype(np.float64)
    else:
        own = mine.astype(np.float64)
    norms = np.linalg.norm(other, axis=1) * np.linalg.norm(own, axis=1)
    dots = np.einsum("nd,nd->n", other, own)
    cosines: Numbers = np.divide(dots, norms, out=np.zeros(len(dots)), where=norms > 0)
    return cosines


def _sound(stored: Numbers) -> Numbers:
    """Give vectors with zeros in place of those that hold what is no number.

    Without that one number their cosine would be high.
    """
    found: Numbers = np.where(_sound_rows(stored)[:, None], stored, 0.0)
    return found


def _sound_rows(stored: Numbers) -> np.ndarray[Any, np.dtype[np.bool_]]:
    return np.asarray((np.abs(stored) < HUGE).all(axis=1), np.bool_)


def number_type(stored: Numbers) -> OutputType | None:
    """Say whether vectors were rounded to whole numbers of eight bits; None where they were not."""
    if not np.isfinite(stored).all() or not (stored == np.rint(stored)).all():
        return None
    if stored.min() < 0:
        return OutputType.INT8 if stored.min() >= -128 and stored.max() <= 127 else None
    return OutputType.UINT8 if 2 <= stored.max() <= 255 else None


def bands(cosines: Numbers, tokens: Tokens, longest: int | None, least: float) -> tuple[Band, ...]:
    """Tell of cosines by the length of their texts; what a model reads at once is a bound of its own."""
    edges = sorted({*LENGTHS, longest or LENGTHS[-1]})
    found = []
    for low, high in zip([0, *edges], [*edges, None], strict=True):
        chosen = (tokens > low) & (tokens <= (high or tokens.max(initial=0)))
        if chosen.any():
            name = f"{low + 1}-{high}" if high else f"{low + 1}+"
            found.append(band(name, cosines[chosen], least))
    return tuple(found)


def band(name: str, cosines: Numbers, least: float) -> Band:
    """Tell of some cosines."""
    lowest, tenth, median = (round(float(one), 6) for one in np.quantile(cosines, [0, 0.1, 0.5]))
    alike = round(float((cosines >= least).mean()), 4)
    return Band(name, len(cosines), lowest, tenth, median, alike)


def notes(stored: Numbers, width: int, *, normalised: bool) -> list[Finding]:
    """Say what stored vectors show without any text: width, numbers, norms."""
    found = []
    own = stored.shape[1]
    if own > width:
        found.append(
            Finding("width", f"the stored vectors have {own} numbers, the model's {width}", True)
        )
    elif own < width:
        said = f"the stored vectors have {own} numbers, so the model's {width} were shortened"
        found.append(Finding("width", said, False))
    broken = int((~_sound_rows(stored)).sum())
    zeros = int((stored == 0).all(axis=1).sum())
    if broken or zeros:
        said = f"{zeros} stored vectors are zeros, and {broken} hold what is no number"
        found.append(Finding("numbers", said, False))
    rounded = number_type(stored)
    if rounded is not None:
        said = f"the stored vectors are whole numbers, so the model's were rounded to {rounded}"
        return [*found, Finding("numbers", said, False)]
    norms = np.linalg.norm(_sound(stored), axis=1)
    norms = norms[norms > 0]
    if not len(norms):
        return found
    unit = bool(np.abs(norms - 1).max() <= UNIT)
    if unit != normalised:
        between = f"between {norms.min():.4g} and {norms.max():.4g}"
        said = (
            f"the stored vectors have norms {between}, the model's have 1: dot products differ, "
            "cosines do not"
            if normalised
            else "the stored vectors have norm 1, the model's have not: dot products differ, "
            "cosines do not"
        )
        found.append(Finding("normalisation", said, False))
    return found


def misfits(count: int, *, whole: bool) -> Finding:
    """Say how many rows have vectors of another width than most, which cannot be the model's, too."""
    said = f"{count} rows that were left out have vectors of another width than most"
    return Finding("width", said, whole)


def moved(stored: Numbers, ours: Vectors, least: float, *, normalised: bool) -> Finding | None:
    """Say whether vectors belong to other rows' texts, as far as those were drawn, too."""
    if stored.shape[1] > ours.shape[1] or len(stored) < 3:
        return None
    mine = shortened(ours, stored.shape[1], normalised=normalised).astype(np.float64)
    one = _sound(stored)
    one = one / np.maximum(np.linalg.norm(one, axis=1, keepdims=True), 1e-30)
    mine /= np.maximum(np.linalg.norm(mine, axis=1, keepdims=True), 1e-30)
    cosines = one @ mine.T
    own = np.diag(cosines)
    elsewhere = (cosines.max(axis=1) >= least) & (own < least)
    share = float(elsewhere.mean())
    if share < MOVED and int(elsewhere.sum()) < 3:
        return None
    said = f"{int(elsewhere.sum())} of {len(stored)} vectors are those of other rows' texts"
    return Finding("rows", f"{said}: the rows were moved against their vectors", share >= MOVED)


def ways(
    base: Way, *, prompts: Sequence[Kind], rules: Sequence[Overflow], longest: bool, breaks: bool
) -> list[Way]:
    """List the other ways to try, the likeliest first.

    ``prompts`` are the kinds that the model has prompts for, ``rules`` what it can do with long
    texts, which matters where there are such; ``breaks`` tells of line breaks.
    """
    kinds: list[Kind | None] = [None, *prompts]
    overflows = [one for one in rules if one != base.overflow] if longest else []
    found = [Way(kind, base.overflow) for kind in kinds]
    found += [Way(base.kind, rule) for rule in overflows]
    if breaks:
        found += [Way(kind, base.overflow, flat=True) for kind in kinds]
    found += [Way(kind, rule) for kind in kinds for rule in overflows]
    found += [Way(None, base.overflow, prefix) for prefix in PREFIXES]
    return [one for at, one in enumerate(found) if one != base and one not in found[:at]]
