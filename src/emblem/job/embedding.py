"""One chunk: its texts to an embedder, and what cannot be embedded told apart from the rest."""

from dataclasses import dataclass, field

import numpy as np

from emblem.errors import DeploymentFailed, EmblemError, InvalidInput, InvalidRequest, InvalidResult
from emblem.files.ports import Chunk, Part
from emblem.files.rows import kept
from emblem.job.values import Choices, Failure, Tally
from emblem.ports import Embedder
from emblem.types import EmbedRequest, EmbedResult, Lane

# So many texts refused one by one, and none taken, mean that it is not the texts.
HOPELESS = 8


@dataclass(frozen=True, slots=True, eq=False)
class Embedded:
    """What became of a chunk."""

    part: Part
    failures: tuple[Failure, ...]
    tally: Tally


@dataclass(slots=True, eq=False)
class _Found:
    """Results by the positions of their texts, and why others have none."""

    manner: "Manner"
    results: list[tuple[list[int], EmbedResult]] = field(default_factory=list)
    wrong: dict[int, str] = field(default_factory=dict)
    refused: int = 0


@dataclass(frozen=True, slots=True)
class Manner:
    """What is known of an embedder.

    ``tells_overflow`` is false for a server that does not say which texts were too long.
    ``in_process`` is true for an engine: when that fails, it may be for one text alone. A server
    that fails, or whose answer is not in the form that was asked for, is not asked text by text:
    what it gives to each alone is no more to be trusted.
    """

    tells_overflow: bool = True
    in_process: bool = True

    def may_blame_a_text(self, error: EmblemError) -> bool:
        """Tell whether one text may have caused an error that does not say which."""
        if isinstance(error, InvalidResult):
            return self.in_process or error.of_one_text
        return self.in_process or not isinstance(error, DeploymentFailed)


async def embed_chunk(
    embedder: Embedder, chunk: Chunk, choices: Choices, manner: Manner | None = None
) -> Embedded:
    """Embed the texts of a chunk as one request, or as few as leave out what cannot be embedded.

    The same chunk makes the same requests every time. Raises what the embedder raises where no text
    is at fault.
    """
    manner = manner or Manner()
    found = _Found(manner, wrong=dict(chunk.problems))
    todo = [position for position, text in enumerate(chunk.texts) if text is not None]
    if todo:
        await _embed(embedder, chunk, choices, todo, found)
    good = sorted(position for positions, _ in found.results for position in positions)
    failures = tuple(
        Failure(chunk.first_row + at, why, chunk.files[at] if chunk.files else "")
        for at, why in sorted(found.wrong.items())
    )
    tokens = sum(int(result.tokens.sum()) for _, result in found.results)
    too_long = {positions[at] for positions, one in found.results for at in one.overflowed}
    part = Part(
        records=kept(chunk.records, good),
        rows=np.array(good, np.int64) + chunk.first_row,
        vectors=choices.dtype.write(_vectors(found, good, choices, embedder)),
        overflowed=np.array([at in too_long for at in good], np.bool_)
        if manner.tells_overflow
        else None,
    )
    overflowed = len(too_long) if manner.tells_overflow else None
    return Embedded(part, failures, Tally(len(chunk.texts), len(failures), overflowed, tokens))


async def _embed(
    embedder: Embedder, chunk: Chunk, choices: Choices, todo: list[int], found: _Found
) -> None:
    """Embed the texts at these positions; halve them to find one that is refused without a name."""
    while todo:
        try:
            result = await embedder.embed(_request(chunk, choices, todo))
        except InvalidInput as error:
            named = {at: why for at, why in error.problems if 0 <= at < len(todo)}
            if not named:
                raise
            found.wrong |= {todo[at]: why for at, why in named.items()}
            todo = [position for at, position in enumerate(todo) if at not in named]
        except (InvalidRequest, InvalidResult, DeploymentFailed) as error:
            if not found.manner.may_blame_a_text(error):
                raise
            if isinstance(error, DeploymentFailed) and embedder.problem() is not None:
                raise  # it has failed for good
            if len(todo) > 1:
                half = len(todo) // 2
                await _embed(embedder, chunk, choices, todo[:half], found)
                await _embed(embedder, chunk, choices, todo[half:], found)
                return
            found.refused += 1
            if not found.results and found.refused >= HOPELESS:
                raise
            found.wrong[todo[0]] = _why(error)
            return
        else:
            found.results.append((todo, result))
            return


def _request(chunk: Chunk, choices: Choices, positions: list[int]) -> EmbedRequest:
    return EmbedRequest(
        inputs=tuple(chunk.texts[position] or "" for position in positions),
        kind=choices.kind,
        dimensions=choices.dimensions,
        overflow=choices.overflow,
        lane=Lane.BULK,
    )


def _why(error: Exception) -> str:
    return error.what if isinstance(error, InvalidResult) else str(error)


def _vectors(
    found: _Found, good: list[int], choices: Choices, embedder: Embedder
) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    """Put the vectors of all results into the order of their rows: (k, d) float32."""
    width = choices.dimensions or embedder.space.width
    vectors = np.empty((len(good), width), np.float32)
    place = {position: at for at, position in enumerate(good)}
    for positions, result in found.results:
        if result.vectors.shape != (len(positions), width):
            shape = " × ".join(map(str, result.vectors.shape))
            raise DeploymentFailed(f"{shape} numbers came for {len(positions)} × {width}")
        vectors[[place[position] for position in positions]] = result.vectors
    return vectors
