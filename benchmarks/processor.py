"""What a request takes of the processor, in the whole process that serves, over HTTP.

    .venv/bin/python benchmarks/processor.py [--model wordllama-256] [--requests 4000]

Starts ``emblem serve`` with a model of .cache/test-home and asks for one short text at a time over 32
connections: texts that it has not seen, then 50 that it remembers. Printed is the server's own
processor time for each request, which says something on a machine that does other things, too, where
the time on the clock says nothing. Run it in turn with another commit, several times.
"""

import argparse
import asyncio
import tempfile
from collections.abc import Iterable
from pathlib import Path

from crowd import Crowd, Server, crowd, serving

CONNECTIONS = 32
KNOWN = 50


async def took_us(server: Server, clients: Crowd, model: str, texts: list[str]) -> float:
    """Ask for every text, and give the server's processor µs of a request."""
    left: Iterable[str] = iter(texts)

    async def client() -> None:
        for text in left:
            body = {"model": model, "input": text, "encoding_format": "base64"}
            reply = await clients.ask(server.request(body))
            if reply.status != 200:
                raise SystemExit(f"answered with {reply.status}")

    before = server.cpu_s()
    await asyncio.gather(*(client() for _ in range(CONNECTIONS)))
    return 1e6 * (server.cpu_s() - before) / len(texts)


async def measure(server: Server, model: str, requests: int) -> None:
    """Warm up, measure and print."""
    async with crowd(server) as clients:
        fresh = [f"what is the meaning of query {n} of many, and why?" for n in range(requests)]
        await took_us(server, clients, model, [f"warm {one}" for one in fresh[:400]])
        new = await took_us(server, clients, model, fresh)
        known = await took_us(server, clients, model, [fresh[n % KNOWN] for n in range(requests)])
    print(
        f"{new:.0f} µs a new text, {known:.0f} µs a remembered one; {server.resident_mib():.0f} MiB"
    )


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--model", default="wordllama-256")
    parser.add_argument("--requests", type=int, default=4000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder), [given.model]) as server:
        asyncio.run(measure(server, given.model, given.requests))


if __name__ == "__main__":
    main()
