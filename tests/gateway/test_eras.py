"""What a server's home knows of vectors that were wrong, it tells to all that share its Redis."""

from pathlib import Path

import pytest

from emblem.space import Space
from emblem.types import Overflow
from emblem.upstreams.misbehaving import Hashed, Manners, running
from emblem.wrappers.references import FileReferences
from redis_server import redis_server
from server import running_server

pytestmark = pytest.mark.slow

CONFIG = """
serve = ["far"]
cache_redis = "{redis}"

[models.far]
source = "t"
upstream = "there"
space = "truth"
width = 8
max_length = 4096
normalised = true

[upstreams.there]
preset = "openai-compatible"
base_url = "{url}"
"""
SPACE = Space.declared("truth", 8, normalised=True, overflow=Overflow.ERROR)


def test_a_server_tells_redis_and_is_told_by_it_how_often_a_space_was_wrong(tmp_path: Path) -> None:
    with redis_server() as redis, running(manners=Manners(model="t"), truth=Hashed(8)) as upstream:
        homes = tmp_path / "one", tmp_path / "two"
        for home in homes:
            home.mkdir()
            (home / "emblem.toml").write_text(CONFIG.format(redis=redis.url, url=upstream.base_url))
        first, second = (FileReferences(home / "spaces") for home in homes)
        first.doubt(SPACE, 4)
        with running_server(homes[0]) as server:
            assert server.post({"model": "far", "input": ["a text"]}).status_code == 200
        (key,) = redis.run("KEYS", "*:doubts:*")  # type: ignore[misc]
        assert redis.run("GET", key) == "5"
        with running_server(homes[1]) as server:
            answer = server.post({"model": "far", "input": ["a text"]})
            assert answer.headers["x-embedding-cache"] == "hits=1/1"
        assert second.doubts(SPACE) == 5
        redis.stop()
        with running_server(homes[1]) as server:
            assert server.post({"model": "far", "input": ["a text"]}).status_code == 200
        log = server.log.read_text()
        assert log.count("how often truth/8 was wrong") == 1
        assert "Traceback" not in log
