"""A sample of somebody's stored vectors, with the texts that they are said to be of."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from emblem.errors import InvalidRequest

if TYPE_CHECKING:
    from emblem.files.ports import Chunk, Source

# What a column of vectors is called where nobody says it, the likeliest first.
VECTOR_COLUMNS = ("embedding", "vector", "embeddings", "vectors", "emb", "dense_vector")
CHUNK_ROWS = 512
NO_VECTOR = [1.0]  # stands where vectors are not read


@dataclass(frozen=True, slots=True, eq=False)
class Stored:
    """Texts with their stored vectors: ``vectors`` is (n, width) float64, ``places`` names the rows.

    ``rows`` is how many there are in all, None where nobody counted. ``problems`` says what was
    wrong with rows that were drawn and left out, ``misfits`` of them for a vector of another width.
    """

    texts: tuple[str, ...]
    vectors: np.ndarray[Any, np.dtype[np.float64]]
    places: tuple[str, ...]
    rows: int | None
    problems: tuple[str, ...]
    misfits: int = 0


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is drawn: so many rows, with these dice, of these columns; None is whichever fits.

    With ``texts_only`` no vectors are read.
    """

    sample: int
    seed: int
    column: str | None = None
    vector_column: str | None = None
    texts_only: bool = False


@dataclass(frozen=True, slots=True)
class Drawn:
    """A row as it was read. ``vector`` is whatever stood in its column."""

    place: str
    text: str | None
    vector: Any
    problem: str = ""


def of_file(path: str, wanted: Wanted) -> Stored:
    """Draw rows of a file. Raises InvalidRequest, or MissingExtra for Parquet without pyarrow."""
    from emblem.files import formats
    from emblem.files.ports import Files

    file = Path(path)
    name = formats.SUFFIXES.get(file.suffix.lower(), "")
    if name not in ("jsonl", "parquet", "csv", "tsv"):
        raise InvalidRequest(
            f"{path} cannot be verified: give a file of .jsonl, .parquet, .csv or .tsv with a "
            "column of texts and one of vectors, or postgresql://… with --table"
        )
    if not file.is_file():
        raise InvalidRequest(f"there is no file {path}")
    source: Source = formats.source(name)(Files((file,), (path,)), wanted.column)
    scan = source.scan(typed=False)
    column = None
    if not wanted.texts_only:
        column = _vector_column(scan.columns, scan.text_column, wanted, path)
    count = min(wanted.sample, scan.rows)
    chosen = random.Random(wanted.seed).sample(range(scan.rows), count)  # noqa: S311 - dice
    drawn = _drawn(source, sorted(chosen), column)
    return stored(drawn, rows=scan.rows, where=path)


def _vector_column(columns: Sequence[str], text: str, wanted: Wanted, path: str) -> str:
    asked = wanted.vector_column
    listed = ", ".join(map(repr, columns)) or "none"
    if asked is not None:
        if asked not in columns:
            raise InvalidRequest(f"{path} has no column {asked!r}; its columns: {listed}")
        return asked
    found = next((one for one in VECTOR_COLUMNS if one in columns and one != text), None)
    if found is None:
        raise InvalidRequest(
            f"{path} has no column {VECTOR_COLUMNS[0]!r}; say which one has the vectors, with "
            f"--vector-column; its columns: {listed}"
        )
    return found


def _drawn(source: Source, chosen: Sequence[int], column: str | None) -> Iterator[Drawn]:
    at = 0
    if not chosen:
        return
    for chunk in source.chunks(CHUNK_ROWS, stop=chosen[-1] + 1):
        first, end = at, chunk.first_row + len(chunk.texts)
        while at < len(chosen) and chosen[at] < end:
            at += 1
        if positions := [row - chunk.first_row for row in chosen[first:at]]:
            yield from _of_chunk(chunk, positions, column)


def _of_chunk(chunk: Chunk, positions: list[int], column: str | None) -> Iterator[Drawn]:
    import orjson

    from emblem.files.rows import kept

    records = kept(chunk.records, positions)
    values: list[Any] = (
        [orjson.loads(one) if one else {} for one in records]
        if isinstance(records, tuple)
        else records.to_pylist()
    )
    for position, value in zip(positions, values, strict=True):
        row = f"row {chunk.first_row + position}"  # from 0, as elsewhere
        problem = chunk.problems.get(position, "")
        vector = NO_VECTOR if column is None else value.get(column)
        yield Drawn(row, chunk.texts[position], vector, problem)


def stored(drawn: Iterator[Drawn] | Sequence[Drawn], *, rows: int | None, where: str) -> Stored:
    """Put rows together, leaving out those without a text or a vector of the common width.

    Raises InvalidRequest where none is left.
    """
    problems, kept = [], []
    for one in drawn:
        problem = one.problem or ("" if one.text else "has no text")
        numbers = None if problem else numbers_in(one.vector)
        if not problem and numbers is None:
            problem = "has no vector of numbers"
        if problem:
            problems.append(f"{one.place} {problem}")
        else:
            kept.append((one.place, one.text or "", numbers))
    widths = [0 if one is None else len(one) for _, _, one in kept]
    if not widths:
        said = f"; {problems[0]}" if problems else ""
        raise InvalidRequest(f"{where} has no rows with a text and a vector{said}")
    width = max(set(widths), key=widths.count)
    problems += [
        f"{place} has a vector of {len(one)} numbers, and most have {width}"
        for place, _, one in kept
        if one is not None and len(one) != width
    ]
    right = [
        (place, text, one) for place, text, one in kept if one is not None and len(one) == width
    ]
    places, texts, vectors = zip(*right, strict=True)
    misfits = len(kept) - len(right)
    return Stored(texts, np.stack(vectors), places, rows, tuple(problems), misfits)


def without(given: Stored, wrong: Mapping[int, str], where: str) -> Stored:
    """Leave out rows whose texts cannot be embedded, by their indices, and say why.

    Raises InvalidRequest where none is left.
    """
    kept = [index for index in range(len(given.texts)) if index not in wrong]
    problems = tuple(f"{given.places[index]} {why}" for index, why in wrong.items())
    if not kept:
        raise InvalidRequest(f"{where} has no text that the model embeds; {problems[0]}")
    return replace(
        given,
        texts=tuple(given.texts[index] for index in kept),
        vectors=given.vectors[kept],
        places=tuple(given.places[index] for index in kept),
        problems=given.problems + problems,
    )


def numbers_in(value: Any) -> np.ndarray[Any, np.dtype[np.float64]] | None:
    """Read a vector: a list of numbers, or one written as text, such as ``[0.1, 0.2]``; else None."""
    if isinstance(value, str):
        import orjson

        try:
            value = orjson.loads(value)
        except orjson.JSONDecodeError:
            return None
    if not isinstance(value, list) or not value:
        return None
    if not all(isinstance(one, int | float) and not isinstance(one, bool) for one in value):
        return None
    return np.array(value, np.float64)
