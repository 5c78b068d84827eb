"""Patience: how often a request is sent, and how long it waits in between.

Pauses are drawn as "full jitter" from an exponential back-off, so that those who failed together do
not come back together: Marc Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Patience:
    """``attempts`` is how often a request is sent in all, to whichever deployment.

    The pause after the first round is up to ``first_s`` long and up to twice as long after each
    one more, on top of what a deployment asked for; it is never longer than ``longest_s``.
    """

    attempts: int = 4
    first_s: float = 0.25
    longest_s: float = 30.0

    def pause_s(self, rounds: int, ready_in_s: float, left_s: float, dice: float) -> float | None:
        """Give the seconds to wait after so many rounds, the first being 0.

        Nobody can be asked for ``ready_in_s``, and there is an answer only within ``left_s``: None
        where waiting is of no use. ``dice`` is 0…1.
        """
        longest = self.longest_s - ready_in_s
        if longest < 0:
            return None
        pause = ready_in_s + dice * min(longest, self.first_s * 2.0 ** min(rounds, 32))
        return pause if pause < left_s else None
