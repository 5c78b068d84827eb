"""What a job will cost, from a few of its rows: tokens, time, and the size of the output."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from emblem.files.ports import CHUNK_BYTES, CHUNK_ROWS, Chunk, Part, Sink, Source
from emblem.files.rows import kept
from emblem.job.embedding import embed_chunk
from emblem.job.values import Choices, Tally
from emblem.ports import Embedder

SAMPLE_ROWS = 512
SAMPLE_CHUNKS = 8
BATCH_ROWS = 64
MAX_SECONDS = 10.0
SEED = 20


@dataclass(frozen=True, slots=True)
class Estimate:
    """A guess at a whole job from ``sampled`` of its rows; bytes are those of the output."""

    rows: int
    sampled: int
    failed: int
    overflowed: int
    tokens: int
    seconds: float
    output_bytes: int


async def estimate(
    source: Source,
    rows: tuple[int, int],
    sink: Sink,
    embedder: Embedder,
    choices: Choices,
    clock: Callable[[], float],
) -> Estimate:
    """Embed a sample of the rows from the first up to the second of ``rows``, for seconds at most.

    The sample is the same every time; how much of it is embedded depends on the time that takes.
    """
    first, stop = rows
    sample = _sample(source, first, stop)
    done, seconds, size = Tally(), 0.0, 0
    with TemporaryDirectory() as folder:
        for number, batch in enumerate(_batches(sample)):
            if seconds >= MAX_SECONDS:
                break
            if number == 0:  # the first rows of all are slow
                await embed_chunk(embedder, _take(batch, [0]), choices)
            started = clock()
            embedded = await embed_chunk(embedder, batch, choices)
            seconds += clock() - started
            size += await asyncio.to_thread(
                _size, sink, embedded.part, Path(folder, f"{number}.part")
            )
            done += embedded.tally
    share = (stop - first) / max(1, done.rows)
    return Estimate(
        rows=stop - first,
        sampled=done.rows,
        failed=round(done.failed * share),
        overflowed=round((done.overflowed or 0) * share),
        tokens=round(done.tokens * share),
        seconds=seconds * share,
        output_bytes=round(size * share),
    )


def _size(sink: Sink, part: Part, path: Path) -> int:
    sink.write_part(path, part)
    return path.stat().st_size


def _sample(source: Source, first: int, stop: int) -> list[Chunk]:
    """Give some rows each of chunks that are spread evenly over all."""
    blocks = -(-(stop - first) // CHUNK_ROWS)
    step = -(-blocks // SAMPLE_CHUNKS) or 1
    each = SAMPLE_ROWS // min(SAMPLE_CHUNKS, max(1, blocks))
    found, size = [], 0
    for number, chunk in enumerate(source.chunks(CHUNK_ROWS, first, stop)):
        if number % step or size >= CHUNK_BYTES:
            continue
        count = len(chunk.texts)
        found.append(_take(chunk, list(range(0, count, -(-count // each)))))
        size += sum(len(text or "") for text in found[-1].texts)
    return found


def _batches(sample: list[Chunk]) -> list[Chunk]:
    """Cut the sample into batches in an order by chance, always the same, so that few will do."""
    batches = [
        _take(chunk, list(range(start, min(start + BATCH_ROWS, len(chunk.texts)))))
        for chunk in sample
        for start in range(0, len(chunk.texts), BATCH_ROWS)
    ]
    random.Random(SEED).shuffle(batches)  # noqa: S311 - no secret
    return batches


def _take(chunk: Chunk, positions: list[int]) -> Chunk:
    return replace(
        chunk,
        texts=tuple(chunk.texts[at] for at in positions),
        problems={
            new: chunk.problems[at] for new, at in enumerate(positions) if at in chunk.problems
        },
        records=kept(chunk.records, positions),
        files=tuple(chunk.files[at] for at in positions) if chunk.files else (),
    )
