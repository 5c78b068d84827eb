"""Room: which models make room in memory for another, decided from what each takes."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Held:
    """What one loaded model takes. ``last_used`` is in seconds of any clock that all share."""

    bytes: int
    last_used: float
    busy: bool = False


def to_close(held: Sequence[Held], needed: int, budget: int) -> tuple[int, ...] | None:
    """Give the places of those that are to be closed before so many more bytes are loaded.

    None where the busy ones are in the way. Those that were used least recently go first; then
    each that the others make unnecessary stays, the most recently used one before the rest.
    """
    missing = sum(one.bytes for one in held) + needed - budget
    idle = [place for place, one in enumerate(held) if not one.busy]
    chosen: list[int] = []
    for place in sorted(idle, key=lambda place: held[place].last_used):
        if missing <= 0:
            break
        chosen.append(place)
        missing -= held[place].bytes
    if missing > 0:
        return None
    for place in reversed(chosen.copy()):
        if missing + held[place].bytes <= 0:
            chosen.remove(place)
            missing += held[place].bytes
    return tuple(chosen)
