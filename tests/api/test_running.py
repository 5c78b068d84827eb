"""GET /ps: which models are in memory, and what waits for them."""

from dataclasses import replace

import pytest

from api.asking import get
from api.small_app import OneKey, Small, charging
from emblem.api.app import create_app
from emblem.service import Service
from emblem.types import CacheState, Lane, Occupancy, Queued, Residence, State, TierState, Work

BUSY = Residence(
    name="tiny",
    state=State.LOADED,
    predicted_bytes=1000,
    requests=3,
    loaded_s=12.3456,
    idle_s=0.5,
    work=Work(
        {Lane.BULK: Queued(2, 300, 0.75)},
        rows=7,
        tokens=900,
        seconds_per_token=0.0025,
        row_seconds=2.25,
    ),
    problem=None,
)
AWAY = replace(
    BUSY, name="away", state=State.UNLOADED, requests=0, loaded_s=None, idle_s=None, work=Work({})
)


@pytest.fixture
def small() -> Small:
    made = Small()
    occupancy = Occupancy(
        (BUSY, AWAY),
        5000,
        1000,
        2500,
        resident_bytes=7000,
        base_bytes=3500,
        cache=CacheState(3, 600, 1000, hits=9, misses=4),
        tiers=(TierState("disk", 3, 1, 0, 0, 0, False), TierState("redis", 0, 1, 2, 4, 5, True)),
    )
    made.service = Service(
        made.service.names, {}, made.service.limits, charging(), running=lambda: occupancy
    )
    made.app = create_app(made.service, OneKey())
    return made


def test_every_model_and_the_memory_are_listed(small: Small) -> None:
    nothing = {"requests": 0, "tokens": 0, "seconds": 0.0}
    assert get(small.app, "/ps").json == {
        "models": [
            {
                "name": "tiny",
                "state": "loaded",
                "predicted_bytes": 1000,
                "loaded_seconds_ago": 12.346,
                "used_seconds_ago": 0.5,
                "requests": 3,
                "queue": {
                    "interactive": nothing,
                    "bulk": {"requests": 2, "tokens": 300, "seconds": 0.75},
                },
                "rows": 7,
                "tokens": 900,
                "row_seconds": 2.25,
                "seconds_per_token": 0.0025,
                "problem": None,
            },
            {
                "name": "away",
                "state": "unloaded",
                "predicted_bytes": 1000,
                "loaded_seconds_ago": None,
                "used_seconds_ago": None,
                "requests": 0,
                "queue": {"interactive": nothing, "bulk": nothing},
                "rows": 0,
                "tokens": 0,
                "row_seconds": 0.0,
                "seconds_per_token": None,
                "problem": None,
            },
        ],
        "loaded_bytes": 1000,
        "beyond_bytes": 2500,
        "max_model_bytes": 5000,
        "base_bytes": 3500,
        "resident_bytes": 7000,
        "cache": {"entries": 3, "bytes": 600, "max_bytes": 1000, "hits": 9, "misses": 4},
        "tiers": [
            {
                "name": "disk",
                "hits": 3,
                "misses": 1,
                "corrupt": 0,
                "failures": 0,
                "dropped": 0,
                "away": False,
            },
            {
                "name": "redis",
                "hits": 0,
                "misses": 1,
                "corrupt": 2,
                "failures": 4,
                "dropped": 5,
                "away": True,
            },
        ],
        "process": 1,
        "processes": 1,
    }


def test_nobody_without_a_key_is_told(small: Small) -> None:
    assert get(small.app, "/ps", key=None).status == 401
