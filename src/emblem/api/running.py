"""GET /ps: which models are in memory, and what they have to do."""

import msgspec

from emblem.types import CacheState, Lane, Occupancy, Queued, Residence, TierState


class LaneItem(msgspec.Struct, frozen=True):
    """What waits in one lane: requests, their tokens, and the seconds that they will take."""

    requests: int
    tokens: int
    seconds: float


class RunningItem(msgspec.Struct, frozen=True):
    """One served model. Ages are in seconds; ``requests`` counts those in progress."""

    name: str
    state: str
    predicted_bytes: int
    loaded_seconds_ago: float | None
    used_seconds_ago: float | None
    requests: int
    queue: dict[str, LaneItem]
    rows: int
    tokens: int
    row_seconds: float
    seconds_per_token: float | None
    problem: str | None


class CacheItem(msgspec.Struct, frozen=True):
    """The vectors that are remembered; see ``types.CacheState``."""

    entries: int
    bytes: int
    max_bytes: int
    hits: int
    misses: int


class TierItem(msgspec.Struct, frozen=True):
    """What was asked of a cache beyond memory, on disk or in Redis; see ``types.TierState``."""

    name: str
    hits: int
    misses: int
    corrupt: int
    failures: int
    dropped: int
    away: bool


class RunningList(msgspec.Struct, frozen=True):
    """Every served model, and the memory of the process that answers; see ``types.Occupancy``."""

    models: list[RunningItem]
    loaded_bytes: int
    beyond_bytes: int
    max_model_bytes: int
    base_bytes: int | None
    resident_bytes: int | None
    cache: CacheItem | None = None
    tiers: list[TierItem] = []
    process: int = 1
    processes: int = 1


def running(occupancy: Occupancy) -> bytes:
    """Give the body of the answer."""
    return msgspec.json.encode(running_list(occupancy))


def running_list(occupancy: Occupancy) -> RunningList:
    """Describe every model."""
    return RunningList(
        models=[running_item(one) for one in occupancy.models],
        loaded_bytes=occupancy.loaded_bytes,
        beyond_bytes=occupancy.beyond_bytes,
        max_model_bytes=occupancy.max_model_bytes,
        base_bytes=occupancy.base_bytes,
        resident_bytes=occupancy.resident_bytes,
        cache=_cache(occupancy.cache),
        tiers=[_tier(one) for one in occupancy.tiers],
        process=occupancy.process,
        processes=occupancy.processes,
    )


def _cache(state: CacheState | None) -> CacheItem | None:
    if state is None:
        return None
    return CacheItem(state.entries, state.bytes, state.max_bytes, state.hits, state.misses)


def _tier(state: TierState) -> TierItem:
    return TierItem(
        state.name,
        state.hits,
        state.misses,
        state.corrupt,
        state.failures,
        state.dropped,
        state.away,
    )


def running_item(one: Residence) -> RunningItem:
    """Describe one model."""
    work = one.work
    queued = {lane: work.queued.get(lane, Queued()) for lane in Lane}
    return RunningItem(
        name=one.name,
        state=one.state,
        predicted_bytes=one.predicted_bytes,
        loaded_seconds_ago=_rounded(one.loaded_s),
        used_seconds_ago=_rounded(one.idle_s),
        requests=one.requests,
        queue={
            lane.value: LaneItem(it.requests, it.tokens, round(it.seconds, 3))
            for lane, it in queued.items()
        },
        rows=work.rows,
        tokens=work.tokens,
        row_seconds=round(work.row_seconds, 6),
        seconds_per_token=work.seconds_per_token,
        problem=one.problem,
    )


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)
