"""Fifty keys, random traffic, real clocks: never more than the limits passes."""

import asyncio
import json
import subprocess
import sys
from collections import defaultdict

import pytest

import limited_traffic
from emblem.accounts import Quota
from emblem.core.limits import MINUTE_MS
from emblem.limits.memory import MemoryLimiter
from limited_traffic import Passed, accounts, drive
from redis_server import RedisServer

PROCESSES = 2
REQUESTS = 4000  # of each process; about twice what fifty bursts allow


def check(passed: list[Passed]) -> None:
    """Every limit of every key and team, in every interval between two of its charges."""
    quotas: dict[str, Quota] = {}
    for one in accounts():
        quotas[one.key] = one.quota
        if one.team is not None:
            quotas[one.team] = one.team_quota
    charges: dict[str, list[tuple[int, int, int]]] = defaultdict(list)
    for key, team, requests, tokens, at_ms in passed:
        for owner in filter(None, (key, team)):
            charges[owner].append((at_ms, requests, tokens))
    for owner, quota in quotas.items():
        mine = sorted(charges[owner])
        within(quota.requests_per_minute, [(at, n) for at, n, _ in mine])
        within(quota.tokens_per_minute, [(at, n) for at, _, n in mine])
        if quota.tokens_per_day is not None:
            assert sum(n for _, _, n in mine) <= quota.tokens_per_day * days(mine)
    only_requests = [
        key for key, quota in quotas.items() if quota == Quota(quota.requests_per_minute)
    ]
    assert len(only_requests) == 10
    for key in only_requests:  # and the limit is there to be used
        assert len(charges[key]) >= 0.9 * quotas[key].requests_per_minute - 5


def within(most: int | None, charges: list[tuple[int, int]]) -> None:
    if most is None:
        return
    for first, (start, _) in enumerate(charges):
        total = 0
        for then, n in charges[first:]:
            total += n
            assert total * MINUTE_MS <= most * (MINUTE_MS + then - start)


def days(charges: list[tuple[int, int, int]]) -> int:
    return len({at // 86_400_000 for at, _, _ in charges})


def test_in_one_process_no_limit_is_passed() -> None:
    passed = asyncio.run(drive(MemoryLimiter(), 1, REQUESTS))
    assert len(passed) < REQUESTS
    check(passed)


def test_what_two_processes_count_alone_would_be_noticed() -> None:
    both = [asyncio.run(drive(MemoryLimiter(), seed, REQUESTS)) for seed in (1, 2)]
    with pytest.raises(AssertionError):
        check(both[0] + both[1])


def test_in_two_processes_with_redis_no_limit_is_passed(redis: RedisServer) -> None:
    command = [sys.executable, limited_traffic.__file__, redis.url]
    running = [
        subprocess.Popen(
            [*command, str(seed), str(REQUESTS)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        for seed in range(PROCESSES)
    ]
    for process in running:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
    for process in running:
        assert process.stdin is not None
        process.stdin.write(b"go\n")
        process.stdin.flush()
    answers = [json.loads(process.communicate(timeout=120)[0]) for process in running]
    assert [process.returncode for process in running] == [0] * PROCESSES
    assert all(answers)
    starts, ends = zip(*((one[0][4], one[-1][4]) for one in answers), strict=True)
    assert max(starts) < min(ends), "they must run at the same time"
    check([tuple(one) for answer in answers for one in answer])
