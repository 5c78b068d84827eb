"""Which fault an answer has. Pure: the number of the request decides, and a seed where there are dice."""

import random
import re
from collections.abc import Callable, Sequence
from difflib import get_close_matches

from emblem.errors import InvalidRequest
from emblem.upstreams.misbehaving.faults import Fault

Script = Callable[[int], Fault]
"""Gives the fault of the n-th request for vectors, which counts from 0."""

_WORD = re.compile(r"([a-z0-9-]+?)(?:\*(\d{1,9}))?")


def always(fault: Fault) -> Script:
    """Answer every request alike."""
    return lambda _: fault


def in_turn(faults: Sequence[Fault], *, loop: bool = False) -> Script:
    """Take the faults in their order; afterwards answer rightly, or begin again."""

    def script(number: int) -> Fault:
        if loop and faults:
            return faults[number % len(faults)]
        return faults[number] if number < len(faults) else Fault.OK

    return script


def at_random(faults: Sequence[Fault], *, rate: float = 1.0, seed: int = 0) -> Script:
    """Answer rightly or, at a rate of 0…1, with any of the faults. The same seed gives the same."""

    def script(number: int) -> Fault:
        dice = random.Random(f"{seed}:{number}")  # noqa: S311 - dice, no secret
        return dice.choice(faults) if faults and dice.random() < rate else Fault.OK

    return script


def from_words(words: Sequence[str]) -> tuple[Fault, ...]:
    """Read names of faults, each with ``*N`` where it comes several times, such as ``ok*3``.

    Raises InvalidRequest, naming the word.
    """
    found: list[Fault] = []
    for word in words:
        match = _WORD.fullmatch(word.strip().lower())
        name = match[1] if match else word
        if match is None or name not in set(Fault):
            near = get_close_matches(name, list(Fault), n=3)
            hint = f"did you mean {' or '.join(near)}?" if near else "--list shows them all"
            raise InvalidRequest(f"there is no fault {word!r}; {hint}")
        found += [Fault(name)] * min(int(match[2] or 1), 100_000)
    return tuple(found)
