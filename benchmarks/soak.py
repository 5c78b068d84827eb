"""Load a server with everything at once for half an hour, and see whether it stays as it was.

    .venv/bin/python benchmarks/soak.py [--minutes 30]

Starts ``emblem serve`` with the real all-MiniLM-L6-v2 and wordllama-256 of .cache/test-home. Clients
of several keys send queries, passages, requests of 2,048 inputs, texts that come again, requests that
are wrong, and requests that they leave before the answer. Every answer is checked against the
vectors of the same texts alone. Each minute shows what the server holds in memory and how long
queries took.

Ends with 1 where an answer is wrong, or where, after the warm-up (a fifth of the time, a minute at
least), memory grew by 5 % or the p99 of queries by half and 20 ms, comparing the medians of the
minutes of the first third with those of the last.
"""

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from crowd import Crowd, Matrix, Server, crowd, serving, text, vectors, wrong

MODELS = ("all-MiniLM-L6-v2", "wordllama-256")
KEYS = 4
POOL = 3000
MANY = 2048
CACHE_BYTES = str(2 << 20)  # so little that it is full when the warm-up ends
MAX_GROWTH = 0.05
SAMPLE_S = 60.0


@dataclass(slots=True)
class Run:
    """What is sent and what came of it."""

    server: Server
    clients: Crowd
    pool: list[str]
    ends: float
    expected: dict[str, Matrix] = field(default_factory=dict)
    queries: list[float] = field(default_factory=list)  # seconds, of the present minute
    counts: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    number: int = 0

    async def ask(
        self, chance: random.Random, model: str, chosen: list[int], **more: object
    ) -> float:
        """Send texts of the pool and check what comes back. Gives the seconds."""
        body = {"model": model, "input": [self.pool[one] for one in chosen], **more}
        body["encoding_format"] = "base64"
        reply = await self.clients.ask(self.server.request(body, chance.randrange(KEYS)))
        if reply.status == 200:
            fault = wrong(vectors(reply.body), self.expected[model][chosen])
        elif reply.status == 503 and (reply.header("retry-after") or "").isdigit():
            self.counts["refused"] += 1
            fault = None
        else:
            fault = f"{reply.status} {reply.body[:200]!r}"
        if fault:
            self.faults[f"{model}, {len(chosen)} inputs: {fault}"] += 1
        return reply.seconds


Client = Callable[[Run, random.Random], Awaitable[float]]


async def query(run: Run, chance: random.Random) -> float:
    """Ask for one text, which may still be in the cache, and wait a little."""
    run.queries.append(await run.ask(chance, MODELS[0], [chance.randrange(POOL)]))
    return chance.expovariate(10)


async def static(run: Run, chance: random.Random) -> float:
    """Ask the other model."""
    await run.ask(chance, MODELS[1], chance.sample(range(POOL), chance.choice([1, 1, 5, 40])))
    return chance.expovariate(10)


async def passages(run: Run, chance: random.Random) -> float:
    """Embed some passages."""
    await run.ask(chance, MODELS[0], chance.sample(range(POOL), 32))
    return chance.expovariate(1)


async def many(run: Run, chance: random.Random) -> float:
    """Send as many inputs as a request may have."""
    await run.ask(chance, chance.choice(MODELS), chance.choices(range(POOL), k=MANY))
    return 10.0


async def fresh(run: Run, chance: random.Random) -> float:
    """Send texts that never came before, so that the cache is full and has to let others go."""
    run.number += 1
    texts = [f"{run.number} {part} {text(chance, 30)}" for part in range(8)]
    body = {"model": MODELS[0], "input": texts, "encoding_format": "base64"}
    reply = await run.clients.ask(run.server.request(body, chance.randrange(KEYS)))
    if reply.status == 200:
        norms = np.linalg.norm(vectors(reply.body), axis=1)
        if len(norms) != len(texts) or not np.allclose(norms, 1, atol=1e-4):
            run.faults["fresh texts have wrong vectors"] += 1
    elif reply.status != 503:
        run.faults[f"fresh texts: {reply.status}"] += 1
    return 0.5


async def leave(run: Run, chance: random.Random) -> float:
    """Send passages and leave before they are done."""
    texts = [text(chance, 60) for _ in range(200)]
    body = {"model": MODELS[0], "input": texts, "priority": chance.choice(["bulk", "interactive"])}
    request = run.server.request(body, chance.randrange(KEYS))
    try:
        async with asyncio.timeout(chance.uniform(0.001, 0.5)):
            await run.clients.ask(request)
    except TimeoutError:
        run.counts["left"] += 1
    return chance.expovariate(1)


BAD = (
    (b"{", 400),
    (b'{"model": "all-MiniLM-L6-v2", "input": []}', 400),
    (b'{"model": "all-MiniLM-L6-v2", "input": ["a", 1]}', 400),
    (b'{"model": "no such model", "input": "a"}', 404),
    (b'{"model": "all-MiniLM-L6-v2", "input": "a", "dimensions": 9999}', 400),
    (b"\xff\xfe" * 1000, 400),
)


