"""Admission: whether work is taken in, decided from what is queued already."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Load:
    """Predicted work: seconds on the device, and bytes held until it is done."""

    seconds: float = 0.0
    bytes: int = 0


def hopeless(asked: Load, seconds_left: float) -> bool:
    """Tell whether work would not be done in time even if nothing else waited.

    What is late already is not for this to judge.
    """
    return asked.seconds > seconds_left > 0


def learned(before: float, observed: float) -> float:
    """Give a model's speed, in seconds for a token, after one more observation.

    It counts for a tenth, and as ten times slower at most: one slow row, or one during which the
    whole machine stood still, must not look like a slow machine.
    """
    return before + 0.1 * (min(observed, 10 * before) - before)


def retry_after(
    queued: Load, asked: Load, *, max_seconds: float, max_bytes: int, elsewhere: int = 0
) -> float | None:
    """Seconds after which to come back, or None where the work is taken in.

    ``elsewhere`` are the bytes of queues that share this one's bound. An empty queue takes in
    anything that keeps the contract's own limits.
    """
    if queued.bytes == 0:
        return None
    held = queued.bytes + elsewhere + asked.bytes
    if queued.seconds + asked.seconds > max_seconds or held > max_bytes:
        return queued.seconds
    return None
