"""Load, use and close a model in this process alone, and print what it took and left, in bytes.

Run as ``python memory_of_a_model.py STREAMS FIRST FOLDER``: FIRST is another model, which is loaded and
closed before, so that what the libraries take once is not counted.
"""

import asyncio
import json
import random
import sys
from pathlib import Path

from emblem import opening
from emblem.backends import footprint, memory
from emblem.config import Settings
from emblem.models import layout, sizes
from emblem.types import EmbedRequest


async def use(folder: Path, requests: int) -> None:
    """Embed texts of many lengths."""
    dice = random.Random(3)
    embedder = opening.open_model(folder, "measured", Settings(threads=2, streams=STREAMS))
    for _ in range(requests):
        texts = [" ".join(["river"] * dice.randint(1, 250)) for _ in range(dice.randint(1, 3))]
        request = EmbedRequest(tuple(texts))
        await asyncio.gather(*(embedder.embed(request) for _ in range(STREAMS)))
    used.append(memory.resident_bytes())
    await embedder.aclose()


async def main(first: Path, folder: Path) -> None:
    """Print predicted bytes, and by how much the process grew, used and afterwards."""
    await use(first, 1)
    memory.give_back()
    before = memory.resident_bytes()
    await use(folder, 12)
    memory.give_back()
    model = layout.read(folder, "measured")
    predicted = footprint.predicted_bytes(model, sizes.read(model), streams=STREAMS)
    left = memory.resident_bytes() - before
    print(json.dumps({"predicted": predicted, "used": used[-1] - before, "left": left}))


used: list[int] = []
STREAMS = int(sys.argv[1])
asyncio.run(main(*map(Path, sys.argv[2:])))