async def bad(run: Run, chance: random.Random) -> float:
    """Send what cannot be served."""
    body, status = chance.choice(BAD)
    reply = await run.clients.ask(run.server.request(None, chance.randrange(KEYS), raw=body))
    if reply.status != status or b'"error"' not in reply.body:
        run.faults[f"{body[:60]!r} is answered with {reply.status} and not {status}"] += 1
    return chance.expovariate(2)


CLIENTS: tuple[tuple[Client, int], ...] = (
    (query, 6), (static, 4), (passages, 2), (many, 1), (fresh, 2), (leave, 2), (bad, 1),
)  # fmt: skip


async def client(run: Run, act: Client, number: int) -> None:
    """Be one client until the end."""
    chance = random.Random(f"{act.__name__} {number}")
    while time.monotonic() < run.ends:
        pause = await act(run, chance)
        run.counts[act.__name__] += 1
        await asyncio.sleep(min(pause, max(0.0, run.ends - time.monotonic())))


async def learn(run: Run) -> None:
    """Have each text embedded alone by each model."""
    for model in MODELS:
        found = []
        for one in run.pool:
            body = {"model": model, "input": one, "encoding_format": "base64"}
            found.append(vectors((await run.clients.ask(run.server.request(body))).body))
        run.expected[model] = np.concatenate(found)


async def watch(run: Run, minutes: float) -> list[tuple[float, float]]:
    """Give memory in MiB and the p99 of queries in seconds, minute by minute."""
    every = min(SAMPLE_S, 60 * minutes / 6)
    samples = []
    began, cpu = time.monotonic(), run.server.cpu_s()
    while time.monotonic() < run.ends - every / 2:
        await asyncio.sleep(every)
        spent, seconds = run.server.cpu_s() - cpu, run.queries[:]
        cpu += spent
        run.queries.clear()
        p50, p99 = np.quantile(seconds, [0.5, 0.99]) if seconds else (np.nan, np.nan)
        samples.append((run.server.resident_mib(), float(p99)))
        print(f"{(time.monotonic() - began) / 60:6.1f} min  {samples[-1][0]:7.1f} MiB  "
              f"queries {len(seconds):5d}, p50 {1000 * p50:6.1f} ms, p99 {1000 * p99:6.1f} ms  "
              f"{spent / every:.2f} cores", flush=True)  # fmt: skip
    return samples


def trend(series: list[float]) -> float:
    """Give Spearman's rank correlation with time, -1 to 1.

    Nineteen in twenty series of 24 minutes without a trend have one within ±0.41.
    """
    ranks = np.argsort(np.argsort(series))
    return float(np.corrcoef(np.arange(len(series)), ranks)[0, 1])


def judge(samples: list[tuple[float, float]]) -> list[str]:
    """Compare the first third after the warm-up with the last, and say what grew too much."""
    kept = samples[max(1, len(samples) // 5) :]
    third = max(1, len(kept) // 3)
    before, after = np.median(kept[:third], axis=0), np.median(kept[-third:], axis=0)
    growth = after / before - 1
    print(f"after the warm-up: memory {before[0]:.1f} → {after[0]:.1f} MiB ({growth[0]:+.1%}), "
          f"p99 {1000 * before[1]:.1f} → {1000 * after[1]:.1f} ms ({growth[1]:+.1%}), "
          f"rank correlation of p99 with time {trend([p99 for _, p99 in kept]):+.2f}")  # fmt: skip
    faults = []
    if growth[0] >= MAX_GROWTH:
        faults.append(f"memory grew by {growth[0]:.1%}")
    if after[1] > 1.5 * before[1] + 0.02:
        faults.append(f"the p99 of queries grew by {growth[1]:.1%}")
    return faults


async def soak(server: Server, minutes: float) -> int:
    """Run all clients and judge."""
    chance = random.Random(1)
    pool = [f"{n} {text(chance, chance.choice([3, 8, 20, 60]))}" for n in range(POOL)]
    async with crowd(server) as clients:
        run = Run(server, clients, pool, 0.0)
        await learn(run)
        run.ends = time.monotonic() + 60 * minutes
        everyone = [client(run, act, n) for act, count in CLIENTS for n in range(count)]
        samples, *_ = await asyncio.gather(watch(run, minutes), *everyone)
        ready = await clients.ask(b"GET /ready HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")
    print(json.dumps(run.counts))
    faults = [f"{count} × {what}" for what, count in run.faults.items()] + judge(samples)
    if ready.status != 200:
        faults.append(f"/ready answers {ready.status}: {ready.body!r}")
    print("\n".join(f"WRONG: {fault}" for fault in faults) or "all answers right")
    return 1 if faults else 0


def main() -> int:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--minutes", type=float, default=30.0)
    arguments = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        serving(Path(folder), MODELS, keys=KEYS, EMBLEM_CACHE_BYTES=CACHE_BYTES) as server,
    ):
        return asyncio.run(soak(server, arguments.minutes))


if __name__ == "__main__":
    sys.exit(main())
