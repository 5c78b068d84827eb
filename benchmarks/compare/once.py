"""What is measured apart from the workloads: the start, memory, encoding, the own share."""

import sys
import time
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from pathlib import Path
from statistics import fmean, median

import numpy as np
import orjson
import pybase64
from benchmarks.compare import measure, systems, texts
from benchmarks.compare.check import decode
from benchmarks.compare.systems import Running, System
from benchmarks.compare.workloads import SERVERS, Part


def starts(
    wanted: Sequence[System], rounds: int, failed: Callable[[str, str], None]
) -> dict[str, object]:
    """Give the seconds from the command to the first vector, and what resides then, for servers.

    The model and the program are on disk and have been read before. ``worked_bytes`` is what
    resides once some passages were embedded. ``failed`` is told of a system what was wrong.
    """
    found: dict[str, dict[str, list[float]]] = {}
    for _ in range(rounds):
        for system in wanted:
            if system.name not in (*SERVERS, "emblem-static"):
                continue
            running = Running(system)
            try:
                seconds = running.wait()
                loaded = running.resident_bytes()
                _some_passages(running)
                worked = running.resident_bytes()
            except (OSError, RuntimeError) as error:
                failed(system.name, str(error))
                continue
            finally:
                running.close()
            each = found.setdefault(
                system.name, {"seconds": [], "loaded_bytes": [], "worked_bytes": []}
            )
            for name, value in (("seconds", seconds), ("loaded_bytes", loaded)):
                each[name].append(float(value or 0))
            each["worked_bytes"].append(float(worked or 0))
    return dict(found)


def _some_passages(running: Running) -> None:
    made = list(islice(texts.texts(texts.PASSAGES, "memory", texts.WITHIN), 64))
    measure.ask(running, Part("passages", [made], 1))


def encoding(rounds: int = 30) -> dict[str, object]:
    """Give milliseconds of writing 2,048 × 384 floats: the server's whole answer, and bare."""
    from emblem.api.wire import EncodingFormat, encode
    from emblem.service import Answer
    from emblem.types import Overflow

    rng = np.random.default_rng(1)
    vectors = rng.standard_normal((2048, 384)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    answer = Answer("all-MiniLM-L6-v2", vectors, 20_000, "a space", Overflow.MEAN, ())
    for form in EncodingFormat:
        # What is timed must be the whole answer: these numbers, every one.
        if not np.array_equal(decode(200, _whole(encode(answer, form)), len(vectors)), vectors):
            raise RuntimeError(f"encode as {form} does not give the numbers that it was given")
    ways: dict[str, Callable[[], object]] = {
        "json": lambda: _whole(encode(answer, EncodingFormat.FLOAT)),
        "orjson": lambda: orjson.dumps(vectors, option=orjson.OPT_SERIALIZE_NUMPY),
        "base64": lambda: _whole(encode(answer, EncodingFormat.BASE64)),
        "pybase64": lambda: pybase64.b64encode(memoryview(vectors)),
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            started = time.perf_counter()
            way()
            times[name].append(1000 * (time.perf_counter() - started))
    return {name: median(each) for name, each in times.items()}


def _whole(body: bytes | Iterable[bytes]) -> bytes:
    """Give all of a body, which may be written part by part and only as it is asked for."""
    return body if isinstance(body, bytes) else b"".join(body)


def own_share(system: System, rounds: int, queries: int = 100) -> dict[str, object]:
    """Give what a short query takes over HTTP, what its row takes in the server, and the difference.

    All in ms: "http", "row" and "share" are means over the queries of a round, one at a time over
    one connection, and of these the median of the rounds. The server itself tells what its rows
    took (``emblem_row_seconds``). "alone" is what the rows of the same texts take in a process that
    does nothing else, one after the other, the median: there they begin with warm caches.
    """
    row = System("row", "row", Path(sys.executable), (systems.PEER, "row", str(_folder(system))))
    server, inside = Running(system), Running(row)
    http: list[float] = []
    rows: list[float] = []
    alone: list[float] = []
    try:
        server.wait()
        inside.wait()
        inside.pause()
        for number in range(rounds + 1):
            made = list(islice(texts.texts(texts.QUERIES, f"share {number}"), queries))
            before = server.rows_so_far()
            took = _one_by_one(server, made)
            ran, seconds = (
                now - then for now, then in zip(server.rows_so_far(), before, strict=True)
            )
            if ran != queries:
                raise RuntimeError(f"{queries} queries took {ran} rows")
            server.pause()
            inside.resume()
            batches = [[text] for text in made]
            inside.ask(
                {"batches": batches}
            )  # reads the texts, so that the next time has the row alone
            times = inside.ask({"batches": batches})["times"]
            inside.pause()
            server.resume()
            assert isinstance(times, list)
            if number:  # the first warms both up
                http.append(fmean(took))
                rows.append(1000 * seconds / ran)
                alone += [1000 * (ended - began) for began, ended in times]
    finally:
        server.close()
        inside.close()
    differences = [whole - part for whole, part in zip(http, rows, strict=True)]
    return {
        "http": median(http),
        "row": median(rows),
        "share": median(differences),
        "alone": median(alone),
    }


def _folder(system: System) -> Path:
    return systems.HOME / "models" / system.model.replace(":", "%3A")


def _one_by_one(running: Running, made: Sequence[str]) -> list[float]:
    """Give the milliseconds that each text took over one connection. Raises RuntimeError."""
    part = Part("query", [[text] for text in made], 1)
    return [1000 * got.seconds for got in measure.ask(running, part).got]
