"""What was found wrong of a space is known to all servers that share a Redis, and never forgotten."""

import threading
from contextlib import closing

import pytest

from emblem.caches.doubts import AWAY_S, RedisDoubts
from emblem.errors import ConfigError, ModelError
from emblem.space import Space
from redis_server import RedisServer

SPACE = Space.declared("there/m", 4, normalised=True)
OTHER = Space.declared("there/other", 4, normalised=True)


def test_all_who_share_it_count_together_and_nobody_lowers_it(redis: RedisServer) -> None:
    with closing(RedisDoubts(redis.url)) as one, closing(RedisDoubts(redis.url)) as two:
        assert one.at_least(SPACE, 0) == 0
        assert one.doubt(SPACE, 0) == 1
        assert two.at_least(SPACE, 0) == 1
        assert two.doubt(SPACE, 0) == 2
        assert two.doubt(SPACE, 9) == 10
        assert one.at_least(SPACE, 4) == 10
        assert one.at_least(SPACE, 12) == 12
        assert one.at_least(OTHER, 0) == 0


def test_each_who_finds_out_begins_another_era_however_many_do_at_once(redis: RedisServer) -> None:
    found: list[int] = []

    def find_out(doubts: RedisDoubts) -> None:
        found.extend(doubts.doubt(SPACE, 0) for _ in range(20))

    with closing(RedisDoubts(redis.url)) as one, closing(RedisDoubts(redis.url)) as two:
        threads = [threading.Thread(target=find_out, args=(each,)) for each in (one, two) * 2]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(found) == list(range(1, 81))


def test_it_has_no_end_as_entries_have(redis: RedisServer) -> None:
    with closing(RedisDoubts(redis.url)) as one:
        one.doubt(SPACE, 0)
    (key,) = redis.run("KEYS", "*")  # type: ignore[misc]
    assert redis.run("TTL", key) == -1


def test_what_is_no_number_there_is_said(redis: RedisServer) -> None:
    with closing(RedisDoubts(redis.url)) as one:
        one.doubt(SPACE, 0)
        (key,) = redis.run("KEYS", "*")  # type: ignore[misc]
        redis.run("SET", key, "many")
        with pytest.raises(ModelError, match="does not say how often there/m/4 was wrong"):
            one.at_least(SPACE, 0)


def test_one_that_is_away_is_said_without_its_password_and_not_asked_again_at_once() -> None:
    now = 100.0
    with closing(RedisDoubts("redis://:s3cret-word@127.0.0.1:1/0", clock=lambda: now)) as one:
        for space in (SPACE, OTHER):
            with pytest.raises(ModelError, match="how often there/m/4 was wrong") as caught:
                one.at_least(space, 0)
            assert "s3cret" not in str(caught.value)
        now += AWAY_S
        with pytest.raises(ModelError, match="how often there/other/4 was wrong"):
            one.doubt(OTHER, 0)


@pytest.mark.parametrize("url", ["localhost", "redis://:a/b@c:1/0"])
def test_what_is_no_address_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(ConfigError, match="cache_redis must be an address") as caught:
        RedisDoubts(url)
    assert url not in str(caught.value)
