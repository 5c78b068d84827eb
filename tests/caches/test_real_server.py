"""A real server answers from disk what it embedded before it was started again."""

from pathlib import Path

import pytest

from redis_server import redis_server
from server import RunningServer, linked_home, running_server

pytestmark = pytest.mark.slow

TEXTS = ["What is an emblem?", "A badge.", "A badge."]


def ask(server: RunningServer) -> tuple[str, object, int]:
    reply = server.post({"model": "all-MiniLM-L6-v2", "input": TEXTS})
    assert reply.status_code == 200, reply.text
    body = reply.json()
    return reply.headers["x-embedding-cache"], body["data"], body["usage"]["prompt_tokens"]


def test_what_is_on_disk_or_in_redis_is_not_embedded_again(
    tmp_path: Path, model_home: Path
) -> None:
    with redis_server() as redis:
        disk = {"EMBLEM_CACHE_DISK_BYTES": "50000000", "EMBLEM_CACHE_TIMEOUT_S": "20"}
        both = {**disk, "EMBLEM_CACHE_REDIS": "limits", "EMBLEM_REDIS": redis.url}
        one = linked_home(tmp_path / "one", model_home)
        other = linked_home(tmp_path / "other", model_home)
        with running_server(one, env=both, args=["all-MiniLM-L6-v2"]) as server:
            first = ask(server)
        assert first[0] == "hits=1/3"
        with running_server(one, env=disk | {"EMBLEM_CACHE_BYTES": "0"}) as server:
            assert ask(server) == ("hits=3/3", *first[1:])
        with running_server(other, env=both) as server:
            assert ask(server) == ("hits=3/3", *first[1:])
            assert b"emblem?" not in (other / "cache.sqlite").read_bytes()
