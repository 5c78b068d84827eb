"""Texts that show whether a model is all right, and what its vectors must be like. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from emblem.core.cosine import paired
from emblem.types import Vectors

SENTENCE = "A cat is sleeping on the sofa in the living room."
PARAPHRASE = "In the living room a cat naps on the couch."
UNRELATED = "The central bank raised its interest rate by half a percentage point."

SHORT = (
    "yes",
    SENTENCE,
    PARAPHRASE,
    UNRELATED,
    "Der Vertrag läuft zum Ende des Quartals aus.",
    "Le train de nuit part à vingt-deux heures.",
    "La biblioteca cierra los domingos.",
    "Поезд прибывает на второй путь.",
    "المكتبة مفتوحة حتى الساعة الثامنة.",
    "पुस्तकालय रविवार को बंद रहता है।",
    "図書館は日曜日に休みます。",
    "图书馆星期日不开放。",
    "naïve café — ½ litre, 20 °C 🙂",
    "def add(a, b):\n\treturn a + b",
)
LONG = " ".join([SENTENCE, UNRELATED] * 12)

# A model that reads more at once is compared by shorter texts: attention costs the square of that.
_LONGEST = 10_000

# Over what float32 arithmetic in another order does, and far under what a mistake does.
SAME = 1e-5
UNIT = 1e-4
# The same weights through another library: well under one millionth of a turn as a rule.
AGREED = 0.9999
# The same eight bits, rounded the other way here and there: MiniLM's worst of 60 texts is 0.9996.
ROUNDED = 0.995


def overlong(max_length: int | None) -> tuple[str, ...]:
    """Give a text of more tokens than a model reads at once, which says another thing in the end.

    None where the model reads any length, or more than can be compared in good time.
    """
    if max_length is None or max_length > _LONGEST:
        return ()
    times = max_length // len(SENTENCE.split()) + 1  # a word is a token at least
    return (" ".join([SENTENCE] * times + [UNRELATED] * times),)


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at. ``ok`` is None for what could not be, and ``said`` is why."""

    name: str
    ok: bool | None
    said: str


def finite(vectors: Vectors, width: int) -> Check:
    """Look for values that are no numbers, for zeros, and at the width."""
    good = bool(np.isfinite(vectors).all()) and vectors.shape[1] == width
    zero = int((np.abs(vectors).max(1, initial=0.0) == 0).sum())
    said = f"{len(vectors)} vectors of {vectors.shape[1]} numbers"
    return Check("finite", good and not zero, f"{said}, {zero} of them zero" if zero else said)


def norm(vectors: Vectors, normalised: bool) -> Check:
    """Look at the lengths, where the model gives unit vectors."""
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1)
    if not normalised:
        return Check("length", None, f"no unit vectors: {lengths.min():.3g}…{lengths.max():.3g}")
    off = float(np.abs(lengths - 1).max())
    return Check("length", off <= UNIT, f"unit vectors to {off:.1e}")


def same(name: str, one: Vectors, other: Vectors, *, rounded: bool = False) -> Check:
    """Compare two computations of the same texts, number by number.

    Where activations are ``rounded``, a difference in the last digit can round one of them the
    other way, and with it what comes after: only the directions are compared.
    """
    if one.shape != other.shape:
        return Check(name, False, f"{one.shape} and {other.shape}")
    if rounded:
        worst = float(paired(one, other).min())
        return Check(name, worst >= ROUNDED, f"the smallest cosine is {worst:.5f}")
    off = float(np.abs(one.astype(np.float64) - other).max(initial=0.0))
    return Check(name, off <= SAME, f"the largest difference is {off:.1e}")


def sense(vectors: Vectors) -> Check:
    """See that a paraphrase is nearer than something else: (3, width) of the three sentences."""
    near, far = paired(vectors[[0, 0]], vectors[1:3]).tolist()
    said = f"a paraphrase is at {near:.3f}, an unrelated sentence at {far:.3f}"
    return Check("sense", near > far, said)


def prompted(plain: Vectors, of_kind: Sequence[Vectors]) -> Check:
    """See that a prompt changes the vector of a text, as it must."""
    moved = [float(np.abs(plain - one).max()) for one in of_kind]
    said = f"a prompt moves a text by {min(moved):.1e} at least"
    return Check("prompts", min(moved) > SAME, said)


def agreement(ours: Vectors, theirs: Vectors, exact: bool) -> Check:
    """Compare with another library's vectors of the same texts.

    Without ``exact``, for a quantised variant, the difference is said and not judged.
    """
    name = "sentence-transformers"
    if ours.shape != theirs.shape:
        return Check(name, False, f"it gives {theirs.shape[1]} numbers, not {ours.shape[1]}")
    worst = float(paired(ours, theirs).min())
    said = f"the smallest cosine of {len(ours)} texts is {worst:.7f}"
    return Check(name, worst >= AGREED if exact else None, said)
