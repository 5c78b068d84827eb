"""Which tiers there are follows from the settings."""

from pathlib import Path

import pytest

from emblem.caches.opening import open_tiers
from emblem.config import Settings, cache_redis_address, secrets_of
from emblem.errors import ConfigError
from wrappers.honest import run

ADDRESS = "redis://:hush@127.0.0.1:1/0"


@pytest.mark.parametrize(
    ("disk", "redis", "tiers"),
    [
        (0, "", []),
        (1 << 20, "", ["disk"]),
        (0, ADDRESS, ["redis"]),
        (1, ADDRESS, ["disk", "redis"]),
    ],
)
def test_what_is_wanted_is_asked_in_the_order_of_its_nearness(
    disk: int, redis: str, tiers: list[str], tmp_path: Path
) -> None:
    async def go() -> None:
        opened = open_tiers(tmp_path, disk, redis, redis_ttl_s=10, redis_bytes=1000, timeout_s=0.1)
        assert [one.name for one in opened.report()] == tiers if opened else not tiers
        if opened:
            await opened.aclose()
        assert not [*tmp_path.iterdir()]  # noqa: ASYNC240 - nothing is made before it is needed

    run(go)


def test_the_redis_that_counts_limits_can_be_meant() -> None:
    assert cache_redis_address(Settings()) == ""
    assert cache_redis_address(Settings(cache_redis=ADDRESS)) == ADDRESS
    assert cache_redis_address(Settings(cache_redis="limits", redis=ADDRESS)) == ADDRESS
    with pytest.raises(
        ConfigError, match=r'cache_redis = "limits" means .*set redis or redis_file'
    ):
        cache_redis_address(Settings(cache_redis="limits"))


def test_an_address_is_a_secret_and_a_word_is_none() -> None:
    assert secrets_of(Settings(cache_redis=ADDRESS)) == (ADDRESS,)
    assert secrets_of(Settings(cache_redis="limits")) == ()
    assert "hush" not in repr(Settings(cache_redis=ADDRESS))
