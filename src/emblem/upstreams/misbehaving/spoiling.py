"""What is wrong with the vectors of an answer: their number, their order, their numbers. Pure."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from emblem.types import Vectors
from emblem.upstreams.misbehaving.faults import Fault
from emblem.upstreams.misbehaving.truth import vector

CUT_WORDS = 16  # of a text that is cut without a word


@dataclass(frozen=True, slots=True, eq=False)
class Item:
    """One vector of an answer: (width,) float32."""

    index: int
    numbers: Vectors


def spoiled(fault: Fault, items: Sequence[Item], texts: Sequence[str], dice: int) -> list[Item]:
    """Give the items of an answer with a fault. ``dice`` seeds what is left to chance."""
    chance = random.Random(dice)  # noqa: S311 - dice, no secret
    at = chance.randrange(len(items))
    if (moved := _moved(fault, items, texts, at)) is not None:
        return moved
    every = fault in (Fault.WIDE, Fault.NARROW, Fault.SCALED)
    return [
        replace(one, numbers=_numbers(fault, one.numbers, chance))
        if every or one.index == at
        else one
        for one in items
    ]


def _moved(fault: Fault, items: Sequence[Item], texts: Sequence[str], at: int) -> list[Item] | None:
    """Give other items than those of the texts; None where the fault is in the numbers."""
    found, count, width = list(items), len(items), items[0].numbers.shape[0]
    match fault:
        case Fault.REORDER:
            found.reverse()
        case Fault.SWAP:
            found = [replace(one, numbers=items[one.index - 1].numbers) for one in items]
        case Fault.INDEX_ZERO:
            found = [replace(one, index=0) for one in items]
        case Fault.INDEX_FROM_ONE:
            found = [replace(one, index=one.index + 1) for one in items]
        case Fault.DROP:
            del found[at]
        case Fault.EMPTY:
            found = []
        case Fault.DUPLICATE:
            found.insert(at, items[at])
        case Fault.REPEAT:
            found = [replace(one, numbers=items[0].numbers) for one in items]
        case Fault.FUSE if count > 1:
            fused = Item(0, vector(" ".join(texts[:2]), width))
            found = [fused, *(replace(one, index=one.index - 1) for one in items[2:])]
        case Fault.EXTRA:
            found.append(Item(count, vector("nobody asked for this", width)))
        case Fault.OTHER_SPACE:
            found = [
                replace(one, numbers=vector(texts[one.index], width, "other")) for one in items
            ]
        case _:
            return None
    return found


def _numbers(fault: Fault, numbers: Vectors, chance: random.Random) -> Vectors:
    made = numbers.copy()
    at = chance.randrange(len(made))
    match fault:
        case Fault.NAN:
            made[at] = np.nan
        case Fault.INFINITY:
            made[at] = -np.inf if chance.random() < 0.5 else np.inf
        case Fault.ZEROS:
            made[:] = 0.0
        case Fault.WIDE:
            made = np.append(made, made[:1])
        case Fault.NARROW | Fault.RAGGED:
            made = made[: max(1, len(made) // 2)]
        case Fault.SCALED:
            made = made * np.float32(3)
        case _:
            pass
    return made
