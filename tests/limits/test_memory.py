"""What is counted in memory takes no more memory than the keys in use."""

from counting import DAY_MS, Clock, Counting, account, tokens
from emblem.limits.memory import SWEEP_FROM, MemoryLimiter


def test_what_is_as_if_untouched_is_forgotten() -> None:
    limiter = MemoryLimiter(clock := Clock())
    with Counting(limiter, clock) as counting:
        for number in range(3 * SWEEP_FROM):
            counting.charge(account(f"key_{number}", requests_per_minute=6))
            clock.ms += 100  # a request drains in ten seconds
        assert len(limiter) < SWEEP_FROM


def test_what_still_counts_is_kept_however_much_there_is() -> None:
    limiter = MemoryLimiter(clock := Clock())
    first = account("key_0", tokens_per_day=10)
    with Counting(limiter, clock) as counting:
        counting.charge(first, tokens(7))
        for number in range(1, 2 * SWEEP_FROM):
            counting.charge(account(f"key_{number}", tokens_per_day=10), tokens(1))
        assert len(limiter) == 2 * SWEEP_FROM
        assert counting.used(first) == [7]
        clock.ms += DAY_MS
        for number in range(2 * SWEEP_FROM):
            counting.charge(account(f"new_{number}", tokens_per_day=10), tokens(1))
        assert len(limiter) <= 4 * SWEEP_FROM
