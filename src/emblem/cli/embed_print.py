"""``emblem embed`` without an output file: vectors to stdout, a JSON line for each text."""

import asyncio
import sys
from collections.abc import Iterator
from dataclasses import replace
from io import BufferedReader
from pathlib import Path
from tempfile import TemporaryDirectory

import orjson
from msgspec import structs

from emblem.cli.embed_asked import STDIN, Asked, find, names_files, refuse_clash, scanned
from emblem.cli.embed_model import Opened, opened, overflow_rule
from emblem.cli.embed_report import say, too_long
from emblem.errors import InvalidRequest
from emblem.files.jsonl import JsonlSink
from emblem.files.ports import CHUNK_ROWS, Chunk, Layout, Part
from emblem.files.rows import TEXT
from emblem.files.text import PipedLinesSource
from emblem.job import Failure, Tally, embed_chunk

SOME_FAILED = 3


def embed(asked: Asked) -> int:
    """Embed texts, a pipe or files, and print the vectors. Gives the exit code."""
    flags: dict[str, object] = {"--shard": asked.shard, "--errors": asked.errors}
    flags |= {"--restart": asked.restart, "--force": asked.force}
    if wrong := [flag for flag, given in flags.items() if given]:
        raise InvalidRequest(f"{wrong[0]} is for a file that is written; add --output OUT")
    with TemporaryDirectory() as folder:
        if asked.inputs and not names_files(asked.inputs):
            # A few texts are done before a model could be compiled for rows side by side.
            asked = replace(asked, settings=structs.replace(asked.settings, streams=1))
            chunks, called = _of_arguments(asked.inputs), "text"
        else:
            chunks, called = _of_files(asked, Path(folder)), "row"
        tally = asyncio.run(_print(asked, chunks, called))
    return SOME_FAILED if tally.failed else 0


def _of_files(asked: Asked, folder: Path) -> Iterator[Chunk]:
    if asked.inputs in ((), (STDIN,)) and asked.input_format in (None, "txt"):
        pipe = sys.stdin.buffer
        if isinstance(pipe, BufferedReader) and not sys.stdin.isatty() and asked.column is None:
            return PipedLinesSource(pipe).chunks(CHUNK_ROWS)  # it may never end
    given = find(asked, folder / "stdin")
    source, scan = scanned(given, asked, typed=False)
    refuse_clash(scan, asked.choices)
    return source.chunks(CHUNK_ROWS)


def _of_arguments(texts: tuple[str, ...]) -> Iterator[Chunk]:
    """Give the texts of a command line as a source gives those of a file."""
    for first in range(0, len(texts), CHUNK_ROWS):
        rows = [_row(text) for text in texts[first : first + CHUNK_ROWS]]
        yield Chunk(
            first,
            tuple(None if problem else text for text, problem, _ in rows),
            {at: problem for at, (_, problem, _) in enumerate(rows) if problem},
            tuple(record for _, _, record in rows),
        )


def _row(text: str) -> tuple[str, str, bytes]:
    """Give a text, what is wrong with it, and what is printed of it."""
    try:
        return text, "" if text else "is empty", orjson.dumps({TEXT: text})
    except orjson.JSONEncodeError:  # an argument may be any bytes
        return text, "is not UTF-8", b""


async def _print(asked: Asked, chunks: Iterator[Chunk], called: str) -> Tally:
    """Embed chunk after chunk and print each as it is done. The next is read meanwhile."""
    tally = Tally()
    listed: list[tuple[int, object]] = []
    failures: list[Failure] = []
    reading = asyncio.ensure_future(asyncio.to_thread(next, chunks, None))
    try:
        async with opened(asked) as one:
            sink = JsonlSink(_layout(one, asked))
            while (chunk := await reading) is not None:
                reading = asyncio.ensure_future(asyncio.to_thread(next, chunks, None))
                embedded = await embed_chunk(one.embedder, chunk, asked.choices, one.manner)
                tally += embedded.tally
                for failure in embedded.failures:
                    where = f"{called} {failure.row}{failure.file and f' of {failure.file}'}"
                    say(f"emblem: {where} {failure.why}")
                if asked.as_json:
                    rows = embedded.part.rows.tolist()
                    listed.extend(zip(rows, embedded.part.vectors, strict=True))
                    failures.extend(embedded.failures)
                else:
                    await asyncio.to_thread(_write, sink, embedded.part)
            if asked.as_json:
                _write_list(listed, failures, one, tally)
            if tally.overflowed and not asked.quiet:
                say(too_long(tally, one.reads, overflow_rule(one, asked.choices)))
    finally:
        await asyncio.gather(reading, return_exceptions=True)
    return tally


def _layout(one: Opened, asked: Asked) -> Layout:
    choices = asked.choices
    return Layout(
        choices.dtype.numbers(choices.dimensions or one.space.width),
        choices.dtype.dtype,
        vector_column=choices.vector_column,
        overflow_column=choices.overflow_column,
    )


def _write(sink: JsonlSink, part: Part) -> None:
    for line in sink.lines(part):
        sys.stdout.buffer.write(line)
    sys.stdout.buffer.flush()


def _write_list(
    vectors: list[tuple[int, object]], failures: list[Failure], one: Opened, tally: Tally
) -> None:
    """Print the vectors as an OpenAI server answers, and which texts have none.

    An index counts the texts that were given, from 0.
    """
    document = {
        "object": "list",
        "data": [
            {"object": "embedding", "index": index, "embedding": vector}
            for index, vector in vectors
        ],
        "model": one.model,
        "usage": {"prompt_tokens": tally.tokens, "total_tokens": tally.tokens},
        "errors": [
            {"index": one.row, **({"file": one.file} if one.file else {}), "message": one.why}
            for one in failures
        ],
    }
    options = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE
    sys.stdout.buffer.write(orjson.dumps(document, option=options))
    sys.stdout.buffer.flush()
