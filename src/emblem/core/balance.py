"""Balance: which of several deployments is sent the next request."""

from collections.abc import Sequence

from emblem.types import value


@value()
class Load:
    """What a deployment has in work, how much it may have, and its part of all work."""

    requests: int
    max_requests: int
    weight: float = 1.0


def least(loads: Sequence[Load], dice: float) -> int | None:
    """Give the place of the one with the fewest requests for its weight; None where all are full.

    Of those that have equally few each is chosen as often as its weight says: ``dice`` is 0…1,
    without 1.
    """
    open_ = [place for place, one in enumerate(loads) if one.requests < one.max_requests]
    if len(open_) < 2:  # as mostly
        return open_[0] if open_ else None
    fewest = min(loads[place].requests / loads[place].weight for place in open_)
    equal = [place for place in open_ if loads[place].requests / loads[place].weight == fewest]
    left = dice * sum(loads[place].weight for place in equal)
    for place in equal:
        left -= loads[place].weight
        if left < 0:
            return place
    return equal[-1]  # what rounding left over
