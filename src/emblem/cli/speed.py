"""How fast models are on this machine: measured, kept in the home folder, and estimated for others.

What is measured is measured with the model's own engine as a server would run it. What is estimated
is said to be.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from emblem.config import Settings
    from emblem.ports import Embedder

KEPT_IN = "speeds.json"
SECONDS = 1.0
RANDOM = "a random encoder of all-MiniLM-L6-v2's shape"
RANDOM_ACTIVE = 22_713_216 - 11_720_448  # parameters that each token meets, as in the catalogue

PASSAGE = (
    "The harbour had been quiet since the ferry stopped calling in October. Fishing boats lay on "
    "the slip under tarpaulins, and the office of the harbour master opened on two mornings a "
    "week. A notice on its door listed the tides, the price of diesel and the telephone number of "
    "a doctor on the mainland. Nobody had taken down the timetable of the summer, whose ink had "
    "run in the rain, and children waiting for the school bus read it aloud to one another as if "
    "it were a story about somewhere else."
)


class Machine(msgspec.Struct, frozen=True):
    """What a speed depends on beside the model."""

    processor: str
    threads: int
    streams: int
    emblem: str
    openvino: str


class Speed(msgspec.Struct, frozen=True):
    """A measured speed. ``active`` counts the parameters that each token meets, 0 for a table.

    ``at`` is seconds of the epoch.
    """

    model: str
    tokens_per_s: float
    active: int
    at: int


class Kept(msgspec.Struct, frozen=True):
    """What is kept in the home folder: speeds by the space that they were measured in."""

    machine: Machine
    speeds: dict[str, Speed] = {}


def machine(settings: Settings) -> Machine:
    """Describe this machine, and how much of it is to be used."""
    import platform
    from importlib.metadata import version

    from emblem.backends.cpus import available_cpus

    return Machine(
        _processor() or platform.machine(),
        settings.threads or available_cpus(),
        settings.streams,
        version("emblem"),
        version("openvino"),
    )


def kept(settings: Settings) -> Kept:
    """Give the speeds that were measured on this machine before; none of another machine."""
    here = machine(settings)
    try:
        found = msgspec.json.decode((Path(settings.home) / KEPT_IN).read_bytes(), type=Kept)
    except (OSError, msgspec.DecodeError):
        return Kept(here)
    return found if found.machine == here else Kept(here)


def keep(settings: Settings, speeds: Kept) -> None:
    """Keep speeds for the next time; where that cannot be they are measured again."""
    target = Path(settings.home) / KEPT_IN
    partial = target.with_name(f".{KEPT_IN}.partial")
    try:
        partial.write_bytes(msgspec.json.format(msgspec.json.encode(speeds)))
        partial.replace(target)
    except OSError:
        with suppress(OSError):
            partial.unlink()


async def pace(
    embedder: Embedder,
    texts: Sequence[str],
    seconds: float = SECONDS,
    clock: Callable[[], float] = time.perf_counter,
) -> float:
    """Embed texts over and over for so many seconds, and give tokens per second.

    The first time is not counted: memory is still being touched then.
    """
    from emblem.types import EmbedRequest, Lane

    request = EmbedRequest(tuple(texts), lane=Lane.BULK)
    await embedder.embed(request)
    tokens, begun = 0, clock()
    while (taken := clock() - begun) < seconds:
        tokens += int((await embedder.embed(request)).tokens.sum())
    return tokens / taken


def measured(model: str, active: int, settings: Settings) -> tuple[str, Speed]:
    """Measure a model that is here; give the identity of its space with its speed."""
    from emblem import opening, serving

    found = serving.model(model, settings)

    async def run() -> float:
        embedder = await asyncio.to_thread(opening.open_engine, found, settings)
        try:
            return await pace(embedder, passages())
        finally:
            await embedder.aclose()

    speed = Speed(found.name, asyncio.run(run()), active, int(time.time()))
    return found.space.identity, speed


def passages(count: int = 16) -> list[str]:
    """Give passages of about a hundred tokens, no two alike."""
    return [f"{number}. {PASSAGE}" for number in range(count)]


def random_encoder(settings: Settings, seconds: float = SECONDS) -> Speed:
    """Measure an encoder of MiniLM's shape with random weights: for where no model is here."""
    import numpy as np

    from emblem import registry
    from emblem.model import Bert
    from emblem.types import Row

    encoder = Bert("bert", 6, 12, 384, 1536, 512, 0, 1e-12, "gelu")
    backend = registry.backend("openvino")(
        encoder, _random_weights(encoder), threads=machine(settings).threads, streams=1
    )
    stream = backend.stream()
    lengths = np.full(1, 128, np.int32)
    row = Row(np.arange(1000, 1128, dtype=np.int32), lengths)
    stream.run(row)
    runs, begun = 0, time.perf_counter()
    while (taken := time.perf_counter() - begun) < seconds:
        stream.run(row)
        runs += 1
    backend.close()
    return Speed(RANDOM, 128 * runs / taken, RANDOM_ACTIVE, int(time.time()))


def estimated(active: int, known: Sequence[Speed]) -> tuple[float, Speed] | None:
    """Estimate the speed of a model from that of another, and say from which.

    Encoders are scaled by the operations for each token, from the one that is nearest in size. A
    table is as fast as another table, since both wait for the tokenizer. None where nothing like it
    was measured.
    """
    alike = [one for one in known if bool(one.active) == bool(active)]
    if not alike:
        return None
    nearest = min(alike, key=lambda one: _ratio(one.active, active))
    factor = nearest.active / active if active else 1.0
    return nearest.tokens_per_s * factor, nearest


def _ratio(one: int, other: int) -> float:
    return max(one, other) / min(one, other) if one and other else 1.0


def _random_weights(encoder: Any) -> Mapping[str, npt.NDArray[np.float32]]:
    import numpy as np

    wide, hidden = encoder.intermediate, encoder.hidden
    shapes = {
        "embeddings.word_embeddings.weight": (30522, hidden),
        "embeddings.position_embeddings.weight": (encoder.positions, hidden),
        "embeddings.token_type_embeddings.weight": (2, hidden),
        **_norm("embeddings.LayerNorm", hidden),
    }
    for number in range(encoder.layers):
        layer = f"encoder.layer.{number}"
        for part in ("query", "key", "value"):
            shapes |= _linear(f"{layer}.attention.self.{part}", hidden, hidden)
        shapes |= _linear(f"{layer}.attention.output.dense", hidden, hidden)
        shapes |= _norm(f"{layer}.attention.output.LayerNorm", hidden)
        shapes |= _linear(f"{layer}.intermediate.dense", wide, hidden)
        shapes |= _linear(f"{layer}.output.dense", hidden, wide)
        shapes |= _norm(f"{layer}.output.LayerNorm", hidden)
    draw = np.random.default_rng(0)
    return {
        name: draw.standard_normal(shape, np.float32) * np.float32(0.05)
        for name, shape in shapes.items()
    }


def _linear(name: str, outputs: int, inputs: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def _norm(name: str, hidden: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (hidden,), f"{name}.bias": (hidden,)}


def _processor() -> str:
    """Give the name of the processor, as Linux tells it; "" elsewhere."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return ""
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "")
