"""What limits cost a request whose answer is remembered, in the application alone: no HTTP server.

    .venv/bin/python benchmarks/overhead_inside.py --home .cache/test-home

The application is called as a server would call it, by the key of the environment, which has no
limits, by one with limits of a minute, and by one that has every limit there is, as has its team, in
turn, ten requests at a time. Of each the least processor time of the event loop's thread is printed:
on a machine that does other things, too, it is the only figure that hardly changes.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from benchmarks.overhead import ENVIRONMENT_KEY, MODEL, TEXT, limited_keys
from starlette.types import ASGIApp, Message, Scope

from emblem.config import load
from emblem.serving import plan
from emblem.wiring import create
from server import linked_home

BATCH, ROUNDS = 10, 350
BODY = json.dumps({"model": MODEL, "input": TEXT, "encoding_format": "base64"}).encode()


@asynccontextmanager
async def serving(app: ASGIApp) -> AsyncIterator[None]:
    """Start an application, and end it."""
    begin, ended = asyncio.Event(), asyncio.Event()
    told: asyncio.Queue[Message] = asyncio.Queue()
    told.put_nowait({"type": "lifespan.startup"})

    async def send(message: Message) -> None:
        if message["type"].endswith("failed"):
            raise RuntimeError(message.get("message"))
        (ended if "shutdown" in message["type"] else begin).set()

    task = asyncio.create_task(app({"type": "lifespan"}, told.get, send))
    await begin.wait()
    try:
        yield
    finally:
        told.put_nowait({"type": "lifespan.shutdown"})
        await ended.wait()
        await task


async def ask(app: ASGIApp, key: str) -> None:
    """Ask once, as a server would."""
    headers = [
        (b"host", b"x"),
        (b"authorization", f"Bearer {key}".encode()),
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(BODY)),
    ]
    scope: Scope = {
        "type": "http", "method": "POST", "path": "/v1/embeddings", "query_string": b"",
        "headers": headers, "client": ("127.0.0.1", 1),
    }  # fmt: skip
    statuses = []

    async def receive() -> Message:
        return {"type": "http.request", "body": BODY, "more_body": False}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    await app(scope, receive, send)
    if statuses != [200]:
        raise RuntimeError(f"answered {statuses}")


async def measure(app: ASGIApp, keys: Mapping[str, str]) -> dict[str, float]:
    """Give the least processor µs of a request by each key."""
    least = dict.fromkeys(keys, float("inf"))
    async with serving(app):
        for _ in range(ROUNDS):
            for name, key in keys.items():
                began = time.thread_time()
                for _ in range(BATCH):
                    await ask(app, key)
                took = 1e6 * (time.thread_time() - began) / BATCH
                least[name] = min(least[name], took)
            await asyncio.sleep(0)
    return least


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--home", type=Path, required=True, help=f"a home that has {MODEL}")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        home = linked_home(Path(folder) / "home", given.home.resolve())
        usual, limited = limited_keys(home)
        keys = {"no limits": ENVIRONMENT_KEY, "a minute's": usual, "every, and a team's": limited}
        os.environ.pop("EMBLEM_CONFIG", None)
        environ = {"EMBLEM_HOME": str(home), "EMBLEM_API_KEY": ENVIRONMENT_KEY}
        flags = {"serve": (MODEL,), "log_level": "error"}
        settings = load(flags=flags, environ=environ, directory=home).settings
        least = asyncio.run(measure(create(plan(settings)), keys))
    for name, took in least.items():
        print(f"{name:20} {took:6.1f} µs of processor ({took - least['no limits']:+.1f})")


if __name__ == "__main__":
    main()
