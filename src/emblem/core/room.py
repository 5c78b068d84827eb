"""Room: which models make room in memory for another, decided from what each takes."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Held:
    """What one loaded model takes. ``last_used`` is in seconds of any clock that all share."""

    bytes: int
    last_used: float
    busy: bool = False


def excess(resident: int | None, base: int | None, held: int) -> int:
    """Give the bytes that a process takes beyond its base and beyond what its models account for.

    ``base`` is what it took before any model was loaded, ``held`` what those that are loaded were
    predicted to take. 0 where the system does not say.
    """
    if resident is None or base is None:
        return 0
    return max(0, resident - base - held)


def to_close(
    held: Sequence[Held], needed: int, budget: int, beyond: int = 0
) -> tuple[int, ...] | None:
    """Give the places of those that are to be closed before so many more bytes are loaded.

    ``beyond`` is what is taken beyond the models (see ``excess``), and counts against the budget as
    they do. None where the busy ones are in the way. Those that were used least recently go first;
    then each that the others make unnecessary stays, the most recently used one before the rest.

    What fits into the budget by itself is never refused for what is taken beyond: where nobody is
    busy and all have to leave, it may be loaded then.
    """
    missing = sum(one.bytes for one in held) + needed + beyond - budget
    idle = [place for place, one in enumerate(held) if not one.busy]
    chosen: list[int] = []
    for place in sorted(idle, key=lambda place: held[place].last_used):
        if missing <= 0:
            break
        chosen.append(place)
        missing -= held[place].bytes
    if missing > 0:
        alone = needed <= budget and len(idle) == len(held)
        return tuple(chosen) if alone else None
    for place in reversed(chosen.copy()):
        if missing + held[place].bytes <= 0:
            chosen.remove(place)
            missing += held[place].bytes
    return tuple(chosen)
