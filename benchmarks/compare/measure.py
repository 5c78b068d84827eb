"""One turn of one system at one workload, and what came back."""

import json
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from benchmarks.compare import load
from benchmarks.compare.ceilings import ROW
from benchmarks.compare.check import Vectors, WrongAnswer, decode
from benchmarks.compare.systems import Running
from benchmarks.compare.workloads import Part, Workload


@dataclass(frozen=True, slots=True)
class Got:
    """One answer: the texts that were sent, how long it took, and their vectors or what was wrong."""

    texts: list[str]
    seconds: float
    vectors: Vectors | None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Measured:
    """What came of one part of a workload. ``seconds`` is how long all of it took."""

    part: str
    seconds: float
    got: list[Got]
    row_s: float | None = None  # Emblem's own word for the time of a row


def turn(
    running: Running, workload: Workload, number: int, measured: list[Measured], *, quick: bool
) -> None:
    """Wake a system, warm it up, and measure one turn into ``measured``.

    Raises OSError or RuntimeError; what was measured before is kept.
    """
    running.resume()
    try:
        warm_up(running, workload, number)
        phase = _over_http if running.system.served else _in_process
        for parts in workload.phases(number, quick):
            measured += phase(running, parts, whole=workload.whole)
        if running.system.own_home and running.ended() is None:
            row_s = running.row_seconds(ROW)
            measured[:] = [replace(one, row_s=row_s) for one in measured]
    finally:
        running.pause()


def warm_up(running: Running, workload: Workload, number: int) -> None:
    """Have texts embedded that count for nothing. Raises RuntimeError where they are not."""
    ask(running, workload.warm_up(number), whole=workload.whole)


def ask(running: Running, part: Part, *, whole: bool = False) -> Measured:
    """Have all of it embedded. Raises RuntimeError where an answer is none."""
    phase = _over_http if running.system.served else _in_process
    (measured,) = phase(running, [part], whole=whole)
    wrong = [got.problem for got in measured.got if got.vectors is None]
    if wrong:
        raise RuntimeError(f"{len(wrong)} of {len(measured.got)} failed: {wrong[0]}")
    return measured


def _stream(running: Running, part: Part, *, whole: bool) -> load.Stream:
    system = running.system
    fixed: dict[str, object] = {"model": system.model, **({} if whole else system.options)}
    fixed["encoding_format"] = "base64" if part.base64 else "float"
    bodies = (json.dumps({**fixed, "input": batch}).encode() for batch in part.batches)
    host = f"127.0.0.1:{running.port}"
    headers = {k: v for k, v in running.headers.items() if k != "Content-Type"}
    requests = [load.post(host, system.path, headers, body) for body in bodies]
    return load.Stream(requests, part.connections, part.seconds, part.every, part.beside)


def _over_http(running: Running, parts: list[Part], *, whole: bool) -> list[Measured]:
    streams = [_stream(running, part, whole=whole) for part in parts]
    seconds = load.run(("127.0.0.1", running.port), streams)
    measured = []
    for part, stream in zip(parts, streams, strict=True):
        got = []
        for answer in stream.answers:
            texts = part.batches[answer.request]
            try:
                vectors = decode(answer.status, answer.body, len(texts))
                got.append(Got(texts, answer.seconds, vectors))
            except WrongAnswer as wrong:
                got.append(Got(texts, answer.seconds, None, str(wrong)))
        measured.append(Measured(part.name, seconds, got))
    return measured


def _in_process(running: Running, parts: list[Part], **_: bool) -> list[Measured]:
    (part,) = parts  # a library is asked one thing at a time
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "vectors.npy")
        asked = {"batches": part.batches, "seconds": part.seconds, "out": str(out)}
        times = running.ask(asked)["times"]
        assert isinstance(times, list)
        vectors = np.load(out)
    got, at = [], 0
    for (began, ended), texts in zip(times, part.batches, strict=False):
        got.append(Got(texts, ended - began, vectors[at : at + len(texts)]))
        at += len(texts)
    return [Measured(part.name, times[-1][1], got)]
