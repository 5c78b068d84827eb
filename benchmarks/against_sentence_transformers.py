"""Emblem's engine beside sentence-transformers: same files, same texts, in turn, in one run.

    EMBLEM_TORCH_PYTHON=…/python python benchmarks/against_sentence_transformers.py MODEL_FOLDER

Prints tokens a second of both and their ratio, round by round, and the worst cosine between their
vectors. EMBLEM_TORCH_PYTHON names a Python that has sentence-transformers; `make bench` sets it up.
Texts are composed here and stay within 256 tokens, so that nobody cuts anything. Machines are noisy
and shared: the ratio is the result, not the seconds.
"""

import argparse
import asyncio
import os
import random
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from emblem.config import Settings
from emblem.types import EmbedRequest, Lane, Overflow
from emblem.wiring import open_model

TEXT = (
    "a river carries sand past the mill where old machines grind grain into flour for bread that "
    "people of the valley eat in winter when snow closes every road and letters arrive late by "
    "boat over the cold lake whose water keeps the colour of slate until spring brings light and "
    "work back to fields markets schools and the small library above the station"
)
WORDS = TEXT.split()

# What runs in the other Python: reads a line, embeds everything, answers with the seconds it took.
PEER = """
import sys, time
import numpy as np
from sentence_transformers import SentenceTransformer
model = SentenceTransformer(sys.argv[1], device="cpu")
sets = [open(name, encoding="utf-8").read().split("\\n") for name in sys.argv[2:4]]
for line in sys.stdin:
    which = int(line)
    started = time.perf_counter()
    vectors = model.encode(sets[which], batch_size=64 if which == 0 else 1, convert_to_numpy=True)
    seconds = time.perf_counter() - started
    np.save(sys.argv[4], vectors)
    print(seconds, flush=True)
"""


def texts(n: int, shortest: int, longest: int, seed: int) -> list[str]:
    """Compose n texts of so many words each."""
    draw = random.Random(seed)
    return [
        " ".join(draw.choice(WORDS) for _ in range(draw.randint(shortest, longest)))
        for _ in range(n)
    ]


def start(command: list[str]) -> "subprocess.Popen[str]":
    """Start the other Python."""
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


async def main() -> None:
    """Run the rounds and print them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--passages", type=int, default=128)
    parser.add_argument("--queries", type=int, default=48)
    given = parser.parse_args()
    python = os.environ.get("EMBLEM_TORCH_PYTHON")
    if not python:
        sys.exit(
            "EMBLEM_TORCH_PYTHON must name a Python with sentence-transformers; see make bench"
        )
    sets = [texts(given.passages, 60, 200, 1), texts(given.queries, 5, 12, 2)]
    scratch = Path(os.environ.get("TMPDIR", "/tmp")) / f"emblem-bench-{os.getpid()}"
    scratch.mkdir()
    names = [scratch / "passages.txt", scratch / "queries.txt"]
    for name, one in zip(names, sets, strict=True):
        name.write_text("\n".join(one), encoding="utf-8")
    embedder = open_model(given.folder, "model", Settings(home=str(scratch)))
    peer = start(
        [python, "-c", PEER, str(given.folder), *map(str, names), str(scratch / "vectors.npy")]
    )

    def theirs(which: int) -> tuple[float, np.ndarray]:
        peer.stdin.write(f"{which}\n")
        peer.stdin.flush()
        seconds = float(peer.stdout.readline())
        return seconds, np.load(scratch / "vectors.npy")

    async def ours(which: int) -> tuple[float, np.ndarray, int]:
        started = time.perf_counter()
        if which == 0:
            requests = [sets[0][start : start + 64] for start in range(0, len(sets[0]), 64)]
            lane = Lane.BULK
        else:
            requests, lane = [[text] for text in sets[1]], Lane.INTERACTIVE
        results = []
        for one in requests:
            request = EmbedRequest(tuple(one), overflow=Overflow.TRUNCATE, lane=lane)
            results.append(await embedder.embed(request))
        seconds = time.perf_counter() - started
        vectors = np.concatenate([result.vectors for result in results])
        return seconds, vectors, int(sum(result.tokens.sum() for result in results))

    for which, what in enumerate(("passages, 64 at a time", "short queries, one at a time")):
        theirs(which)
        await ours(which)
        ratios, worst = [], 1.0
        for turn in range(given.rounds):
            peer_s, peer_vectors = theirs(which)
            own_s, own_vectors, tokens = await ours(which)
            worst = min(worst, float(np.min(np.sum(peer_vectors * own_vectors, axis=1))))
            ratios.append(peer_s / own_s)
            print(
                f"{what}: round {turn + 1}: Emblem {tokens / own_s:7.0f} tokens/s, "
                f"sentence-transformers {tokens / peer_s:7.0f} tokens/s, ratio {ratios[-1]:.2f}",
                flush=True,
            )
        print(
            f"{what}: median ratio {statistics.median(ratios):.2f} "
            f"({min(ratios):.2f} to {max(ratios):.2f}), worst cosine {worst:.7f}\n"
        )
    peer.stdin.close()
    peer.wait()
    await embedder.aclose()
    for file in scratch.iterdir():
        file.unlink()
    scratch.rmdir()


if __name__ == "__main__":
    asyncio.run(main())
