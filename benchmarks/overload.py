"""Offer a server ten times what it can do, and see what it still does, and what it refuses and how.

    .venv/bin/python benchmarks/overload.py [--seconds 120] [--times 10] [--queries]

Starts ``emblem serve`` with the real all-MiniLM-L6-v2 of .cache/test-home, without its cache. In
one run: a lone query; the capacity for queries alone and for passages alone (closed loops,
connections enough); then an open loop of both that offers ``--times`` the capacity for
``--seconds`` whatever is answered; then lone queries until they are answered as quickly as before.
What is answered in a storm has another mix than what is asked, so goodput counts each answer as the
time that the capacity says it takes: all time well spent is 1. ``--queries`` asks for one short text
each, ten times as many requests.

The clients and the refusals take processor time from the same cores. How much that is at the least
is shown by a reference: the capacity while as large a flood is sent to another server, which refuses
all of it and does nothing else (``refusing.py``). It changes nothing of what is judged.

Ends with 1 where goodput is below 0.9 of the capacity, a vector is wrong, a refusal is not a 429 or
503 with Retry-After, a connection breaks, or a lone query takes more than a second to recover.
"""

import argparse
import asyncio
import json
import random
import resource
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from crowd import Crowd, Matrix, Reply, Server, crowd, refusing, serving, text, vectors, wrong

MODEL = "all-MiniLM-L6-v2"
POOL = 256
PASSAGES = 8
CONNECTIONS = 32
RAMP_S = 2.0
LEAST = 0.9


@dataclass(frozen=True, slots=True)
class Asked:
    """One request, what it must give and how many tokens that takes."""

    request: bytes
    expected: Matrix
    single: bool


@dataclass(frozen=True, slots=True)
class Done:
    """What the server has done so far: processor seconds, rows, and their tokens."""

    at: float
    cpu_s: float
    rows: int
    tokens: int

    @classmethod
    async def now(cls, server: Server) -> "Done":
        """Ask the server."""
        asked = (
            f"GET /ps HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {server.keys[0]}\r\n\r\n"
        )
        async with crowd(server) as one:
            while (reply := await one.ask(asked.encode())).status != 200:  # noqa: ASYNC110
                await asyncio.sleep(0.05)  # it is refused like any other request
        (model,) = json.loads(reply.body)["models"]
        return cls(time.perf_counter(), server.cpu_s(), model["rows"], model["tokens"])

    def since(self, before: "Done") -> str:
        """Say what was done since then."""
        seconds = self.at - before.at
        rows, tokens = self.rows - before.rows, self.tokens - before.tokens
        return (
            f"server: {(self.cpu_s - before.cpu_s) / seconds:.2f} cores, {tokens / seconds:.0f} "
            f"tokens/s in rows of {tokens / max(1, rows):.0f}"
        )


@dataclass(slots=True)
class Phase:
    """What was answered, when (seconds since it began) and to whom."""

    began: float = field(default_factory=time.perf_counter)
    own_began: float = field(default_factory=lambda: own_cpu_s())
    answers: list[tuple[float, Asked, Reply]] = field(default_factory=list)
    offered: int = 0
    own_cpu: float = 0.0

    def note(self, asked: Asked, reply: Reply) -> None:
        """Keep an answer."""
        self.answers.append((time.perf_counter() - self.began, asked, reply))

    def end(self) -> float:
        """Give the seconds that it took, and keep the processor time that the clients had."""
        seconds = time.perf_counter() - self.began
        self.own_cpu = (own_cpu_s() - self.own_began) / seconds
        return seconds

    def per_s(self, single: bool, first: float, last: float) -> float:
        """Give the good answers of a kind a second between two times."""
        good = [r for at, a, r in self.answers if a.single is single and first <= at < last]
        return sum(reply.status == 200 for reply in good) / (last - first)


