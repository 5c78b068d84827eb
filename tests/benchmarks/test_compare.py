"""The benchmark: its arithmetic, its checks, and a tiny run against Emblem alone."""

import json
import random
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from benchmarks.compare import kept, load, measure, once, report, systems, texts
from benchmarks.compare.check import WrongAnswer, cosines, decode
from benchmarks.compare.judge import Taken, Turn, judge
from benchmarks.compare.stats import percentile, ratios, spread
from benchmarks.compare.workloads import WORKLOADS, Workload


def test_a_percentile_is_a_value_that_was_measured() -> None:
    values = [float(n) for n in range(1, 101)]
    random.Random(1).shuffle(values)
    assert (percentile(values, 0.5), percentile(values, 0.99)) == (50.0, 99.0)
    assert percentile([7.0], 0.99) == 7.0
    with pytest.raises(ValueError, match="no value"):
        percentile([], 0.5)


def test_ratios_are_of_the_same_round_only() -> None:
    assert ratios({0: 4.0, 1: 9.0, 2: 1.0}, {0: 2.0, 1: 3.0}) == [2.0, 3.0]


def test_a_spread_has_the_median_between_its_ends() -> None:
    assert spread([3.0, 1.0, 2.0]) == spread([1.0, 2.0, 3.0])
    assert (spread([3.0, 1.0, 2.0]).median, spread([3.0, 1.0]).least) == (2.0, 1.0)


def test_texts_are_the_same_for_a_seed_and_new_for_another() -> None:
    def first(seed: str) -> list[str]:
        made = texts.texts(texts.QUERIES, seed)
        return [next(made) for _ in range(50)]

    assert first("a") == first("a")
    assert not set(first("a")) & set(first("b"))


def answer(*items: tuple[int, list[float]]) -> bytes:
    data = [{"index": index, "embedding": numbers} for index, numbers in items]
    return json.dumps({"data": data}).encode()


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (0, b"", "the connection broke"),
        (503, b"busy", "503 busy"),
        (200, b"{}", "no answer of this API"),
        (200, answer((0, [1.0])), "1 vectors"),
        (200, answer((1, [1.0]), (0, [2.0])), "in the order"),
    ],
)
def test_what_is_no_answer_is_told(status: int, body: bytes, said: str) -> None:
    with pytest.raises(WrongAnswer, match=said):
        decode(status, body, 2)


def test_vectors_of_another_width_or_none_at_all_have_no_likeness() -> None:
    one, other = np.eye(2, dtype=np.float32), np.ones((2, 3), np.float32)
    assert cosines(one, other).tolist() == [0.0, 0.0]
    assert cosines(one, np.zeros_like(one)).tolist() == [0.0, 0.0]
    assert cosines(one, 3 * one).tolist() == [1.0, 1.0]


@pytest.fixture
def peculiar() -> Iterator[int]:
    """A server that answers in chunks, then breaks the connection, by turns."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=_by_turns, args=(listener, 4), daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        thread.join()


def _by_turns(listener: socket.socket, n: int) -> None:
    for _ in range(n // 2):
        connection, _ = listener.accept()
        with connection:
            connection.recv(1 << 16)
            head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
            connection.sendall(head + b"3\r\nabc\r\n")
            connection.sendall(b"2\r\nde\r\n0\r\n\r\n")
            connection.recv(1 << 16)


def test_chunks_are_joined_and_a_broken_connection_is_an_error(peculiar: int) -> None:
    request = load.post("127.0.0.1", "/", {}, b"{}")
    stream = load.Stream([request] * 4, 1)
    load.run(("127.0.0.1", peculiar), [stream])
    assert [(one.status, one.body) for one in stream.answers] == [(200, b"abcde"), (0, b"")] * 2


def test_a_run_against_emblem_alone_finds_every_vector_right(
    model_home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(systems, "HOME", model_home)
    monkeypatch.setattr(systems, "BUILT", tmp_path)
    (system,) = (one for one in systems.SYSTEMS if one.name == "emblem-static")
    (workload,) = (one for one in WORKLOADS if one.name == "static-base64")
    running = systems.Running(system)
    try:
        assert running.wait() > 0
        assert (running.resident_bytes() or 1) > 0
        found = measure.turn(running, _Small("small", "", (), 1), 0, quick=True)
    finally:
        running.close()
    results = kept.Results("a run")
    (turns,) = judge([Taken(system, workload, 0, found)])
    results.add(workload.name, 0, system.name, turns)
    results.save(tmp_path / "run.json")
    again = kept.load(tmp_path / "run.json")
    (turn,) = again.of(workload.name)[system.name].values()
    assert (turn.requests, turn.texts, turn.failed, turn.wrong) == (20, 20, 0, 0)
    assert turn.worst is not None
    assert turn.worst > 0.99999
    assert "wordllama-256" in report.terminal(again)


class _Small(Workload):
    """Twenty texts."""

    def phases(self, turn: int, quick: bool) -> list[list[measure.Part]]:
        made = texts.texts(texts.QUERIES, "small")
        return [[measure.Part("query", [[next(made)] for _ in range(20)], 2)]]


def test_a_wrong_vector_is_counted_and_shown() -> None:
    (system,) = (one for one in systems.SYSTEMS if one.name == "emblem-static")
    turn = Turn("query", 9, 9, 90, 1.0, 1.0, 2.0, 1, 3, 0.5, 0.9, "503 busy")
    results = kept.Results("a run")
    results.add("static-base64", 0, system.name, [turn])
    (row,) = (line for line in report.terminal(results).splitlines() if system.title in line)
    assert [cell.strip() for cell in row.split("|")[-4:-1]] == ["1", "3", "0.5000000"]
    assert not turn.right


def test_encoding_is_timed_to_the_last_byte() -> None:
    found = once.encoding(rounds=1)
    # No writer of 786,432 numbers is ten times as fast as the bare library that it is made of.
    assert 10 * float(str(found["json"])) > float(str(found["orjson"]))
    assert 10 * float(str(found["base64"])) > float(str(found["pybase64"]))