def own_cpu_s() -> float:
    """Give the processor time of this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def references(server: Server, clients: Crowd, *, queries: bool) -> list[Asked]:
    """Make the requests, and have each text embedded alone."""
    chance = random.Random(5)
    made = []
    for number in range(POOL):
        single = queries or number % 10 < 7
        texts = [text(chance, chance.randint(6, 16))] if single else [
            text(chance, chance.randint(40, 80)) for _ in range(PASSAGES)
        ]  # fmt: skip
        found = []
        for one in texts:
            reply = await clients.ask(server.request(_body(one)))
            if reply.status != 200:
                raise SystemExit(f"a lone text is answered with {reply.status}: {reply.body!r}")
            found.append(vectors(reply.body))
        made.append(Asked(server.request(_body(texts)), np.concatenate(found), single))
    return made


def _body(texts: str | list[str]) -> dict[str, object]:
    return {"model": MODEL, "input": texts, "encoding_format": "base64"}


async def capacity(clients: Crowd, pool: list[Asked], seconds: float) -> Phase:
    """Keep so many connections busy."""
    phase = Phase()
    chance = random.Random(6)

    async def client() -> None:
        while time.perf_counter() - phase.began < seconds:
            asked = chance.choice(pool)
            phase.offered += 1
            phase.note(asked, await clients.ask(asked.request))

    await asyncio.gather(*(client() for _ in range(CONNECTIONS)))
    phase.end()
    return phase


async def storm(
    clients: Crowd, pool: list[Asked], per_s: float, seconds: float
) -> tuple[Phase, "set[asyncio.Task[None]]"]:
    """Offer so many requests a second, whatever is answered. Gives those that still wait, too."""
    phase = Phase()
    chance = random.Random(7)
    waiting: set[asyncio.Task[None]] = set()

    async def one(asked: Asked, due: float) -> None:
        phase.note(asked, await clients.ask(asked.request, due))

    due = phase.began
    while (now := time.perf_counter()) < phase.began + seconds:
        while due <= now:
            task = asyncio.ensure_future(one(chance.choice(pool), due))
            waiting.add(task)
            task.add_done_callback(waiting.discard)
            phase.offered += 1
            due += chance.expovariate(per_s)
        await asyncio.sleep(min(0.01, max(0.0, due - now)))
    phase.end()
    return phase, waiting


async def reference(
    clients: Crowd, pool: list[Asked], per_s: float, seconds: float, able: dict[bool, float]
) -> float:
    """Give what is left of the capacity where such a flood is refused by somebody else."""
    with refusing() as port:
        elsewhere = Crowd(port)
        try:
            measured, (_, waiting) = await asyncio.gather(
                capacity(clients, pool, seconds), storm(elsewhere, pool, per_s, seconds)
            )
            await asyncio.gather(*waiting)
        finally:
            elsewhere.close()
    return goodput(measured, able, seconds)


def goodput(phase: Phase, able: dict[bool, float], seconds: float) -> float:
    """Give the part of the time that was well spent."""
    return sum(phase.per_s(kind, RAMP_S, seconds) / able[kind] for kind in able)


async def lone(clients: Crowd, pool: list[Asked], count: int) -> float:
    """Give the median seconds of queries one after another."""
    query = next(asked for asked in pool if asked.single)
    return float(np.median([(await clients.ask(query.request)).seconds for _ in range(count)]))


async def recovery(server: Server, pool: list[Asked], normal: float) -> float:
    """Give the seconds until three lone queries on end take no more than twice what is normal."""
    query = next(asked for asked in pool if asked.single)
    began = time.perf_counter()
    in_a_row = 0
    async with crowd(server) as fresh:
        while in_a_row < 3 and time.perf_counter() - began < 60:
            since = time.perf_counter() - began
            reply = await fresh.ask(query.request)
            # Beside what still waits there may be a row before its own.
            in_a_row = (
                in_a_row + 1 if reply.status == 200 and reply.seconds < 2 * normal + 0.05 else 0
            )
            if in_a_row == 1:
                first = since + reply.seconds
    return first if in_a_row else float("inf")


def judge(phase: Phase) -> tuple[list[str], list[Reply]]:
    """Check every answer. Gives what is wrong, and the refusals."""
    faults: dict[str, int] = {}
    refused = []
    for _, asked, reply in phase.answers:
        fault = None
        if reply.status == 200:
            fault = wrong(vectors(reply.body), asked.expected)
        elif reply.status in (429, 503) and (reply.header("retry-after") or "").isdigit():
            refused.append(reply)
        else:
            fault = f"status {reply.status}, retry-after {reply.header('retry-after')}"
        if fault:
            faults[fault] = faults.get(fault, 0) + 1
    return [f"{count} × {fault}" for fault, count in faults.items()], refused


def quantiles(seconds: list[float]) -> str:
    """Write p50, p99 and the worst in ms."""
    if not seconds:
        return "–"
    p50, p99 = np.quantile(seconds, [0.5, 0.99])
    return f"p50 {1000 * p50:.1f} ms, p99 {1000 * p99:.1f} ms, worst {1000 * max(seconds):.0f} ms"


async def measure(server: Server, arguments: argparse.Namespace) -> int:
    """Run the phases and print what they show."""
    async with crowd(server) as clients:
        pool = await references(server, clients, queries=arguments.queries)
        normal = await lone(clients, pool, 50)
        print(f"lone query {1000 * normal:.1f} ms")
        seconds = max(5.0, arguments.seconds / 12)
        bases, able, busy = [], {}, 0.0
        for single in {asked.single for asked in pool}:
            kind = [asked for asked in pool if asked.single is single]
            before = await Done.now(server)
            bases.append(await capacity(clients, kind, seconds))
            print((await Done.now(server)).since(before))
            able[single] = bases[-1].per_s(single, 1.0, seconds)
            busy += len(kind) / POOL / able[single]
            print(f"capacity {able[single]:.0f} requests/s with {kind[0].expected.shape[0]} inputs; "
                  f"clients take {bases[-1].own_cpu:.2f} cores")  # fmt: skip
        per_s = arguments.times / busy
        least = await reference(clients, pool, per_s, seconds, able)
        print(
            f"reference: {least:.3f} of the capacity is left where another server refuses as much"
        )
        before = await Done.now(server)
        phase, waiting = await storm(clients, pool, per_s, arguments.seconds)
        print((await Done.now(server)).since(before))
        recovered = await recovery(server, pool, normal)
        still = len(waiting)
        good = goodput(phase, able, arguments.seconds)
        print(
            f"goodput {good:.3f} of the capacity, {good / least:.3f} of the reference", flush=True
        )
        await asyncio.gather(*waiting)
    faults, refused = judge(phase)
    for base in bases:
        faults += judge(base)[0]
    ok = [reply.seconds for _, _, reply in phase.answers if reply.status == 200]
    print(f"offered {phase.offered / arguments.seconds:.0f} requests/s, clients take "
          f"{phase.own_cpu:.2f} cores; {clients.connections} connections")  # fmt: skip
    for kind in able:
        print(f"  {phase.per_s(kind, RAMP_S, arguments.seconds):.0f} answers/s with "
              f"{'one input' if kind else f'{PASSAGES} inputs'}")  # fmt: skip
    print(f"answered {len(ok)}: {quantiles(ok)}; {still} still waited at the end")
    share = len(refused) / max(1, len(phase.answers))
    print(f"refused {share:.1%}: {quantiles([one.seconds for one in refused])}")
    print(f"a lone query is back to normal after {recovered:.2f} s")
    if recovered > 1:
        faults.append(f"a lone query took {recovered:.2f} s to recover")
    if good < LEAST:
        faults.append(f"goodput is below {LEAST}")
    print("\n".join(f"WRONG: {fault}" for fault in faults) or "all answers right")
    return 1 if faults else 0


def main() -> int:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--times", type=float, default=10.0)
    parser.add_argument("--queries", action="store_true", help="short queries only")
    arguments = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        serving(Path(folder), [MODEL], EMBLEM_CACHE_BYTES="0") as server,
    ):
        return asyncio.run(measure(server, arguments))


if __name__ == "__main__":
    sys.exit(main())
